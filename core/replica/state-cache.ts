/**
 * States read or written lately. Saves the disk read of each read-modify-write.
 * Kept as bytes and decoded at each use, which takes less than a microsecond: the objects of a decoded state are six times
 * its size, live long enough to be moved by every collection of young garbage, and die old.
 * Invariant: an entry is what the storage holds durably; absent keys are remembered too.
 */
import type { Key } from "../identity.ts";
import { Recent } from "../bytes/recent.ts";
import { clockDigest } from "../causality/clock.ts";
import type { ContextSecret } from "../causality/context.ts";
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import { nothing, type Versioned } from "../causality/version-set.ts";
import { clockHash, type Hash64 } from "../merkle/hash.ts";

/** Key, map entry, the array of the bytes, hash and digest, as measured; and a sealed context. */
const entryOverheadBytes = 950;

interface SealedContext {
  readonly secret: ContextSecret;
  readonly text: string;
}

export class CachedState {
  /** As stored; undefined when nothing is. */
  readonly encoded: Uint8Array | undefined;
  /** Kept by whoever sealed it: a state is often read again before it changes, and sealing is the dearest step of a read. */
  sealed: SealedContext | undefined;
  #state: Versioned | undefined;
  #digest: Uint8Array | undefined;
  #hash: Hash64 | undefined;

  /** `digest`: where it is known already. */
  constructor(state: Versioned, encoded: Uint8Array | undefined, digest?: Uint8Array) {
    this.#state = state;
    this.encoded = encoded;
    this.#digest = digest;
  }

  /** Of an entry of the cache a new object each time. */
  get state(): Versioned {
    return this.#state ?? decodeVersioned(this.encoded!);
  }

  /** It stays for long: of what is there twice the bytes remain. */
  shrink(): void {
    if (this.encoded !== undefined) this.#state = undefined;
  }

  /** Computed at the first need: most writes never do. */
  get digest(): Uint8Array {
    this.#digest ??= clockDigest(this.state);
    return this.#digest;
  }

  /** What the Merkle trees take of it: this write's result is the next one's start, so each is hashed once. */
  get hash(): Hash64 {
    this.#hash ??= clockHash(this.state);
    return this.#hash;
  }

  toBytes(): Uint8Array {
    return this.encoded ?? encodeVersioned(this.state);
  }
}

export const neverWritten: CachedState = new CachedState(nothing, undefined);

export function encodedAnew(state: Versioned): CachedState {
  return new CachedState(state, encodeVersioned(state));
}

export class StateCache extends Recent<Key, CachedState> {
  constructor(bytesMax: number) {
    super(bytesMax, costOf);
  }

  override set(key: Key, entry: CachedState): void {
    entry.shrink();
    super.set(key, entry);
  }
}

function costOf(key: Key, entry: CachedState): number {
  return entryOverheadBytes + key.length + (entry.encoded?.length ?? 0);
}
