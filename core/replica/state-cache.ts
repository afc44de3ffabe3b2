/**
 * States read or written lately, decoded. Saves the disk read of each read-modify-write.
 * Invariant: an entry is what the storage holds durably; absent keys are remembered too.
 */
import type { Key } from "../identity.ts";
import { Recent } from "../bytes/recent.ts";
import { clockDigest } from "../causality/clock.ts";
import { encodeVersioned } from "../causality/encoding.ts";
import type { Versioned } from "../causality/version-set.ts";
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

export class StateCache extends Recent<Key, CachedState> {
  constructor(bytesMax: number) {
    super(bytesMax, costOf);
  }
}

function costOf(key: Key, entry: CachedState): number {
  return entryOverheadBytes + key.length + 2 * (entry.encoded?.length ?? 0);
}
