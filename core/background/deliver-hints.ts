/**
 * Hinted handoff: what was kept for hosts that were away goes to them when they are back (PROTOCOL 7; paper 4.6).
 * Found on the disk, not in memory; looked for periodically, which no recovery escapes.
 * Invariant: a hint is deleted only after the durable ack of those it is for, or when it is kept for these instead; and only
 * if it is still what was delivered.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { keyOfRow, locate, type LocatedKey, locateRow, strayAt } from "../placement/locate.ts";
import type { Clock, Transport } from "../ports.ts";
import { owedWith, type StoredHint } from "../replica/hint-store.ts";
import type { CopyRole } from "../replica/copy.ts";
import type { Replica } from "../replica/replica.ts";
import { inFlightMs } from "../replica/stillness.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Admission } from "./admission.ts";
import type { RateCap } from "./rate-cap.ts";
import { Retries, whoIsThere } from "./retries.ts";

export interface HintDeps {
  readonly admission: Admission;
  /** Of hints alone: each kind of background work has its own (PROTOCOL 13). */
  readonly rate: Pick<RateCap, "pay">;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly replica: Replica;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
  readonly config: NodeConfig;
}

/** Soon after a recovery, not at once: with whoever comes back all meet for some 50 ms, which clients notice as it is. */
const intervalMs = 1_000;
/** What is kept for one that is away, and that nobody takes over now, is not read from the disk each second for that. */
const retryMs = { first: 1_000, max: 60_000 };
/** Nor for one that is there and takes none: its disk is full, say, and nobody tells when it is not any more. */
const refusedRetryMs = { first: 1_000, max: 8_000 };
/** In one step. Beside clients it is to take about a millisecond, here and at the target; see `admission.ts`. */
const rowsBesideClients = 8;
const rowsAlone = 128;
/** A delivery that takes long is told so often, in parts: beside clients 100,000 hints take a quarter of an hour. */
const tellMs = 1_000;
/** States in one message, as anti-entropy's: one group commit, which requests beside it wait for. */
const bytesTogether = 262_144;
/** Read for it. Those that are too large for it go alone: they need not all be read before. */
const readTogetherMax = 4 * bytesTogether;
/** The slowest link that is to carry a large state in time: half a megabit a second. Nobody waits for it but its hint. */
const slowestBytesPerMs = 64;
/** As anti-entropy's: many hosts may have something for one that is back, and wait for its turns. */
const togetherTimeoutMs = 10_000;

export interface HintDeliveries {
  /**
   * Whether a delivery is under way, or is to begin: who is back compares its trees before that, and would fetch all that it
   * is owed beside the delivery.
   */
  readonly sendsTo: (target: NodeId) => boolean;
  /** It is there, and the last delivery got nowhere. */
  readonly isRefusedBy: (target: NodeId) => boolean;
}

/** Until the tasks stop. */
export function deliverHints(deps: HintDeps): HintDeliveries {
  const { cluster, replica, tasks, clock } = deps;
  const { hints } = replica;
  const running = new Set<NodeId>();
  const refusing = new Set<NodeId>();
  /** The ring on which all that is kept for one that is away is for keys that it owns. */
  const readdressedOn = new Map<NodeId, string>();
  const whileAway = new Retries<NodeId>(clock, retryMs);
  const whileThere = new Retries<NodeId>(clock, refusedRetryMs);
  let looked: readonly NodeId[] = [];
  /** `work`: false when it was refused. */
  const begin = (target: NodeId, situation: string, work: () => Promise<boolean>): void => {
    const isThere = cluster.health.isUp(target);
    const retries = isThere ? whileThere : whileAway;
    if (running.has(target) || !retries.isDue(target, situation)) return;
    running.add(target);
    const before = hints.bytesFor(target);
    tasks.run("deliver hints", async () => {
      let isTaken = false;
      try {
        isTaken = await work();
      } finally {
        running.delete(target);
        if (isThere && !isTaken) refusing.add(target);
        else refusing.delete(target);
        retries.failed(target, situation, { gotOn: isThere ? isTaken : hints.bytesFor(target) < before });
      }
    });
  };
  const readdress = async (target: NodeId): Promise<boolean> => {
    const { fingerprint } = cluster.ring;
    const isDone = await readdressAway(deps, target);
    if (isDone) readdressedOn.set(target, fingerprint);
    return isDone;
  };
  // Nobody waits for the deliveries: one that takes long must not hold up those to others that come back meanwhile.
  tasks.every("look for hints", intervalMs, () => {
    looked = targetsNow(deps);
    const summaries = hints.summaries();
    const kept = summaries.filter(({ count }) => count > 0).map(({ target }) => target);
    for (const retries of [whileAway, whileThere]) retries.keepOnly(kept);
    for (const target of refusing) if (!kept.includes(target)) refusing.delete(target);
    const situation = summaries.length === 0 ? "" : whoIsThere(cluster);
    for (const target of looked) begin(target, situation, () => deliverTo(deps, target));
    for (const { target, count } of cluster.isMember(cluster.self) ? summaries : []) {
      const isDone = count === 0 || readdressedOn.get(target) === cluster.ring.fingerprint;
      if (!isDone && !looked.includes(target)) begin(target, situation, () => readdress(target));
    }
  });
  return {
    // One for whom something is left after a delivery is not kept from comparing: perhaps it takes no hint.
    sendsTo: (target) => running.has(target) || (!looked.includes(target) && targetsNow(deps).includes(target)),
    isRefusedBy: (target) => refusing.has(target) && cluster.health.isUp(target),
  };
}

