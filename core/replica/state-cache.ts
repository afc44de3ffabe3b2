/**
 * States read or written lately, decoded, least recently used first to go. Saves the disk read of each read-modify-write.
 * Invariant: an entry is what the storage holds durably; absent keys are remembered too.
 */
import type { Key } from "../identity.ts";
import { clockDigest } from "../causality/clock.ts";
import { encodeVersioned } from "../causality/encoding.ts";
import { nothing, type Versioned } from "../causality/version-set.ts";
import { clockHash, type Hash64 } from "../merkle/hash.ts";

/** Key, map entry and decoded objects: a rough figure. Bodies may be held twice, encoded and decoded. */
const entryOverheadBytes = 400;

export class CachedState {
  readonly state: Versioned;
  /** As stored; undefined when nothing is. */
  readonly encoded: Uint8Array | undefined;
  #digest: Uint8Array | undefined;
  #hash: Hash64 | undefined;

  constructor(state: Versioned, encoded: Uint8Array | undefined) {
    this.state = state;
    this.encoded = encoded;
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

export class StateCache {
  readonly #bytesMax: number;
  readonly #entries = new Map<Key, CachedState>();
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get(key: Key): CachedState | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    // A Map iterates in order of insertion, so this moves the entry to the young end.
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  set(key: Key, entry: CachedState): void {
    this.delete(key);
    this.#entries.set(key, entry);
    this.#bytes += costOf(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#bytesMax) break;
      this.delete(oldest);
    }
  }

  delete(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= costOf(key, entry);
  }
}

function costOf(key: Key, entry: CachedState): number {
  return entryOverheadBytes + key.length + 2 * (entry.encoded?.length ?? 0);
}
