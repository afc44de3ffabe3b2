/**
 * Former owners let go of what others hold (PROTOCOL 9, *Former owners*).
 *
 * One that holds a partition beyond its ownership asks every owner that it can reach: do you own it, are you complete, do
 * you cover all that I hold? Leaves of the Merkle trees first, then the clocks of the keys in those that differ; what an
 * owner does not cover is pushed to it (`cover.ts`). All owners but at most one that does not answer, and at least two
 * (or all, if fewer), must confirm, each after a look at every row on its disk; then it drops the partition. What may not
 * be confirmed yet is offered now and then, which costs the owners no reading. So the last copies of a write never go,
 * whoever fails when.
 * Invariant: what is dropped is what the owners were asked about, on the ring that they were asked on.
 */
import type { Cluster } from "../cluster/cluster.ts";
import { claimRemains } from "../cluster/own-holdings.ts";
import { compareBytes } from "../bytes/compare.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { type Hash64, sameHash } from "../merkle/hash.ts";
import { allPartitions } from "../placement/partition.ts";
import type { Ring } from "../placement/ring.ts";
import type { Clock } from "../ports.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { OwnTime } from "../replica/own-time.ts";
import { rowsPerPage } from "../replica/partition-drop.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import { type CoverDeps, coveredBy, type Differing, type Unreadable } from "./cover.ts";
import { Retries } from "./retries.ts";