/** Those that are back, and those that will never be: what is kept for these belongs to today's owners. */
function targetsNow({ cluster, replica }: HintDeps): NodeId[] {
  if (!cluster.isMember(cluster.self)) return [];
  const owed = replica.hints.summaries().filter(({ count }) => count > 0);
  const isDue = (target: NodeId): boolean => cluster.health.isUp(target) || !cluster.isMember(target);
  return owed.map(({ target }) => target).filter((target) => isDue(target) || isDraining(cluster));
}

/** A host that leaves passes on what it keeps for those that are away: it will not be there when they are back. */
function isDraining({ ownRecord, ring, self }: Cluster): boolean {
  return ownRecord.status === "leaving" && ring.host(self) === undefined;
}

/**
 * The target is away, and the ring may have changed: what is kept for it of keys that it owns no more goes to today's owners.
 * False: some of it is still to go.
 */
async function readdressAway(deps: HintDeps, target: NodeId): Promise<boolean> {
  const { admission, cluster, replica, telemetry, tasks } = deps;
  const { fingerprint } = cluster.ring;
  const failures: string[] = [];
  let after: Uint8Array | null | undefined;
  while (after !== null && !tasks.stopped && cluster.ring.fingerprint === fingerprint) {
    await admission.turn();
    const page = await replica.hints.page(target, { after, limit: rowsBesideClients });
    for (const hint of page.hints) {
      if (hint.isDamaged || isOwnerOf(deps, target, hint)) continue;
      await deliverOne(deps, target, hint).catch((error: unknown) => failures.push(reasonOf(error)));
    }
    after = page.next;
  }
  const [reason] = failures;
  if (reason === undefined) return after === null;
  telemetry.event({
    kind: "replica-failed",
    id: target,
    reason: `${failures.length} hints for it not passed on: ${reason}`,
  });
  return false;
}

/**
 * Everything kept for one target, oldest ring position first; stops where all of a page is refused, to be tried again. False: none
 * of it was taken.
 */
async function deliverTo(deps: HintDeps, target: NodeId): Promise<boolean> {
  const { admission, replica, telemetry, clock, tasks } = deps;
  const failures: string[] = [];
  let [sinceMs, count, bytes] = [clock.now(), 0, 0];
  const tell = (): void => {
    const ms = clock.now() - sinceMs;
    if (count > 0) telemetry.event({ kind: "hints-delivered", to: target, count, bytes, ms });
    [sinceMs, count, bytes] = [sinceMs + ms, 0, 0];
  };
  let isAnyGone = false;
  let oldestAtMs = Infinity;
  let after: Uint8Array | null | undefined;
  try {
    while (after !== null && !tasks.stopped) {
      await admission.turn();
      const limit = admission.waitMs === 0 ? rowsAlone : rowsBesideClients;
      const page = await replica.hints.page(target, { after, limit });
      const results = await deliverPage(deps, target, page.hints);
      for (const [i, result] of results.entries()) {
        if (result.status === "rejected") failures.push(reasonOf(result.reason));
        if (result.status === "fulfilled" && result.value !== undefined) {
          isAnyGone = true;
          count += 1;
          bytes += result.value;
        } else oldestAtMs = Math.min(oldestAtMs, page.hints[i]!.storedAtMs);
      }
      if (clock.now() - sinceMs >= tellMs) tell();
      // One that cannot be delivered does not hold up the others; a target that takes none is asked again later.
      const hasRefused = results.every((result) => result.status === "rejected");
      if (hasRefused && page.hints.some((hint) => isOwnerOf(deps, target, hint))) break;
      after = page.next;
    }
  } catch (error: unknown) {
    failures.push(reasonOf(error));
  }
  if (after === null && oldestAtMs < Infinity) replica.hints.oldestIs(target, oldestAtMs);
  const [reason] = failures;
  if (reason !== undefined) {
    telemetry.event({
      kind: "replica-failed",
      id: target,
      reason: `${failures.length} hints not delivered: ${reason}`,
    });
  }
  tell();
  return isAnyGone || failures.length === 0;
}

