/**
 * Where a key is, and why a peer is or is not used (PROTOCOL 15).
 */
import type { Explanation, PeerExplanation } from "../api.ts";
import { toHex } from "../bytes/hex.ts";
import { equalBytes } from "../bytes/compare.ts";
import { clockDigest } from "../causality/clock.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import { dotText, merge, nothing, readsAsTombstone, type Versioned } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId, PartitionIndex } from "../identity.ts";
import { locate, type LocatedKey, positionBytes } from "../placement/locate.ts";
import { call, methods } from "../rpc/rpc.ts";
import type { CoordinateDeps } from "./deps.ts";

/** Beyond owners and these many fallbacks nobody is asked: they can hold hints only while many hosts are away. */
const fallbacksShown = 5;

interface Found {
  readonly id: NodeId;
  readonly holding?: "complete" | "filling" | "hint" | "none";
  readonly state?: Versioned;
}

/** How long ago this node's partitions were last known to be equal elsewhere, ms. */
interface Ages {
  with(partition: PartitionIndex, peer: NodeId): number | undefined;
  withAll(partition: PartitionIndex): number | undefined;
}

export async function explain(deps: CoordinateDeps, ages: Ages, key: Key): Promise<Explanation> {
  const { ring, health } = deps.cluster;
  const located = locate(key, ring.partitions);
  const owners = ring.owners(located.partition);
  const walk = ring.walk(located.partition).slice(0, owners.length + fallbacksShown);
  const found = await Promise.all(walk.map((id) => look(deps, id, located)));
  const digest = clockDigest(
    found.reduce((all, { state }) => (state === undefined ? all : merge(all, state)), nothing),
  );
  return {
    key,
    position: toHex(located.row.subarray(0, positionBytes)),
    partition: located.partition,
    agreedAgoMs: ages.withAll(located.partition) ?? null,
    siblings: siblingsOf(found, deps.clock.wallTime()),
    preferenceList: found.map(({ id, holding, state }) => ({
      id,
      role: owners.includes(id) ? "owner" : "fallback",
      alive: health.isUp(id),
      zone: ring.host(id)?.zone ?? "",
      ...(holding === undefined ? {} : { holding }),
      ...(state === undefined
        ? {}
        : {
            dots: state.values.map((value) => dotText(value.dot)),
            clock: state.vector.map(({ actor, counter, timeMs }) => ({ actor, counter, timeMs })),
            upToDate: equalBytes(clockDigest(state), digest),
          }),
      ...ageOf(ages.with(located.partition, id)),
    })),
  };
}

function ageOf(agreedAgoMs: number | undefined): { readonly agreedAgoMs?: number } {
  return agreedAgoMs === undefined ? {} : { agreedAgoMs };
}

/** Where each live value is; a value that another host has seen superseded is listed with those who have not. */
function siblingsOf(found: readonly Found[], nowMs: number): Explanation["siblings"] {
  const byDot = new Map<string, { readonly dot: string; readonly deleted: boolean; readonly at: NodeId[] }>();
  for (const { id, state } of found) {
    for (const value of state?.values ?? []) {
      const dot = dotText(value.dot);
      const known = byDot.get(dot) ?? { dot, deleted: readsAsTombstone(value, nowMs), at: [] };
      known.at.push(id);
      byDot.set(dot, known);
    }
  }
  return [...byDot.values()];
}

async function look(deps: CoordinateDeps, id: NodeId, located: LocatedKey): Promise<Found> {
  const { cluster, transport, exchange, replica, config } = deps;
  if (id !== cluster.self && !cluster.health.isUp(id)) return { id };
  try {
    if (id === cluster.self) {
      const { role, held } = await inTime(deps, replica.read(located));
      return { id, holding: role, state: held.state };
    }
    const request = { view: exchange.view(), key: located.key };
    const { role, state } = await call(transport, id, methods.fetch, request, config.replicaTimeoutMs);
    return { id, holding: role, ...(state === undefined ? {} : { state: decodeVersioned(state) }) };
  } catch {
    // "Did not answer" is what the explanation says of it.
    return { id };
  }
}

/** A disk may hang. @throws StoreError `not-ready` when `read` is not over when another host's would be given up */
function inTime<T>({ deadlines, clock, config }: CoordinateDeps, read: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = (): void => reject(new StoreError("not-ready", "this host's own disk does not answer"));
    const stopDeadline = deadlines.add(clock.now() + config.replicaTimeoutMs, late);
    read.then(resolve, reject).finally(stopDeadline);
  });
}

/** @throws StoreError `not-found` for an id that this node has never heard of */
export function explainPeer({ cluster, clock }: CoordinateDeps, id: NodeId): PeerExplanation {
  if (!cluster.roster.members.has(id) && cluster.health.state(id) === undefined) {
    throw new StoreError("not-found", `${id} is no member, and no peer that this host has met`);
  }
  const now = clock.now();
  const state = cluster.health.state(id);
  const connected = cluster.health.connected.has(id);
  const exchanged = cluster.lastExchange(id);
  return {
    id,
    member: cluster.isMember(id),
    connected,
    addresses: state?.addresses ?? cluster.roster.members.get(id)?.addresses ?? [],
    ...(state?.rttMs === undefined ? {} : { rttMs: state.rttMs }),
    ...(state?.rttP95Ms === undefined ? {} : { rttP95Ms: state.rttP95Ms }),
    ...(state?.lastHeardMs === undefined ? {} : { lastHeardAgoMs: now - state.lastHeardMs }),
    ...(exchanged === undefined
      ? {}
      : {
          lastExchangeAgoMs: now - exchanged.atMs,
          ring: exchanged.ring,
          agrees: exchanged.ring === cluster.ring.fingerprint,
        }),
    verdict: verdictOf(),
  };

  function verdictOf(): string {
    if (id === cluster.self) return "this host itself";
    const member = cluster.roster.members.get(id);
    if (member === undefined) return "not a member of this cluster: no data is exchanged with it";
    if (!cluster.isMember(id)) return `a former member (${member.status}): no data is exchanged with it`;
    if (!connected) return `no connection; redialling ${member.addresses.join(", ") || "(it announced no address)"}`;
    if (cluster.health.suspects.has(id))
      return "connected, but it leaves requests unanswered: routed around, probed every second";
    return exchanged === undefined ? "connected; membership not exchanged yet" : "in use";
  }
}
