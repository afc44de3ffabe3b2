/**
 * What a node tells of itself and of the ring as it sees it (PROTOCOL 15).
 */
import type { MemberView, NodeStatus, RingView } from "./api.ts";
import { hasBit } from "./bytes/bitmap.ts";
import type { Cluster } from "./cluster/cluster.ts";
import type { NodeConfig } from "./config.ts";
import type { CoordinateDeps } from "./coordinate/deps.ts";
import type { NodeId } from "./identity.ts";
import { isOnRing } from "./membership/roster.ts";
import { efficiencyOf } from "./placement/efficiency.ts";
import { allPartitions } from "./placement/partition.ts";

export interface StatusFacts {
  readonly id: NodeId;
  readonly name: string;
  readonly config: NodeConfig;
  readonly usage: { readonly bytes: number; readonly freeBytes?: number };
  readonly corruptRecords: number;
  readonly setAside: readonly string[];
  readonly uptimeMs: number;
  readonly waitingFor: string;
  readonly transfers: NodeStatus["transfers"];
}

/** `deps` undefined: the node has no place in a cluster yet. */
export function nodeStatus(deps: CoordinateDeps | undefined, facts: StatusFacts): NodeStatus {
  const { id, name, config, usage, corruptRecords, setAside, uptimeMs } = facts;
  const own = {
    id,
    cluster: name,
    r: config.r,
    w: config.w,
    storage: { state: deps?.replica.storageState ?? "ok", ...usage, corruptRecords, setAside },
    uptimeMs,
    transfers: facts.transfers,
  };
  if (deps === undefined) {
    const partitions = { owned: 0, filling: 0, handingOff: 0, everywhere: { filling: 0, handingOff: 0 } };
    const notices = [`waiting for ${facts.waitingFor}`];
    return {
      ...own,
      ready: false,
      notices,
      n: 0,
      members: [],
      ring: "",
      hints: 0,
      oldestHintMs: 0,
      partitions,
      keys: 0,
    };
  }
  const { cluster, replica, clock } = deps;
  const hints = replica.hints.summaries();
  const owned = cluster.ring.ownedBy(id);
  const oldestAtMs = Math.min(...hints.filter(({ count }) => count > 0).map((hint) => hint.oldestAtMs));
  return {
    ...own,
    ready: cluster.inContact && cluster.ring.host(id) !== undefined,
    notices: noticesOf(cluster, own.storage),
    n: cluster.roster.cluster.n,
    members: memberViews(cluster),
    ring: cluster.ring.fingerprint,
    hints: hints.reduce((sum, { count }) => sum + count, 0),
    oldestHintMs: Number.isFinite(oldestAtMs) ? Math.max(0, clock.wallTime() - oldestAtMs) : 0,
    partitions: {
      owned: owned.length,
      filling: owned.filter((partition) => replica.holdingOf(partition) !== "complete").length,
      handingOff: heldBeyond(cluster, id),
      everywhere: transfersEverywhere(cluster),
    },
    keys: replica.index.keys,
  };
}

export function ringView({ ring, roster }: Cluster): RingView {
  return {
    fingerprint: ring.fingerprint,
    partitions: ring.partitions,
    n: ring.n,
    tokens: roster.assignment.map(({ host }) => host),
    efficiency: efficiencyOf(ring),
  };
}

/** Partitions that a host says to hold and does not own. */
function heldBeyond({ roster, ring }: Cluster, id: NodeId): number {
  const record = roster.holdings.get(id);
  if (record === undefined) return 0;
  const isHeld = (partition: number): boolean => hasBit(record.complete, partition) || hasBit(record.former, partition);
  const held = allPartitions(ring.partitions).filter(isHeld).length;
  return held - ring.ownedBy(id).filter(isHeld).length;
}

function transfersEverywhere(cluster: Cluster): NodeStatus["partitions"]["everywhere"] {
  const { roster, ring } = cluster;
  const everywhere = { filling: 0, handingOff: 0 };
  for (const id of roster.members.keys()) {
    if (!cluster.isMember(id) || !cluster.health.isUp(id)) continue;
    // A new owner that has not spoken yet fills, too.
    const complete = roster.holdings.get(id)?.complete ?? new Uint8Array(0);
    everywhere.filling += ring.ownedBy(id).filter((partition) => !hasBit(complete, partition)).length;
    everywhere.handingOff += heldBeyond(cluster, id);
  }
  return everywhere;
}

function memberViews(cluster: Cluster): MemberView[] {
  return [...cluster.roster.members.values()].map((member) => ({
    id: member.id,
    status: member.status,
    kind: member.kind,
    alive: cluster.health.isUp(member.id),
    zone: member.zone,
    deviceGroup: member.deviceGroup,
    capacity: member.capacity,
    tokens: cluster.ring.tokensOf(member.id).length,
    life: member.life,
    incarnation: member.incarnation,
    addresses: member.addresses,
    http: member.http,
  }));
}

function noticesOf(cluster: Cluster, storage: NodeStatus["storage"]): string[] {
  const { ring, roster, health } = cluster;
  const notices: string[] = [];
  const hosts = ring.hosts.length;
  if (hosts < roster.cluster.n) {
    notices.push(`fewer hosts (${hosts}) than N=${roster.cluster.n}: each key has ${hosts} replicas`);
  }
  const { status } = cluster.ownRecord;
  if (!isOnRing(status)) {
    notices.push(
      `no member of the cluster any more (${status}): its data is kept; start it again with --seed to return`,
    );
  } else if (status === "leaving") notices.push("leaving the cluster: its partitions go to the others");
  else if (ring.host(cluster.self) === undefined) {
    notices.push("waiting for its share of the ring: partitions are filling, or nobody has told it to join");
  }
  if (!cluster.inContact) notices.push("no other member has answered since the start");
  const away = ring.hosts.filter(({ id }) => !health.isUp(id)).map(({ id }) => id);
  if (away.length > 0) notices.push(`${away.length} of ${hosts} hosts do not answer: ${away.join(", ")}`);
  if (storage.state !== "ok") notices.push(`storage is ${storage.state}: reads go on, writes are refused here`);
  if (storage.corruptRecords > 0) notices.push(`${storage.corruptRecords} reads met a damaged record`);
  if (storage.setAside.length > 0) notices.push(`damaged data was set aside: ${storage.setAside.join(", ")}`);
  if (roster.cluster.admission === "open")
    notices.push("admission is open: whoever reaches this host may read and write");
  return notices;
}
