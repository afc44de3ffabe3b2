/**
 * When this node last knew a partition to be equal here and at a peer, and what may therefore be forgotten: truncation
 * and reaping wait for it (PROTOCOL 3, 10).
 * Invariant: all that this node had stored of the partition by the time recorded, the peer had too.
 * In memory only: after a restart nothing is known, which is the safe side. Times are of `OwnTime`.
 */
import { hasBit } from "../bytes/bitmap.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { OwnTime } from "../replica/own-time.ts";

/** Of one peer, by partition; 0: never. 16 KiB at Q = 1024. */
interface Times {
  readonly last: Float64Array;
  /** The newest that is old enough, and the oldest of those that will be next: agreements are renewed all the time. */
  readonly settled: Float64Array;
  readonly settling: Float64Array;
}

export class Agreements {
  readonly #partitions: number;
  readonly #inFlightMsMax: number;
  readonly #times = new Map<NodeId, Times>();

  /** `inFlightMsMax`: no state that was read longer ago is still on its way to anybody. */
  constructor(partitions: number, { inFlightMsMax }: { readonly inFlightMsMax: number }) {
    this.#partitions = partitions;
    this.#inFlightMsMax = inFlightMsMax;
  }

  note(peer: NodeId, partitions: Iterable<PartitionIndex>, atMs: number): void {
    const times = this.#of(peer);
    for (const partition of partitions) {
      times.last[partition] = Math.max(times.last[partition]!, atMs);
      this.#settle(times, partition, atMs);
      times.settling[partition] ||= atMs;
    }
  }

  /** Undefined: not since the start. */
  lastMs(partition: PartitionIndex, peer: NodeId): number | undefined {
    return this.#times.get(peer)?.last[partition] || undefined;
  }

  /** The time since which all of these peers have agreed; undefined: one of them never did. */
  lastOfAllMs(partition: PartitionIndex, peers: readonly NodeId[]): number | undefined {
    let oldest = Infinity;
    for (const peer of peers) oldest = Math.min(oldest, this.lastMs(partition, peer) ?? -Infinity);
    return Number.isFinite(oldest) ? oldest : undefined;
  }

  /** Of all these peers the latest agreements from before which no message is in flight at `nowMs`: oldest and newest. */
  settledOfAllMs(
    partition: PartitionIndex,
    peers: readonly NodeId[],
    nowMs: number,
  ): { readonly oldestMs: number; readonly newestMs: number } | undefined {
    let [oldestMs, newestMs] = [Infinity, 0];
    for (const peer of peers) {
      const times = this.#times.get(peer);
      if (times === undefined) return undefined;
      this.#settle(times, partition, nowMs);
      const settledMs = times.settled[partition]!;
      if (settledMs === 0) return undefined;
      oldestMs = Math.min(oldestMs, settledMs);
      newestMs = Math.max(newestMs, settledMs);
    }
    return { oldestMs, newestMs };
  }

  #settle({ settled, settling }: Times, partition: PartitionIndex, nowMs: number): void {
    const nextMs = settling[partition]!;
    if (nextMs === 0 || nowMs - nextMs <= this.#inFlightMsMax) return;
    settled[partition] = nextMs;
    settling[partition] = 0;
  }

  #of(peer: NodeId): Times {
    let times = this.#times.get(peer);
    if (times === undefined) {
      const never = (): Float64Array => new Float64Array(this.#partitions);
      times = { last: never(), settled: never(), settling: never() };
      this.#times.set(peer, times);
    }
    return times;
  }
}

export interface ForgettingDeps {
  readonly cluster: Cluster;
  readonly holdings: Holdings;
  readonly ownTime: OwnTime;
  readonly agreements: Agreements;
}

/**
 * Own time before which whatever this node knew of the partition everybody knows, so that nobody can bring back what it
 * had superseded by then: every owner has agreed with it since, whatever was in flight then has arrived, and every
 * other member, asked after that, holds nothing there: no hint, no former holding. 0: nothing may be forgotten.
 */
export function forgettableBeforeMs(
  { cluster, holdings, ownTime, agreements }: ForgettingDeps,
  { partition, inFlightMsMax }: { readonly partition: PartitionIndex; readonly inFlightMsMax: number },
): number {
  const owners = cluster.ring.owners(partition);
  const isComplete = owners.includes(cluster.self) && holdings.get(partition) === "complete";
  if (!isComplete || !ownTime.isSettled || holdings.isHinted(partition)) return 0;
  const others = owners.filter((owner) => owner !== cluster.self);
  const nowMs = ownTime.nowMs();
  const agreed = agreements.settledOfAllMs(partition, others, nowMs);
  if (agreed === undefined) return 0;
  let askedMs = nowMs;
  for (const { id } of cluster.ring.members) {
    if (id === cluster.self) continue;
    if (!saysThatItHoldsNothing(cluster, id, { partition, isOwner: owners.includes(id) })) return 0;
    askedMs = Math.min(askedMs, ownTime.at(cluster.lastAskedMs(id) ?? -Infinity));
  }
  // The answers must be younger than whatever was in flight at the agreements: else it may have become a hint since.
  if (askedMs <= agreed.newestMs + inFlightMsMax) return 0;
  return Math.min(agreed.oldestMs, askedMs - inFlightMsMax);
}

/** Beyond what it owns, by what it last said. */
function saysThatItHoldsNothing(
  { roster }: Cluster,
  id: NodeId,
  { partition, isOwner }: { readonly partition: PartitionIndex; readonly isOwner: boolean },
): boolean {
  const record = roster.holdings.get(id);
  if (record === undefined) return false;
  const beyond = isOwner ? [record.hints] : [record.hints, record.complete, record.filling, record.former];
  return !beyond.some((bits) => hasBit(bits, partition));
}
