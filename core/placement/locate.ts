/**
 * Where a key lives: computed once per request, then passed along.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { equalBytes } from "../bytes/compare.ts";
import { positionOf } from "../bytes/hash.ts";
import { toHex } from "../bytes/hex.ts";
import { Recent } from "../bytes/recent.ts";
import type { Key, PartitionIndex } from "../identity.ts";
import { partitionOf, partitionsMax } from "./partition.ts";

export interface LocatedKey {
  readonly key: Key;
  readonly partition: PartitionIndex;
  /**
   * The key's row in storage: 16 bytes of ring position, then the key. So rows are ordered by position, a partition is
   * one range of rows, and two keys with one MD5 (they can be made) stay apart.
   */
  readonly row: Uint8Array;
}

export const positionBytes = 16;

export function locate(key: Key, partitions: number): LocatedKey {
  const keyBytes = encodeUtf8(key);
  const position = positionOf(keyBytes);
  const row = new Uint8Array(positionBytes + keyBytes.length);
  row.set(position);
  row.set(keyBytes, positionBytes);
  return { key, partition: partitionOf(position, partitions), row };
}

/** Remembers where the keys in use live: hashing a key costs more than the rest of the way to its cached state. */
export class Locator {
  readonly #partitions: number;
  readonly #known: Recent<Key, LocatedKey>;

  constructor(partitions: number, keysMax: number) {
    this.#partitions = partitions;
    this.#known = new Recent(keysMax, () => 1);
  }

  locate(key: Key): LocatedKey {
    let located = this.#known.get(key);
    if (located === undefined) {
      located = locate(key, this.#partitions);
      this.#known.set(key, located);
    }
    return located;
  }
}

export function keyOfRow(row: Uint8Array): Key {
  return decodeUtf8(row.subarray(positionBytes)) as Key;
}

/** As `locate`, of a row that may be damaged. Undefined for a stray: its key is no text, or belongs at another position. */
export function locateRow(row: Uint8Array, partitions: number): LocatedKey | undefined {
  const located = locateText(row, partitions);
  return located !== undefined && equalBytes(located.row, row) ? located : undefined;
}

/** What stands for a stray where work on a row needs a key: one that none has, for it has no bucket. */
export function strayAt(row: Uint8Array, partitions: number): LocatedKey {
  return { key: toHex(row) as Key, partition: partitionOf(row, partitions), row };
}

/** Of which partitions a stray may be: its position is damaged, or its key. */
export function partitionsOfStray(row: Uint8Array, partitions: number): ReadonlySet<PartitionIndex> {
  const byPosition = partitionOf(row, partitions);
  return new Set([byPosition, locateText(row, partitions)?.partition ?? byPosition]);
}

function locateText(row: Uint8Array, partitions: number): LocatedKey | undefined {
  try {
    return locate(keyOfRow(row), partitions);
  } catch (error: unknown) {
    if (error instanceof TypeError) return undefined; // of `decodeUtf8`: it is no UTF-8
    throw error;
  }
}

/** All rows of a partition. */
export function rangeOfPartition(partition: PartitionIndex, partitions: number): { gte: Uint8Array; lt?: Uint8Array } {
  const first = (index: number): Uint8Array => {
    const top16 = index * (partitionsMax / partitions);
    return Uint8Array.of(top16 >> 8, top16 & 255);
  };
  return partition + 1 < partitions ? { gte: first(partition), lt: first(partition + 1) } : { gte: first(partition) };
}
