/**
 * Keeps the rosters of the cluster equal: with every peer once when it connects, with all after an own change, and with
 * one random member a second whatever happens (paper 4.8.1). Suspects are probed the same way until they answer.
 * Invariant: correctness needs the random round only; the rest makes it fast.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import type { NodeId } from "../identity.ts";
import type { MemberRecord } from "../membership/member.ts";
import type { Random, Stop, Transport } from "../ports.ts";
import type { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

export interface MembersDeps {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly transport: Transport;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

/** Often enough to notice silence soon after it has lasted long enough. */
const sweepIntervalMs = 200;

export function keepMembership(deps: MembersDeps, options: { readonly reconcileIntervalMs: number }): Stop {
  const { cluster, tasks, transport } = deps;
  const others = (): NodeId[] => cluster.ring.members.flatMap(({ id }) => (id === cluster.self ? [] : [id]));
  const isConnected = (id: NodeId): boolean => cluster.health.connected.has(id);
  const reconcile = (peer: NodeId): void => tasks.run("exchange membership", () => deps.exchange.with(peer));

  const stopListening = transport.onPeerChange((id, connected) => {
    cluster.health.connectionChanged(id, connected);
    if (connected && cluster.roster.members.has(id)) reconcile(id);
  });
  for (const id of others().filter(isConnected)) reconcile(id);

  let before = { members: cluster.roster.members, ring: cluster.ring.fingerprint };
  cluster.onChange(() => {
    tellChanges(deps, before);
    before = { members: cluster.roster.members, ring: cluster.ring.fingerprint };
    transport.keep(addressesOf(cluster));
    tasks.run("save membership", () => cluster.save());
    // Whoever has not seen this change yet gets it now; agreeing peers answer a digest with "same".
    for (const id of others().filter(isConnected)) reconcile(id);
  });
  transport.keep(addressesOf(cluster));

  tasks.every("sweep peers", sweepIntervalMs, async () => cluster.health.sweep());
  tasks.every("reconcile membership", options.reconcileIntervalMs, async () => {
    for (const suspect of cluster.health.suspects) reconcile(suspect);
    const candidates = others().filter((id) => cluster.health.isUp(id));
    const peer = candidates[Math.floor(deps.random.next() * candidates.length)];
    if (peer !== undefined) await deps.exchange.with(peer);
  });
  return stopListening;
}

function addressesOf(cluster: Cluster): ReadonlyMap<NodeId, readonly string[]> {
  const members = [...cluster.roster.members.values()];
  const kept = members.filter(({ id }) => id !== cluster.self && cluster.isMember(id));
  return new Map(kept.map(({ id, addresses }) => [id, addresses]));
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