export interface HandOffDeps extends CoverDeps {
  readonly holdings: Holdings;
  readonly clock: Clock;
  readonly ownTime: Pick<OwnTime, "hasSleptSince">;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

const limits = {
  partitionsPerRequest: 64,
  timeoutMs: 10_000,
  /** Dropped at once. */
  drops: 4,
};
const pauseMs = 250;
/** Between offers of what cannot be dropped yet: to owners that are there it may be news, but most often it is none. */
const offerIntervalMs = 10_000;
/** Of a partition that was not let go of. */
const retryMs = { first: 250, max: 8_000 };
/** Answers in a row in which an owner that is busy with its clients has read nothing: half an hour at most. */
const standstillsMax = 200;
/** An owner that failed is not asked about the next partitions of a round for so long: each would wait for its time-out. */
const silenceMs = 30_000;

/** A partition that is to be dropped, as it is while the owners are asked. */
interface Leaving {
  readonly partition: PartitionIndex;
  readonly root: Hash64;
  readonly leaves: Uint8Array;
  readonly confirmedBy: Set<NodeId>;
  /** An owner answers that it fills, or sees itself as no owner: nothing is dropped before that has changed. */
  isAwaited: boolean;
}

interface AskDeps extends HandOffDeps {
  /** Partitions that are asked about now. One at a time: nothing of a dropped one is on its way from another ask. */
  readonly underWay: Set<PartitionIndex>;
}

/** Everything that may be dropped, once. */
interface Round extends AskDeps {
  readonly retries: Retries<PartitionIndex>;
  /** When owners failed in it. */
  readonly failedMs: Map<NodeId, number>;
  dropped: number;
}

export function keepHandedOff(handOffDeps: HandOffDeps): void {
  const { cluster, tasks, clock } = handOffDeps;
  const deps = { ...handOffDeps, underWay: new Set<PartitionIndex>() };
  const retries = new Retries<PartitionIndex>(clock, retryMs);
  tasks.every("hand partitions off", pauseMs, () => {
    // One that was removed has nobody to ask: it keeps what it has until an operator brings it back.
    if (!cluster.isMember(cluster.self)) return;
    if (!keepsMoreThanOwned(deps)) return retries.keepOnly([]);
    cluster.retireFormerHoldings();
    if (claimRemains(deps.holdings, deps.replica.index)) cluster.publishHoldings();
    return handOffAll({ ...deps, retries, failedMs: new Map(), dropped: 0 });
  });
  // By itself: what can be dropped does not wait for owners that are long about what cannot.
  tasks.every("offer partitions", offerIntervalMs, async () => {
    if (cluster.isMember(cluster.self)) await offerAll(deps);
  });
}

/** Most often there is nothing, and this is asked several times a second. */
function keepsMoreThanOwned({ cluster, holdings, replica }: AskDeps): boolean {
  const { ring, self } = cluster;
  const { trees } = replica.index;
  return allPartitions(ring.partitions).some((each) => {
    const holding = holdings.get(each);
    return holding === "none" ? trees.keysIn(each) > 0 : !ring.owners(each).includes(self);
  });
}

/** Undefined: there is nothing to do. */
function handOffAll(round: Round): Promise<void> | undefined {
  const { cluster, holdings, retries } = round;
  // What the disk, or a change of the ring, kept from being dropped.
  for (const partition of beyondOwnership(round, "dropping")) holdings.set(partition, "former");
  const former = beyondOwnership(round, "former");
  retries.keepOnly(former);
  const isDue = (each: PartitionIndex): boolean => retries.isDue(each, situationOf(cluster, each));
  const left = former.filter((each) => isReady(round, each) && isDue(each)).toReversed();
  return left.length === 0 ? undefined : handOffInBatches(round, left);
}

/** Each asked about and dropped before the next: whatever holds one up, or undoes it, leaves the others alone. */
async function handOffInBatches(round: Round, left: PartitionIndex[]): Promise<void> {
  const { progress, telemetry, clock, tasks } = round;
  const startedMs = clock.now();
  progress.begin(left.length);
  try {
    while (left.length > 0 && !tasks.stopped) await handOff(round, takeBatch(round, left));
  } finally {
    progress.end();
    const { dropped } = round;
    const ms = clock.now() - startedMs;
    if (dropped > 0) telemetry.event({ kind: "handed-off", partitions: dropped, keys: progress.keys, ms });
  }
}

/** As many as one of their owners can be asked about in one request. Those that are not ready any more wait for the next round. */
function takeBatch(round: Round, left: PartitionIndex[]): PartitionIndex[] {
  const { cluster, progress } = round;
  const asked = new Map<NodeId, number>();
  const batch: PartitionIndex[] = [];
  for (let next = left.at(-1); next !== undefined; next = left.at(-1)) {
    const owners = cluster.ring.owners(next);
    if (owners.some((owner) => asked.get(owner) === limits.partitionsPerRequest)) break;
    left.pop();
    if (isReady(round, next)) {
      batch.push(next);
      for (const owner of owners) asked.set(owner, (asked.get(owner) ?? 0) + 1);
    } else progress.step();
  }
  return batch;
}

/** Its owners can be asked now, as far as is known, and what it holds is known. */
function isReady(round: Round, partition: PartitionIndex): boolean {
  const { cluster, holdings, replica, underWay } = round;
  if (holdings.get(partition) !== "former" || underWay.has(partition) || !replica.index.isSound(partition))
    return false;
  const owners = cluster.ring.owners(partition);
  if (owners.length === 0 || owners.includes(cluster.self)) return false;
  return mayBeConfirmed(cluster, partition, (owner) => !isSilent(round, owner));
}

/** What is to be other before a partition that was not let go of is asked about again at once. */
function situationOf(cluster: Cluster, partition: PartitionIndex): string {
  const { owners, holders } = cluster.partitionView(partition);
  const said = owners.map((owner) => `${owner} ${cluster.health.isUp(owner)} ${holders.get(owner)}`);
  return [cluster.ring.fingerprint, ...said].join();
}

/** It failed in this round, not long ago. */
function isSilent({ failedMs, clock }: Round, owner: NodeId): boolean {
  return clock.now() - (failedMs.get(owner) ?? -Infinity) < silenceMs;
}

/** What the owners of a batch confirm is dropped; what stays is tried again later. */
async function handOff(round: Round, batch: readonly PartitionIndex[]): Promise<void> {
  const { cluster, holdings, progress, clock, ownTime, retries, underWay } = round;
  const { ring } = cluster;
  const leaving = batch.map((partition) => lookAt(round, partition));
  const situations = batch.map((partition) => situationOf(cluster, partition));
  const startedMs = clock.now();
  for (const partition of batch) underWay.add(partition);
  try {
    const owners = ownersOf(ring, leaving).filter((owner) => !isSilent(round, owner));
    await Promise.all(
      owners.map(async (owner) => {
        const isAnswered = await askAbout(round, owner, { leaving, toDrop: true });
        if (!isAnswered) round.failedMs.set(owner, clock.now());
      }),
    );
    // Owners may lose what they had while this process sleeps: then they are asked again (seed 302147).
    const isAllowed = (): boolean => cluster.ring.fingerprint === ring.fingerprint && !ownTime.hasSleptSince(startedMs);
    // Nothing waits between these looks and `begin`.
    const begun = leaving
      .filter((each) => isAllowed() && isConfirmed(round, each) && isUnchanged(round, each))
      .filter((each) => mayBeConfirmed(cluster, each.partition))
      .map(({ partition }) => partition)
      .filter((partition) => round.replica.drop.begin(partition));
    progress.step(batch.length - begun.length);
    if (begun.length === 0) return;
    // A restart must not find a ring on which this node is still an owner, and complete, with rows gone.
    await cluster.save();
    await dropAll(round, begun, isAllowed);
  } finally {
    for (const [i, partition] of batch.entries()) {
      underWay.delete(partition);
      if (holdings.get(partition) === "none") retries.ended(partition);
      else retries.failed(partition, situations[i]!, { gotOn: false });
    }
  }
}

/** What cannot be dropped yet goes to owners that lack it all the same. */
async function offerAll(deps: AskDeps): Promise<void> {
  const { cluster, replica, underWay } = deps;
  const isOffered = (each: PartitionIndex): boolean =>
    !underWay.has(each) && replica.index.isSound(each) && !mayBeConfirmed(cluster, each);
  const offered = beyondOwnership(deps, "former").filter(isOffered);
  const leaving = offered.map((partition) => lookAt(deps, partition));
  for (const partition of offered) underWay.add(partition);
  try {
    const owners = ownersOf(cluster.ring, leaving);
    await Promise.all(owners.map((owner) => askAbout(deps, owner, { leaving, toDrop: false })));
  } finally {
    for (const partition of offered) underWay.delete(partition);
  }
}

function ownersOf(ring: Ring, leaving: readonly Leaving[]): NodeId[] {
  return [...new Set(leaving.flatMap(({ partition }) => ring.owners(partition)))];
}

function beyondOwnership({ cluster, holdings, replica }: HandOffDeps, state: "former" | "dropping"): PartitionIndex[] {
  const { ring, self } = cluster;
  const { drop, index } = replica;
  const isOver = (each: PartitionIndex): boolean => drop.isUnseen(each) && index.trees.keysIn(each) === 0;
  return allPartitions(ring.partitions).filter(
    (each) => holdings.get(each) === state && !ring.owners(each).includes(self) && !isOver(each),
  );
}

/** As far as is known: as many owners as must confirm can be asked, and none says that it is filling. */
function mayBeConfirmed(
  cluster: Cluster,
  partition: PartitionIndex,
  isAsked: (owner: NodeId) => boolean = () => true,
): boolean {
  const { owners, holders } = cluster.partitionView(partition);
  const isUp = (owner: NodeId): boolean => cluster.health.isUp(owner);
  const isFilling = (owner: NodeId): boolean => isUp(owner) && holders.get(owner) === "filling";
  const asked = owners.filter((owner) => isUp(owner) && isAsked(owner));
  return !owners.some(isFilling) && asked.length >= confirmationsFor(owners.length) && mayKeepIt(cluster, asked);
}

/** A copy on a host is not left to browsers. */
function mayKeepIt({ ownRecord, ring }: Cluster, owners: readonly NodeId[]): boolean {
  return ownRecord.kind !== "host" || ring.anchors(owners);
}

function lookAt({ replica }: HandOffDeps, partition: PartitionIndex): Leaving {
  const { trees } = replica.index;
  const { high, low } = trees.rootOf(partition);
  const leaves = trees.leafHashes(partition);
  return { partition, root: { high, low }, leaves, confirmedBy: new Set(), isAwaited: false };
}

/** Whether one owner confirms them; what it does not cover is pushed to it first. False: it failed on the way. */
async function askAbout(
  deps: HandOffDeps,
  owner: NodeId,
  { leaving, toDrop }: { readonly leaving: readonly Leaving[]; readonly toDrop: boolean },
): Promise<boolean> {
  const { admission, cluster, exchange, transport, telemetry, tasks } = deps;
  const asked = leaving.filter(({ partition }) => cluster.ring.owners(partition).includes(owner));
  const left = new Map(asked.map((each) => [each.partition, each]));
  /** How far the owner has read those that take it longer than a request may. */
  const readTo = new Map<PartitionIndex, Uint8Array>();
  const unreadable: Unreadable = new Map();
  let standstills = 0;
  try {
    while (left.size > 0 && cluster.health.isUp(owner) && !tasks.stopped) {
      await admission.turn();
      const batch = [...left.values()].slice(0, limits.partitionsPerRequest);
      const request = {
        view: exchange.view(),
        partitions: batch.map(({ partition, leaves }) => {
          const readFrom = readTo.get(partition);
          return { index: partition, hashes: leaves, ...(readFrom && { readFrom }) };
        }),
        ...(toDrop ? { toDrop } : {}),
      };
      const { partitions } = await call(transport, owner, methods.handOff, request, limits.timeoutMs);
      const answered: (Differing & { readonly leaving: Leaving })[] = [];
      let getsOn = false;
      let isReading = false;
      for (const { partition: index, state, differing, next } of partitions) {
        const each = left.get(index as PartitionIndex);
        if (each === undefined) continue;
        const { partition } = each;
        const before = readTo.get(partition);
        if (state === "reading" && next !== undefined) {
          isReading = true;
          getsOn ||= before === undefined || compareBytes(next, before) > 0;
          readTo.set(partition, next);
          continue;
        }
        getsOn = left.delete(partition);
        if (state !== "complete") each.isAwaited = true;
        else answered.push({ partition, differing, leaving: each });
      }
      for await (const { leaving: covered } of coveredBy(deps, owner, { asked: answered, unreadable }))
        covered.confirmedBy.add(owner);
      standstills = getsOn ? 0 : standstills + 1;
      if (!getsOn && !(isReading && standstills < standstillsMax))
        throw new Error(`${owner} answers nothing that it was asked`);
    }
  } catch (error: unknown) {
    telemetry.event({ kind: "replica-failed", id: owner, reason: `handing off: ${reasonOf(error)}` });
    return false;
  } finally {
    const [first] = unreadable;
    if (first !== undefined) {
      const reason = `of ${unreadable.size} partitions not all can be read, as of ${first[0]}: ${reasonOf(first[1])}`;
      telemetry.event({ kind: "task-failed", task: "hand partitions off", reason });
    }
  }
  return true;
}

function isConfirmed({ cluster }: HandOffDeps, { partition, confirmedBy, isAwaited }: Leaving): boolean {
  const owners = cluster.ring.owners(partition).length;
  return !isAwaited && confirmedBy.size >= confirmationsFor(owners) && mayKeepIt(cluster, [...confirmedBy]);
}

/** All but at most one, and at least two, or all, if fewer. */
function confirmationsFor(owners: number): number {
  return Math.max(owners - 1, Math.min(2, owners));
}

/** A write that was on its way when this node stopped counting may have arrived since. */
function isUnchanged({ replica }: HandOffDeps, { partition, root }: Leaving): boolean {
  return replica.index.isSound(partition) && sameHash(replica.index.trees.rootOf(partition), root);
}

/** Published when they are gone, for others may wait for it. One that cannot be dropped keeps no other. */
async function dropAll(round: Round, partitions: readonly PartitionIndex[], isAllowed: () => boolean): Promise<void> {
  const { replica, admission, cluster, progress } = round;
  const next = partitions.values();
  const failures: unknown[] = [];
  let dropped = 0;
  let rowsInTurn = 0;
  // A step is so many rows, of however many partitions.
  const pace = async (rows: number): Promise<void> => {
    if (rowsInTurn <= 0) {
      rowsInTurn = rowsPerPage;
      await admission.turn();
    }
    rowsInTurn -= rows;
  };
  const dropOne = async (partition: PartitionIndex): Promise<void> => {
    // Long after it was confirmed an owner may have lost its disk; what is here may be the last copy then.
    const isStillConfirmed = mayBeConfirmed(cluster, partition);
    if (isStillConfirmed && (await replica.drop.run(partition, { pace, isAllowed }))) dropped += 1;
  };
  const lane = async (): Promise<void> => {
    for (const partition of next) {
      await dropOne(partition).catch((error: unknown) => failures.push(error));
      progress.step();
    }
  };
  await Promise.all(Array.from({ length: limits.drops }, lane));
  round.dropped += dropped;
  if (dropped > 0) cluster.publishHoldings();
  await cluster.save();
  if (failures.length > 0) throw failures[0];
}
