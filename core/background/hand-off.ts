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
import type { Clock } from "../ports.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { OwnTime } from "../replica/own-time.ts";
import { rowsPerPage } from "../replica/partition-drop.ts";
import { call, methods } from "../rpc/rpc.ts";
import { inLanes, reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import { type CoverDeps, coveredBy, type Differing } from "./cover.ts";

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

/** A partition that is to be dropped, as it is while the owners are asked. */
interface Leaving {
  readonly partition: PartitionIndex;
  readonly root: Hash64;
  readonly leaves: Uint8Array;
  readonly confirmedBy: Set<NodeId>;
  /** An owner answers that it fills, or sees itself as no owner: nothing is dropped before that has changed. */
  isAwaited: boolean;
}

export function keepHandedOff(deps: HandOffDeps): void {
  const { cluster, tasks, clock } = deps;
  let offeredMs = -Infinity;
  tasks.every("hand partitions off", pauseMs, async () => {
    // One that was removed has nobody to ask: it keeps what it has until an operator brings it back.
    if (!cluster.isMember(cluster.self)) return;
    cluster.retireFormerHoldings();
    if (claimRemains(deps.holdings, deps.replica.index)) cluster.publishHoldings();
    const isOfferDue = clock.now() - offeredMs >= offerIntervalMs;
    if (isOfferDue) offeredMs = clock.now();
    await handOffAll(deps, { isOfferDue });
  });
}

async function handOffAll(deps: HandOffDeps, { isOfferDue }: { readonly isOfferDue: boolean }): Promise<void> {
  const { cluster, holdings, progress, telemetry, clock, ownTime } = deps;
  const { ring } = cluster;
  // What the disk, or a change of the ring, kept from being dropped.
  for (const partition of beyondOwnership(deps, "dropping")) holdings.set(partition, "former");
  const asked = beyondOwnership(deps, "former").filter((each) => isOfferDue || mayBeConfirmed(cluster, each));
  const leaving = asked.flatMap((partition) => lookAt(deps, partition) ?? []);
  if (leaving.length === 0) return;
  const startedMs = clock.now();
  progress.begin(leaving.length);
  try {
    const owners = new Set(leaving.flatMap(({ partition }) => ring.owners(partition)));
    const toDrop = leaving.filter(({ partition }) => mayBeConfirmed(cluster, partition));
    const offered = leaving.filter((each) => !toDrop.includes(each));
    await Promise.all(
      [...owners].map(async (owner) => {
        await askAbout(deps, owner, { leaving: toDrop, toDrop: true });
        await askAbout(deps, owner, { leaving: offered, toDrop: false });
      }),
    );
    // Owners may lose what they had while this process sleeps: then they are asked again (seed 302147).
    const isAllowed = (): boolean => cluster.ring.fingerprint === ring.fingerprint && !ownTime.hasSleptSince(startedMs);
    // Nothing waits between these looks and `begin`.
    const begun = toDrop
      .filter((each) => isAllowed() && isConfirmed(deps, each) && isUnchanged(deps, each))
      .filter((each) => mayBeConfirmed(cluster, each.partition))
      .map(({ partition }) => partition)
      .filter((partition) => deps.replica.drop.begin(partition));
    // A restart must not find a ring on which this node is still an owner, and complete, with rows gone.
    await cluster.save();
    const dropped = await dropAll(deps, begun, isAllowed);
    if (dropped === 0) return;
    telemetry.event({ kind: "handed-off", partitions: dropped, keys: progress.keys, ms: clock.now() - startedMs });
  } finally {
    progress.end();
  }
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
function mayBeConfirmed(cluster: Cluster, partition: PartitionIndex): boolean {
  const { owners, holders } = cluster.partitionView(partition);
  const isUp = (owner: NodeId): boolean => cluster.health.isUp(owner);
  const isFilling = (owner: NodeId): boolean => isUp(owner) && holders.get(owner) === "filling";
  const asked = owners.filter(isUp);
  return !owners.some(isFilling) && asked.length >= confirmationsFor(owners.length) && mayKeepIt(cluster, asked);
}

/** A copy on a host is not left to browsers. */
function mayKeepIt({ ownRecord, ring }: Cluster, owners: readonly NodeId[]): boolean {
  return ownRecord.kind !== "host" || ring.anchors(owners);
}

/** Undefined: its tree is not built yet, or nobody owns it. */
function lookAt({ cluster, replica }: HandOffDeps, partition: PartitionIndex): Leaving | undefined {
  const { index } = replica;
  if (!index.isSound(partition) || cluster.ring.owners(partition).length === 0) return undefined;
  const { high, low } = index.trees.rootOf(partition);
  return {
    partition,
    root: { high, low },
    leaves: index.trees.leafHashes(partition),
    confirmedBy: new Set(),
    isAwaited: false,
  };
}

/** Whether one owner confirms them; what it does not cover is pushed to it first. */
async function askAbout(
  deps: HandOffDeps,
  owner: NodeId,
  { leaving, toDrop }: { readonly leaving: readonly Leaving[]; readonly toDrop: boolean },
): Promise<void> {
  const { admission, cluster, exchange, transport, telemetry, tasks } = deps;
  const asked = leaving.filter(({ partition }) => cluster.ring.owners(partition).includes(owner));
  const left = new Map(asked.map((each) => [each.partition, each]));
  /** How far the owner has read those that take it longer than a request may. */
  const readTo = new Map<PartitionIndex, Uint8Array>();
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
      for (const { partition: index, state, differing, next } of partitions) {
        const each = left.get(index as PartitionIndex);
        if (each === undefined) continue;
        const { partition } = each;
        const before = readTo.get(partition);
        if (state === "reading" && next !== undefined) {
          getsOn ||= before === undefined || compareBytes(next, before) > 0;
          readTo.set(partition, next);
          continue;
        }
        getsOn = left.delete(partition);
        if (state !== "complete") each.isAwaited = true;
        else answered.push({ partition, differing, leaving: each });
      }
      for await (const { leaving: covered } of coveredBy(deps, owner, answered)) covered.confirmedBy.add(owner);
      if (!getsOn) throw new Error(`${owner} answers nothing that it was asked`);
    }
  } catch (error: unknown) {
    telemetry.event({ kind: "replica-failed", id: owner, reason: `handing off: ${reasonOf(error)}` });
  }
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

/** How many are gone now. Published in between, for others may wait for it. */
async function dropAll(
  deps: HandOffDeps,
  partitions: readonly PartitionIndex[],
  isAllowed: () => boolean,
): Promise<number> {
  const { replica, admission, cluster, progress } = deps;
  const next = partitions.values();
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
  const lane = async (isFailed: () => boolean): Promise<void> => {
    for (const partition of next) {
      if (isFailed()) return;
      // Long after it was confirmed an owner may have lost its disk; what is here may be the last copy then.
      const isStillConfirmed = mayBeConfirmed(cluster, partition);
      if (isStillConfirmed && (await replica.drop.run(partition, { pace, isAllowed }))) dropped += 1;
      progress.step();
    }
  };
  try {
    await inLanes(Array.from({ length: limits.drops }, () => lane));
  } finally {
    if (dropped > 0) cluster.publishHoldings();
  }
  await cluster.save();
  return dropped;
}
