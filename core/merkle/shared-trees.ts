/**
 * What one of two hosts says of the trees of the partitions that both hold: groups of partitions, partitions, leaves.
 *
 * The square root of Q is the fan-out of both upper levels, which makes their sum least: 256 + 256 bytes for Q = 1024.
 * Who gets the hashes of one level answers with those of the next, wherever they differ. So a round trip goes down two
 * levels: 1 for the groups, 1 for partitions and leaves, 1 for the keys of the leaves.
 *
 * Invariant: a partition that is not shared has the hash 0 in its group, and an answer without hashes: it is neither
 * equal nor different.
 */
import type { PartitionIndex } from "../identity.ts";
import { type Hash64, hashBytes, hashOfNumbers, sumOf, writeHash } from "./hash.ts";
import { type HashTrees, type LeafIndex, leavesPerPartition } from "./trees.ts";

/** The hashes of all that lies directly under one node of the tree. */
export interface Section {
  /** Of a group, a partition or a leaf. */
  readonly index: number;
  /** 8 bytes each. */
  readonly hashes: Uint8Array;
}

export class SharedTrees {
  /** Ascending. */
  readonly partitions: readonly PartitionIndex[];
  readonly #trees: HashTrees;
  readonly #shared: ReadonlySet<PartitionIndex>;
  readonly #groupSize: number;

  constructor(trees: HashTrees, partitions: readonly PartitionIndex[]) {
    this.partitions = partitions;
    this.#trees = trees;
    this.#shared = new Set(partitions);
    this.#groupSize = 2 ** Math.ceil(Math.log2(trees.partitions) / 2);
  }

  /** 8 bytes, equal when which partitions are shared and all that is in them is. */
  digest(): Uint8Array {
    const list = new Uint8Array(hashBytes);
    writeHash(list, 0, sumOf(this.partitions.map((partition) => this.#hashOf(partition))));
    return list;
  }

  /** The hashes of all groups. */
  groups(): Uint8Array {
    const count = Math.ceil(this.#trees.partitions / this.#groupSize);
    const list = new Uint8Array(count * hashBytes);
    for (let group = 0; group < count; group++) {
      writeHash(list, group, sumOf(this.#sharedIn(group).map((partition) => this.#hashOf(partition))));
    }
    return list;
  }

  /** The hashes of a group's partitions; undefined: there is no such group. */
  group(index: number): Section | undefined {
    const { start, end } = this.#boundsOf(index);
    if (!(start < end)) return undefined;
    const hashes = new Uint8Array((end - start) * hashBytes);
    for (const partition of this.#sharedIn(index)) writeHash(hashes, partition - start, this.#hashOf(partition));
    return { index, hashes };
  }

  /** The group of a partition. */
  groupOf(partition: PartitionIndex): Section {
    return this.group(Math.floor(partition / this.#groupSize))!;
  }

  /** To whoever sent the hashes of some groups' partitions: the leaves of the partitions that differ. */
  answerGroups(groups: readonly Section[]): Section[] {
    return groups.flatMap(({ index, hashes }) => {
      const own = this.group(index);
      if (own === undefined) return [];
      const { start } = this.#boundsOf(index);
      return differing(own.hashes, hashes.subarray(0, own.hashes.length)).flatMap((child) => {
        if (isZero(hashes, child)) return [];
        const partition = (start + child) as PartitionIndex;
        const isShared = this.#shared.has(partition);
        return [{ index: partition, hashes: isShared ? this.#trees.leafHashes(partition) : new Uint8Array(0) }];
      });
    });
  }

  /** The shared partitions of a group. */
  partitionsOf(group: number): PartitionIndex[] {
    return this.#sharedIn(group);
  }

  /** The leaves of a partition that differ from those in `hashes`; none when these are not the leaves of a partition. */
  leavesDiffering({ index, hashes }: Section): LeafIndex[] {
    if (hashes.length !== leavesPerPartition * hashBytes) return [];
    const own = this.#trees.leafHashes(index as PartitionIndex);
    return differing(own, hashes).map((leaf) => index * leavesPerPartition + leaf);
  }

  #sharedIn(group: number): PartitionIndex[] {
    const { start, end } = this.#boundsOf(group);
    const found: PartitionIndex[] = [];
    for (let partition = start; partition < end; partition++) {
      if (this.#shared.has(partition as PartitionIndex)) found.push(partition as PartitionIndex);
    }
    return found;
  }

  #boundsOf(group: number): { readonly start: number; readonly end: number } {
    const start = group * this.#groupSize;
    return { start, end: Math.min(start + this.#groupSize, this.#trees.partitions) };
  }

  /** Not 0 for an empty partition: sharing nothing and sharing an empty partition are told apart. */
  #hashOf(partition: PartitionIndex): Hash64 {
    const { high, low } = this.#trees.rootOf(partition);
    const presence = hashOfNumbers(partition, this.#trees.partitions);
    return { high: (high + presence.high) >>> 0, low: (low + presence.low) >>> 0 };
  }
}

/** Which of two lists of hashes differ; one that is missing differs from any. */
export function differing(a: Uint8Array, b: Uint8Array): number[] {
  const found: number[] = [];
  for (let index = 0; index * hashBytes < Math.max(a.length, b.length); index++) {
    const end = (index + 1) * hashBytes;
    for (let at = index * hashBytes; at < end; at++) {
      if (a[at] === b[at]) continue;
      found.push(index);
      break;
    }
  }
  return found;
}

function isZero(hashes: Uint8Array, index: number): boolean {
  return hashes.subarray(index * hashBytes, (index + 1) * hashBytes).every((byte) => byte === 0);
}
