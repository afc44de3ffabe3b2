/**
 * What a node tells of itself and of the ring as it sees it (PROTOCOL 15).
 */
import type { AntiEntropyView, AwayFill, HintsView, MemberView, NodeStatus, RingView } from "./api.ts";
import type { AgreementAges } from "./background/agreements.ts";
import type { AntiEntropy } from "./background/anti-entropy.ts";
import type { Leases } from "./background/leases.ts";
import type { Leaving } from "./background/leave.ts";
import { hasBit } from "./bytes/bitmap.ts";
import type { Cluster } from "./cluster/cluster.ts";
import type { NodeConfig } from "./config.ts";
import type { CoordinateDeps } from "./coordinate/deps.ts";
import type { NodeId } from "./identity.ts";
import type { MemberRecord } from "./membership/member.ts";
import { isOnRing } from "./membership/roster.ts";
import { efficiencyOf } from "./placement/efficiency.ts";
import { allPartitions } from "./placement/partition.ts";

/** What a running node is asked of. */
export interface StatusDeps extends CoordinateDeps {
  readonly antiEntropy: AntiEntropy;
  readonly leases: Leases;
  readonly leaving: Leaving;
  readonly agreementAges: AgreementAges;
}

export interface StatusFacts {
  readonly id: NodeId;
  readonly name: string;
  readonly config: NodeConfig;
  /** Undefined: the storage cannot tell. */
  readonly usage: { readonly bytes: number; readonly freeBytes?: number } | undefined;
  readonly setAside: readonly string[];
  readonly uptimeMs: number;
  readonly waitingFor: string;
  readonly tombstones: NodeStatus["tombstones"];
  readonly transfers: NodeStatus["transfers"];
}

const rivalShownMs = 300_000;

/** `deps` undefined: the node has no place in a cluster yet. */
export function nodeStatus(deps: StatusDeps | undefined, facts: StatusFacts): NodeStatus {
  const { id, name, config, usage, setAside, uptimeMs } = facts;
  const state = usage === undefined ? "failed" : (deps?.replica.commits.state ?? "ok");
  const own = {
    id,
    cluster: name,
    r: config.r,
    w: config.w,
    storage: { state, bytes: 0, ...usage, corruptRecords: deps?.replica.damaged.keys().length ?? 0, setAside },
    uptimeMs,
    tombstones: facts.tombstones,
    transfers: facts.transfers,
  };
  if (deps === undefined) {
    const partitions = { owned: 0, filling: 0, handingOff: 0, everywhere: { filling: 0, handingOff: 0, away: [] } };
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
      hintsFor: [],
      antiEntropy: nothingCompared,
      partitions,
      keys: 0,
    };
  }
  const { cluster, replica } = deps;
  const hintsFor = hintViews(deps);
  const owned = cluster.ring.ownedBy(id);
  return {
    ...own,
    ready: cluster.inContact && cluster.ring.host(id) !== undefined,
    notices: [...noticesOf(cluster, own.storage, deps.clock.now()), ...deps.leaving.notices, ...deps.leases.waiting],
    n: cluster.roster.cluster.n,
    members: memberViews(deps),
    ring: cluster.ring.fingerprint,
    hints: hintsFor.reduce((sum, { count }) => sum + count, 0),
    oldestHintMs: Math.max(0, ...hintsFor.map(({ oldestMs }) => oldestMs)),
    hintsFor,
    antiEntropy: antiEntropyView(deps),
    partitions: {
      owned: owned.length,
      filling: owned.filter((partition) => replica.holdingOf(partition) !== "complete").length,
      handingOff: heldBeyond(cluster, id),
      everywhere: transfersEverywhere(cluster),
    },
    keys: replica.index.keys,
  };
}

/** The node has a place in the ring, and others there to turn to if there are any. */
export function isConnected({ inContact, ring, self, health }: Cluster): boolean {
  const others = ring.hosts.filter(({ id }) => id !== self);
  const isAlone = others.length === 0;
  return inContact && ring.host(self) !== undefined && (isAlone || others.some(({ id }) => health.isUp(id)));
}

const nothingCompared: AntiEntropyView = {
  rounds: 0,
  failed: 0,
  keysPushed: 0,
  keysPulled: 0,
  bytes: 0,
  partitionsAgreed: 0,
  fullAgreementAgoMs: null,
};

function hintViews({ replica, clock }: StatusDeps): HintsView[] {
  const nowMs = clock.wallTime();
  return replica.hints.summaries().map(({ target, count, bytes, oldestAtMs }) => ({
    for: target,
    count,
    bytes,
    oldestMs: Math.max(0, nowMs - oldestAtMs),
  }));
}

