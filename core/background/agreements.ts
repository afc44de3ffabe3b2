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

/** Of one peer, by partition; 0: never. 24 KiB at Q = 1024. */
interface Times {
  readonly last: Float64Array;
  /** The one that was old enough when last asked for, and the first since then, which will be. */
  readonly settled: Float64Array;
  readonly settling: Float64Array;
}

export class Agreements {
  readonly #partitions: number;
  readonly #times = new Map<NodeId, Times>();

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  note(peer: NodeId, partitions: Iterable<PartitionIndex>, atMs: number): void {
    const { last, settling } = this.#of(peer);
    for (const partition of partitions) {
      last[partition] = Math.max(last[partition]!, atMs);
      settling[partition] ||= atMs;
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

  /**
   * A time before `limitMs` since which all of these peers have agreed; undefined: there is none. Not the latest such time,
   * for agreements are renewed all the time and not all are kept; but one that follows the limit as it moves.
   */
  settledOfAllMs(partition: PartitionIndex, peers: readonly NodeId[], limitMs: number): number | undefined {
    let oldest = Infinity;
    for (const peer of peers) oldest = Math.min(oldest, this.#settledMs(partition, peer, limitMs));
    return oldest > 0 ? oldest : undefined;
  }

  #settledMs(partition: PartitionIndex, peer: NodeId, limitMs: number): number {
    const { settled, settling } = this.#of(peer);
    const nextMs = settling[partition]!;
    if (nextMs > 0 && nextMs < limitMs) {
      settled[partition] = nextMs;
      settling[partition] = 0;
    }
    return settled[partition]! < limitMs ? settled[partition]! : 0;
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
 * Own time before which whatever this node knew of the partition everybody knows, so that nobody can bring back what was
 * superseded by then; 0: none. Every owner has agreed with this node since; whatever was in flight then has arrived
 * (`inFlightMsMax`); and every other member, asked after that, holds nothing there: no hint, no former holding.
 */
export function forgettableBeforeMs(
  { cluster, holdings, ownTime, agreements }: ForgettingDeps,
  { partition, inFlightMsMax }: { readonly partition: PartitionIndex; readonly inFlightMsMax: number },
): number {
  const owners = cluster.ring.owners(partition);
  const isComplete = owners.includes(cluster.self) && holdings.get(partition) === "complete";
  if (!isComplete || !ownTime.isSettled || holdings.isHinted(partition)) return 0;
  let askedMs = ownTime.nowMs();
  for (const { id } of cluster.ring.members) {
    if (id === cluster.self) continue;
    if (!saysThatItHoldsNothing(cluster, id, { partition, isOwner: owners.includes(id) })) return 0;
    askedMs = Math.min(askedMs, ownTime.at(cluster.lastAskedMs(id) ?? -Infinity));
  }
  const limitMs = askedMs - inFlightMsMax;
  const others = owners.filter((owner) => owner !== cluster.self);
  return Math.min(limitMs, agreements.settledOfAllMs(partition, others, limitMs) ?? 0);
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
