/**
 * The hash trees of all partitions of one node.
 *
 * A leaf is one of 64 equal ranges of its partition's part of the ring; its hash is the sum of the hashes of the keys in
 * it, and the hash of everything above is the sum of what is below. Sums need no order and no neighbours, so a change
 * costs two additions, and trees built in any order are equal. The sums are of 2 lanes of 32 bits, each modulo 2^32: two
 * sets of keys that differ have one sum by chance once in 2^64. To find such sets on purpose takes control over many
 * clocks, and those contain random actors and stamps that hosts give.
 *
 * 64 leaves: at the 1,000 keys of a partition that 1 M keys make (Q = 1024), a partition's leaves (512 bytes) and a
 * leaf's keys (16 of 8 bytes) are both cheap to send; with 16 M keys a leaf's list has grown to 2 KB.
 * Memory: a partition without keys takes 12 bytes; any other about 740, of which 512 are its leaves.
 *
 * Invariant: trees with the same entries are equal, however they came about.
 */
import type { PartitionIndex } from "../identity.ts";
import { type Hash64, hashBytes, writeHash } from "./hash.ts";

export const leavesPerPartition = 64;

/** All leaves of all partitions, counted through; the top bits of a position. */
export type LeafIndex = number;

/** Q * 64 is at most 2^22, so the first three bytes of a position tell its leaf. */
const positions = 2 ** 24;
const none: Hash64 = { high: 0, low: 0 };

export class HashTrees {
  readonly partitions: number;
  readonly #roots: Uint32Array;
  readonly #keys: Uint32Array;
  /** Made with the first key of a partition. */
  readonly #leaves: (Uint32Array | undefined)[] = [];

  constructor(partitions: number) {
    this.partitions = partitions;
    this.#roots = new Uint32Array(2 * partitions);
    this.#keys = new Uint32Array(partitions);
  }

  /** Replaces what the tree knows of the key in `row`; undefined: the key is not there. */
  update(row: Uint8Array, before: Hash64 | undefined, after: Hash64 | undefined): void {
    const leaf = this.leafOf(row);
    const partition = partitionOfLeaf(leaf);
    const leaves = (this.#leaves[partition] ??= new Uint32Array(2 * leavesPerPartition));
    const at = leaf % leavesPerPartition;
    const high = (after ?? none).high - (before ?? none).high;
    const low = (after ?? none).low - (before ?? none).low;
    leaves[2 * at]! += high;
    leaves[2 * at + 1]! += low;
    this.#roots[2 * partition]! += high;
    this.#roots[2 * partition + 1]! += low;
    this.#keys[partition]! += Number(after !== undefined) - Number(before !== undefined);
  }

  clear(partition: PartitionIndex): void {
    this.#leaves[partition] = undefined;
    this.#roots.fill(0, 2 * partition, 2 * partition + 2);
    this.#keys[partition] = 0;
  }

  keysIn(partition: PartitionIndex): number {
    return this.#keys[partition]!;
  }

  rootOf(partition: PartitionIndex): Hash64 {
    return { high: this.#roots[2 * partition]!, low: this.#roots[2 * partition + 1]! };
  }

  /** The hashes of a partition's leaves, 8 bytes each. */
  leafHashes(partition: PartitionIndex): Uint8Array {
    const list = new Uint8Array(leavesPerPartition * hashBytes);
    const leaves = this.#leaves[partition];
    if (leaves === undefined) return list;
    for (let i = 0; i < leavesPerPartition; i++) {
      writeHash(list, i, { high: leaves[2 * i]!, low: leaves[2 * i + 1]! });
    }
    return list;
  }

  leafHash(leaf: LeafIndex): Hash64 {
    const leaves = this.#leaves[partitionOfLeaf(leaf)];
    const at = 2 * (leaf % leavesPerPartition);
    return leaves === undefined ? none : { high: leaves[at]!, low: leaves[at + 1]! };
  }

  get leafCount(): number {
    return this.partitions * leavesPerPartition;
  }

  leafOf(row: Uint8Array): LeafIndex {
    const top = (row[0]! << 16) | (row[1]! << 8) | row[2]!;
    return Math.floor((top * this.leafCount) / positions);
  }

  /** The rows of a leaf are one range. */
  rangeOfLeaf(leaf: LeafIndex): { readonly gte: Uint8Array; readonly lt?: Uint8Array } {
    const count = this.leafCount;
    const first = (index: LeafIndex): Uint8Array => {
      const top = index * (positions / count);
      return Uint8Array.of(top >> 16, (top >> 8) & 255, top & 255);
    };
    return leaf + 1 < count ? { gte: first(leaf), lt: first(leaf + 1) } : { gte: first(leaf) };
  }
}

export function partitionOfLeaf(leaf: LeafIndex): PartitionIndex {
  return Math.floor(leaf / leavesPerPartition) as PartitionIndex;
}