function isOwnerOf({ cluster: { ring } }: HintDeps, target: NodeId, { row, isDamaged }: StoredHint): boolean {
  return !isDamaged && ring.owners(locate(keyOfRow(row), ring.partitions).partition).includes(target);
}

/** What the target takes in together, and the rest one by one: then it shows which of them cannot be delivered. */
async function deliverPage(
  deps: HintDeps,
  target: NodeId,
  hints: readonly StoredHint[],
): Promise<PromiseSettledResult<number | undefined>[]> {
  const { ring } = deps.cluster;
  const taken = await sendTogether(deps, target, hints);
  return Promise.allSettled(
    hints.map((hint) => {
      const parcel = taken.get(hint);
      return parcel === undefined ? deliverOne(deps, target, hint) : forget(deps, { ...parcel, target, hint, ring });
    }),
  );
}

interface Parcel {
  readonly located: LocatedKey;
  readonly bytes: number;
}

/**
 * One message, which costs both sides a fraction of what one for each does, and waits for its turn at the target too: what
 * it owns itself, as far as that fits. Nothing where it did not take all of it.
 * @throws TransportError, StoreError `not-ready`: the target is away or busy, and is not to be asked for each of them
 */
async function sendTogether(
  deps: HintDeps,
  target: NodeId,
  hints: readonly StoredHint[],
): Promise<ReadonlyMap<StoredHint, Parcel>> {
  const { cluster, replica, exchange, transport } = deps;
  const { ring } = cluster;
  const parcels = new Map<StoredHint, Parcel>();
  const push: { readonly key: Key; readonly state: Uint8Array }[] = [];
  let left = bytesTogether;
  let leftToRead = readTogetherMax;
  for (const hint of cluster.health.isUp(target) ? hints : []) {
    if (leftToRead <= 0) break;
    if (!isOwnerOf(deps, target, hint)) continue;
    const located = locate(keyOfRow(hint.row), ring.partitions);
    // Where the own copy cannot be read, it is told when that hint goes alone.
    const state = await owed(replica, located, hint).catch(() => undefined);
    leftToRead -= state?.length ?? 0;
    if (state === undefined || state.length > left) continue;
    left -= state.length;
    push.push({ key: located.key, state });
    parcels.set(hint, { located, bytes: state.length });
  }
  if (push.length < 2) return new Map();
  const request = { view: exchange.view(), push, wanted: [], bytesMax: 0 };
  try {
    const { applied } = await call(transport, target, methods.swap, request, togetherTimeoutMs);
    await deps.rate.pay(bytesTogether - left);
    return applied === push.length ? parcels : new Map();
  } catch (error: unknown) {
    if (error instanceof StoreError && error.code !== "not-ready") return new Map();
    throw error;
  }
}

/** The bytes delivered, when it is gone; undefined for a hint that grew meanwhile: it stays for the next round. */
async function deliverOne(deps: HintDeps, target: NodeId, hint: StoredHint): Promise<number | undefined> {
  const { cluster, replica } = deps;
  const { partitions } = cluster.ring;
  const located = locateRow(hint.row, partitions) ?? strayAt(hint.row, partitions);
  // What it held is lost here; the partition's other copies have it, or nobody.
  const drop = async (): Promise<number | undefined> => {
    deps.telemetry.event({ kind: "corrupt-record", where: `hint for ${target} of ${located.key}` });
    return (await replica.hintDelivered(located, target, hint)) ? 0 : undefined;
  };
  if (hint.isDamaged) return drop();
  const { ring } = cluster;
  const owners = ring.owners(located.partition);
  const state = await owed(replica, located, hint);
  // Today's owners mend each other's copies. (With N = 1 nobody ever would mend this one.)
  if (state === undefined) return replica.damaged.has(located.key) && !owners.includes(target) ? drop() : undefined;
  let copies = 1;
  if (!owners.includes(target)) copies = await passToOwners(deps, located, { hint, state });
  else if (isDraining(cluster) && !cluster.health.isUp(target)) await passOn(deps, located, { target, state });
  else await hand(deps, target, { key: located.key, state });
  return forget(deps, { located, bytes: copies * state.length, target, hint, ring });
}

/**
 * Its target owns the key no more: today's owners get it. Who is away, or does not take it, has it kept for it, as for any
 * owner: one that is away must hold up neither the others nor a host that leaves. How many took it.
 * @throws StoreError, TransportError: none did, or the own disk refuses
 */
