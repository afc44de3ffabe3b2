/**
 * When this node last knew a partition to be equal here and at a peer: truncation and reaping wait for it (PROTOCOL 3, 10).
 * Invariant: all that this node had stored of the partition by the time recorded, the peer had too.
 * In memory only: after a restart nothing is known, which is the safe side.
 */
import type { NodeId, PartitionIndex } from "../identity.ts";

export class Agreements {
  readonly #partitions: number;
  /** Wall times by partition, 0: never. 8 KiB a peer at Q = 1024. */
  readonly #times = new Map<NodeId, Float64Array>();

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  note(peer: NodeId, partitions: Iterable<PartitionIndex>, atMs: number): void {
    let times = this.#times.get(peer);
    if (times === undefined) {
      times = new Float64Array(this.#partitions);
      this.#times.set(peer, times);
    }
    for (const partition of partitions) times[partition] = Math.max(times[partition]!, atMs);
  }

  /** By `wallTime()`; undefined: not since the start. */
  lastMs(partition: PartitionIndex, peer: NodeId): number | undefined {
    const atMs = this.#times.get(peer)?.[partition] ?? 0;
    return atMs === 0 ? undefined : atMs;
  }

  /** The time since which all of these peers have agreed; undefined: one of them never did. */
  lastOfAllMs(partition: PartitionIndex, peers: readonly NodeId[]): number | undefined {
    let oldest = Infinity;
    for (const peer of peers) oldest = Math.min(oldest, this.lastMs(partition, peer) ?? -Infinity);
    return Number.isFinite(oldest) ? oldest : undefined;
  }
}
