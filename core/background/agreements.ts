/**
 * When this node last knew a partition to be equal here and at a peer: what may be forgotten of clocks depends on it
 * (`forgetting.ts`), and status tells it.
 * Invariant: all that this node had stored of the partition by the time recorded, the peer had too.
 * In memory only: after a restart nothing is known, which is the safe side. Times are of `OwnTime`.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { OwnTime } from "../replica/own-time.ts";

export class Agreements {
  readonly #partitions: number;
  /** Of each peer, by partition; 0: never. 8 KiB at Q = 1024. */
  readonly #lastMs = new Map<NodeId, Float64Array>();

  constructor(partitions: number) {
    this.#partitions = partitions;
  }

  note(peer: NodeId, partitions: Iterable<PartitionIndex>, atMs: number): void {
    let lastMs = this.#lastMs.get(peer);
    if (lastMs === undefined) this.#lastMs.set(peer, (lastMs = new Float64Array(this.#partitions)));
    for (const partition of partitions) lastMs[partition] = Math.max(lastMs[partition]!, atMs);
  }

  /** Those of others are forgotten: pages come and go under ever new names. */
  keep(isMember: (peer: NodeId) => boolean): void {
    for (const peer of this.#lastMs.keys()) if (!isMember(peer)) this.#lastMs.delete(peer);
  }

  /** Undefined: not since the start. */
  lastMs(partition: PartitionIndex, peer: NodeId): number | undefined {
    return this.#lastMs.get(peer)?.[partition] || undefined;
  }

  /** The time since which all of these peers have agreed; undefined: one of them never did. */
  lastOfAllMs(partition: PartitionIndex, peers: readonly NodeId[]): number | undefined {
    let oldest = Infinity;
    for (const peer of peers) oldest = Math.min(oldest, this.lastMs(partition, peer) ?? -Infinity);
    return Number.isFinite(oldest) ? oldest : undefined;
  }
}

export interface AgreementDeps {
  readonly cluster: Cluster;
  readonly ownTime: OwnTime;
  readonly agreements: Agreements;
}

/** Own time since which all other owners have agreed; undefined: it is no own partition, or one has not since the start. */
export function lastFullAgreementMs(
  { cluster, ownTime, agreements }: AgreementDeps,
  partition: PartitionIndex,
): number | undefined {
  const owners = cluster.ring.owners(partition);
  if (!owners.includes(cluster.self)) return undefined;
  const others = owners.filter((owner) => owner !== cluster.self);
  return others.length === 0 ? ownTime.nowMs() : agreements.lastOfAllMs(partition, others);
}

/** How long ago partitions of this node were last known to be equal elsewhere. */
export class AgreementAges {
  readonly #deps: AgreementDeps;

  constructor(deps: AgreementDeps) {
    this.#deps = deps;
  }

  with(partition: PartitionIndex, peer: NodeId): number | undefined {
    return this.#ageOf(this.#deps.agreements.lastMs(partition, peer));
  }

  /** With all other owners: the last full agreement. Undefined: it is no own partition, or there was none since the start. */
  withAll(partition: PartitionIndex): number | undefined {
    return this.#ageOf(lastFullAgreementMs(this.#deps, partition));
  }

  #ageOf(atMs: number | undefined): number | undefined {
    return atMs === undefined ? undefined : this.#deps.ownTime.nowMs() - atMs;
  }
}