async function passToOwners(
  deps: HintDeps,
  located: LocatedKey,
  { hint, state }: { readonly hint: StoredHint; readonly state: Uint8Array },
): Promise<number> {
  const { cluster, replica, telemetry } = deps;
  const owners = cluster.ring.owners(located.partition);
  const up = owners.filter((node) => node === cluster.self || cluster.health.isUp(node));
  // Where all seem to be away, one may be back, and more hints would help nobody.
  const asked = up.length > 0 ? up : owners;
  const handed = await Promise.allSettled(asked.map((node) => hand(deps, node, { key: located.key, state })));
  const failed = handed.flatMap((result, i) => (result.status === "rejected" ? [{ node: asked[i]!, ...result }] : []));
  const fatal = failed.length === asked.length ? failed[0] : failed.find(({ node }) => node === cluster.self);
  if (fatal !== undefined) throw fatal.reason;
  const missed = [...owners.filter((node) => !asked.includes(node)), ...failed.map(({ node }) => node)];
  for (const node of missed) {
    await replica.keepHint(located, node, state, hint.isSpare);
    telemetry.event({ kind: "hint-stored", for: node, at: cluster.self });
  }
  return asked.length - failed.length;
}

async function forget(
  { cluster, replica }: HintDeps,
  { located, bytes, target, hint, ring }: Parcel & { target: NodeId; hint: StoredHint; ring: Cluster["ring"] },
): Promise<number | undefined> {
  // As an ack of a write: a ring that changed meanwhile has owners who may have copied from the receivers before that.
  if (cluster.ring.fingerprint !== ring.fingerprint) return undefined;
  return (await replica.hintDelivered(located, target, hint)) ? bytes : undefined;
}

/**
 * To a stand-in, as a hint, and to the owners that are up: two of them at least hold it then, or all there are, and not
 * browsers alone for a Node host: what it keeps may be why the write was acknowledged.
 * @throws StoreError `not-ready`: such hosts are not there. It is kept until they are, or have left the ring.
 */
async function passOn(
  deps: HintDeps,
  located: LocatedKey,
  { target, state }: { readonly target: NodeId; readonly state: Uint8Array },
): Promise<void> {
  const { cluster, telemetry } = deps;
  const { ring, ownRecord } = cluster;
  const owners = ring.owners(located.partition);
  const up = ring.walk(located.partition).filter((node) => cluster.health.isUp(node));
  const ownersUp = up.filter((node) => owners.includes(node));
  const free = up.filter((node) => !owners.includes(node));
  const standIn = free.find((node) => ring.anchors([...ownersUp, node])) ?? free[0];
  const takers = standIn === undefined ? ownersUp : [...ownersUp, standIn];
  if (takers.length < Math.min(2, owners.length)) {
    throw new StoreError("not-ready", `only ${takers.length} hosts are there to take over what is kept for ${target}`);
  }
  if (ownRecord.kind === "host" && !ring.anchors(takers)) {
    throw new StoreError("not-ready", `browsers alone are there to take over what is kept for ${target}`);
  }
  await Promise.all(ownersUp.map((node) => hand(deps, node, { key: located.key, state })));
  if (standIn === undefined) return;
  await hand(deps, standIn, { key: located.key, state, hintFor: target });
  telemetry.event({ kind: "hint-stored", for: target, at: standIn });
}

/**
 * What a hint stands for: the state that it keeps and the own copy, whatever that counts by now. Undefined: a pointer to a copy
 * that is damaged, or that nobody has claimed since the start (`claimRemains`), so that it is not read.
 */
export async function owed(replica: Replica, located: LocatedKey, hint: StoredHint): Promise<Uint8Array | undefined> {
  const { index } = replica;
  const { partition } = located;
  const isUnclaimed =
    replica.holdingOf(partition) === "none" && !(index.isSound(partition) && index.trees.keysIn(partition) === 0);
  if (isUnclaimed) return hint.state;
  const own = await replica.row(located);
  return replica.damaged.has(located.key) ? hint.state : owedWith(hint, own);
}

/** Resolves when it is durable there, with what that host's copy is worth. */
export async function hand(
  deps: HintDeps,
  node: NodeId,
  { key, state, hintFor }: { readonly key: Key; readonly state: Uint8Array; readonly hintFor?: NodeId },
): Promise<CopyRole> {
  const { cluster, exchange, rate, replica, transport, config } = deps;
  if (node === cluster.self) return (await replica.apply(locate(key, cluster.ring.partitions), state)).role;
  const request = { view: exchange.view(), key, state, hintFor };
  const carryMs = Math.min(Math.floor(state.length / slowestBytesPerMs), inFlightMs(config) / 4);
  const { role } = await call(transport, node, methods.replicate, request, config.replicaTimeoutMs + carryMs);
  await rate.pay(state.length);
  return role;
}
