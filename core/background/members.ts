/**
 * Keeps the rosters of the cluster equal: with every peer once when it connects, with a few after changes, and with one
 * random member a second whatever happens (paper 4.8.1). A peer that was not heard of lately gets a heartbeat, so that its
 * silence is noticed before a request meets it; suspects are probed until they answer. Both are exchanges, which cost a
 * digest where rosters agree.
 * Invariant: correctness needs the random round only; the rest, gossip included, makes it fast.
 */
import type { ChangeOrigin, Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { sweepIntervalMs } from "../cluster/health.ts";
import type { NodeId } from "../identity.ts";
import type { MemberRecord } from "../membership/member.ts";
import { addressesOf } from "../membership/roster.ts";
import type { Clock, Gossip, Random, Stop, Transport } from "../ports.ts";
import type { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import { spreadByGossip } from "./gossip.ts";

export interface MembersDeps {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly transport: Transport;
  readonly gossip?: Gossip;
  readonly clock: Clock;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

/** Peers that are told of a change at once, each of which tells as many: 1,000 hosts in 6 steps. */
const fanOut = 3;
/** Changes come in numbers, while partitions are filled, say: the first is passed on at once, and those of this time together. */
const gatherMs = 100;
/** A copy of a data directory that is older than this can find out that it is one (PROTOCOL 9). */
const markIntervalMs = 3_600_000;

export function keepMembership(deps: MembersDeps, options: { readonly reconcileIntervalMs: number }): Stop {
  const { cluster, clock, tasks, transport } = deps;
  const { health } = cluster;
  const others = (): NodeId[] => cluster.ring.members.flatMap(({ id }) => (id === cluster.self ? [] : [id]));
  const connected = (): NodeId[] => others().filter((id) => health.connected.has(id));
  const reconcile = (peer: NodeId): void => tasks.run("exchange membership", () => deps.exchange.with(peer));

  const stopListening = transport.onPeerChange((id, isConnected) => {
    health.connectionChanged(id, isConnected);
    if (isConnected && cluster.roster.members.has(id)) reconcile(id);
  });
  for (const id of connected()) reconcile(id);
  let isGathering = false;
  let isMore = false;
  const passOn = (): void => {
    isMore = isGathering;
    if (isGathering) return;
    isGathering = true;
    for (const id of someOf(connected(), fanOut, deps.random)) reconcile(id);
    tasks.after(gatherMs, () => {
      isGathering = false;
      if (isMore) passOn();
    });
  };
  const stopGossip = deps.gossip === undefined ? undefined : spreadByGossip({ ...deps, gossip: deps.gossip });

  let before = { members: cluster.roster.members, ring: cluster.ring.fingerprint };
  cluster.onChange((origin: ChangeOrigin) => {
    tellChanges(deps, before);
    before = { members: cluster.roster.members, ring: cluster.ring.fingerprint };
    transport.keep(addressesOf(cluster.roster, cluster.self));
    tasks.run("save membership", () => cluster.save());
    // Gossip tells all; whoever has a change otherwise passes it on. Agreeing peers answer a digest with "same".
    if (origin !== "gossip") passOn();
  });
  transport.keep(addressesOf(cluster.roster, cluster.self));

  let drawnMs = clock.now();
  const beaten = new Map<NodeId, number>();
  tasks.every("watch peers", sweepIntervalMs, () => {
    health.sweep();
    // One heartbeat at most each time: ten peers a second; more take turns, and real traffic tells of most.
    const id = longestUnheard(cluster, beaten, clock.now() - options.reconcileIntervalMs);
    if (id === undefined) return;
    beaten.set(id, clock.now());
    reconcile(id);
  });
  tasks.every("reconcile membership", options.reconcileIntervalMs, async () => {
    for (const suspect of health.suspects) reconcile(suspect);
    if (clock.now() - drawnMs >= markIntervalMs) {
      drawnMs = clock.now();
      tasks.run("draw a mark", () => cluster.drawMark());
    }
    const candidates = others().filter((id) => health.isUp(id));
    const [peer] = someOf(candidates, 1, deps.random);
    if (peer !== undefined) await deps.exchange.with(peer);
  });
  return () => {
    stopListening();
    stopGossip?.();
  };
}

/** A member that was neither heard of nor asked since then; of several the one that was silent for longest. */
function longestUnheard(cluster: Cluster, asked: ReadonlyMap<NodeId, number>, sinceMs: number): NodeId | undefined {
  const { connected } = cluster.health;
  const heardMs = (id: NodeId): number => cluster.health.state(id)?.lastHeardMs ?? -Infinity;
  let longest: NodeId | undefined;
  for (const id of connected) {
    if (heardMs(id) > sinceMs || (asked.get(id) ?? -Infinity) > sinceMs || !cluster.isMember(id)) continue;
    if (longest === undefined || heardMs(id) < heardMs(longest)) longest = id;
  }
  return longest;
}

function someOf(ids: readonly NodeId[], count: number, random: Random): NodeId[] {
  const left = [...ids];
  const chosen: NodeId[] = [];
  while (chosen.length < count && left.length > 0) {
    chosen.push(...left.splice(Math.floor(random.next() * left.length), 1));
  }
  return chosen;
}

function tellChanges(
  { cluster, telemetry }: MembersDeps,
  before: { readonly members: ReadonlyMap<NodeId, MemberRecord>; readonly ring: string },
): void {
  for (const [id, { status }] of cluster.roster.members) {
    if (before.members.get(id)?.status !== status) telemetry.event({ kind: "member-changed", id, status });
  }
  const { fingerprint, hosts } = cluster.ring;
  if (fingerprint !== before.ring) telemetry.event({ kind: "ring-changed", fingerprint, members: hosts.length });
}
