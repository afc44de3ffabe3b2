/**
 * Partitions: the hash space cut in Q equal parts, for ever (the paper's strategy 3, 6.2).
 * Invariant: a key's partition depends on its bytes and Q alone.
 */
import { StoreError } from "../errors.ts";
import type { PartitionIndex } from "../identity.ts";

/** The top 16 bits of a position are enough for any Q. */
export const partitionsMax = 65_536;

/** Q as given by a user: a power of two in 1..65,536, so that a partition is the top bits of a position. Throws `bad-request`. */
export function checkPartitions(partitions: number): number {
  const isPowerOfTwo =
    Number.isInteger(partitions) && partitions >= 1 && 2 ** Math.round(Math.log2(partitions)) === partitions;
  if (isPowerOfTwo && partitions <= partitionsMax) return partitions;
  throw new StoreError("bad-request", `partitions must be a power of two in 1..${partitionsMax}, not ${partitions}`);
}

/** The partition of a ring position: its top log2(Q) bits. */
export function partitionOf(position: Uint8Array, partitions: number): PartitionIndex {
  const top16 = ((position[0] ?? 0) << 8) | (position[1] ?? 0);
  return Math.floor((top16 * partitions) / partitionsMax) as PartitionIndex;
}

let all: readonly PartitionIndex[] = [];

/** All partitions, 0..Q-1. A node has one Q, so they are listed once. */
export function allPartitions(partitions: number): readonly PartitionIndex[] {
  if (all.length !== partitions) all = Array.from({ length: partitions }, (_, index) => index as PartitionIndex);
  return all;
}