function antiEntropyView({ antiEntropy, agreementAges, cluster, clock }: StatusDeps): AntiEntropyView {
  const { last, ...totals } = antiEntropy.totals;
  const owned = cluster.ring.ownedBy(cluster.self);
  const ages = owned.flatMap((partition) => agreementAges.withAll(partition) ?? []);
  return {
    ...totals,
    ...(last === undefined
      ? {}
      : { lastRound: { peer: last.peer, agoMs: clock.now() - last.atMs, outcome: last.outcome } }),
    partitionsAgreed: ages.length,
    fullAgreementAgoMs: ages.length === owned.length && owned.length > 0 ? Math.max(...ages) : null,
  };
}

export function ringView({ ring, roster }: Cluster, agreementAges: AgreementAges): RingView {
  return {
    agreedAgoMs: allPartitions(ring.partitions).map((partition) => agreementAges.withAll(partition) ?? null),
    fingerprint: ring.fingerprint,
    partitions: ring.partitions,
    n: ring.n,
    tokens: roster.assignment.map(({ host }) => host),
    efficiency: efficiencyOf(ring),
    changes: roster.changes,
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
  const up = { filling: 0, handingOff: 0 };
  const away: AwayFill[] = [];
  for (const id of roster.members.keys()) {
    if (!cluster.isMember(id)) continue;
    // A new owner that has not spoken yet fills, too.
    const complete = roster.holdings.get(id)?.complete ?? new Uint8Array(0);
    const filling = ring.ownedBy(id).filter((partition) => !hasBit(complete, partition)).length;
    if (cluster.health.isUp(id)) {
      up.filling += filling;
      up.handingOff += heldBeyond(cluster, id);
    } else if (filling > 0) away.push({ id, filling });
  }
  return { ...up, away };
}

function memberViews({ cluster, leases }: StatusDeps): MemberView[] {
  return [...cluster.roster.members.values()].map((member) => ({
    id: member.id,
    status: member.status,
    kind: member.kind,
    ...leaseOf(member, leases),
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

function leaseOf({ id, status, leaseMs }: MemberRecord, leases: Leases): Pick<MemberView, "lease"> {
  const leftMs = leases.leftMs(id);
  if (leaseMs === undefined || leftMs === undefined || !isOnRing(status)) return {};
  return { lease: { ms: leaseMs, leftMs } };
}

function noticesOf(cluster: Cluster, storage: NodeStatus["storage"], nowMs: number): string[] {
  const { ring, roster, health } = cluster;
  const notices: string[] = [];
  const hosts = ring.hosts.length;
  if (hosts < roster.cluster.n) {
    notices.push(`fewer hosts (${hosts}) than N=${roster.cluster.n}: each key has ${hosts} replicas`);
  }
  const { status } = cluster.ownRecord;
  if (status === "left") notices.push("it has left the cluster, and ends when another host knows");
  else if (!isOnRing(status)) {
    const how = status === "lapsed" ? "it returns by itself" : "start it again with --seed to return";
    notices.push(`no member of the cluster any more (${status}): its data is kept; ${how}`);
  } else if (status === "leaving") notices.push("leaving the cluster: its partitions go to the others");
  else if (ring.host(cluster.self) === undefined) {
    notices.push(
      "waiting for its share of the ring: partitions are filling, or it waits for `everwrite join ID` (--no-join)",
    );
  }
  if (!cluster.inContact) notices.push("no other member has answered since the start");
  const { rivalAtMs } = cluster;
  if (rivalAtMs !== undefined && nowMs - rivalAtMs < rivalShownMs) {
    notices.push("another process runs, or ran, with this host's identity: its key must be used once");
  }
  const away = ring.hosts.filter(({ id }) => !health.isUp(id)).map(({ id }) => id);
  if (away.length > 0) notices.push(`${away.length} of ${hosts} hosts do not answer: ${away.join(", ")}`);
  if (storage.state !== "ok") notices.push(`storage is ${storage.state}: reads go on, writes are refused here`);
  if (storage.corruptRecords > 0) notices.push(`${storage.corruptRecords} records are damaged and not mended yet`);
  if (storage.setAside.length > 0) notices.push(`data was set aside: ${storage.setAside.join(", ")}`);
  if (roster.cluster.admission === "open")
    notices.push("admission is open: whoever reaches this host may read and write");
  return notices;
}
