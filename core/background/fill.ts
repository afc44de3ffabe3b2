/**
 * Copies the partitions that this node owns but does not hold completely (PROTOCOL 9, *Filling*).
 *
 * A partition is complete when it was copied from every complete holder, of which one that is away may be left out while
 * N - 1 others are complete; where fewer are complete, from every holder. Invariant: writes made meanwhile are not missed,
 * for this node is an owner already and gets them; so a scan of what was there before is enough. What was copied stays
 * copied across rings and restarts (`fill-cursors.ts`).
 */
import type { Cluster } from "../cluster/cluster.ts";
import { hasBit } from "../bytes/bitmap.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { copyAll, type CopyDeps, type CopyJob } from "./copy-partitions.ts";
import type { Cursor, FillCursors } from "./fill-cursors.ts";
import { Retries } from "./retries.ts";

/** Told to everybody this often while partitions become complete: readers count them, and former owners let go of them. */
const publishIntervalMs = 1_000;
const pauseMs = 250;
const retryMs = { first: 250, max: 8_000 };

interface Job extends CopyJob {
  /** Nobody claimed to be complete when it began. */
  readonly isLost: boolean;
  readonly complete: ReadonlySet<NodeId>;
  readonly mayMiss: number;
  readonly ring: string;
  /** What it was tried with; see `Retries`. */
  readonly situation: string;
  /** How far it was copied from each source when it began. */
  readonly before: ReadonlyMap<NodeId, Cursor | undefined>;
}

interface FillDeps extends CopyDeps {
  readonly retries: Retries<PartitionIndex>;
  /** Partitions became complete, and nobody was told. */
  readonly news: { isUntold: boolean };
}

/** Fills whatever needs it, again and again: members come and go while it runs. */
export function keepFilled(copyDeps: CopyDeps): void {
  const deps = {
    ...copyDeps,
    retries: new Retries<PartitionIndex>(copyDeps.clock, retryMs),
    news: { isUntold: false },
  };
  // By itself: the copying may be waiting for a source that is silent (seed 404606).
  deps.tasks.every("tell what is filled", publishIntervalMs, () => (deps.news.isUntold ? tellFilled(deps) : undefined));
  const fill = async (): Promise<void> => {
    // What was completed since, or lost, is on the disk by now: a restart needs no cursors for it.
    await deps.cursors.sweep();
    await fillAll(deps);
  };
  deps.tasks.every("fill partitions", pauseMs, () =>
    deps.cursors.isEmpty && !deps.holdings.isFilling ? undefined : fill(),
  );
}

/** Durable when it resolves: a restart does not fill it anew. */
async function tellFilled({ cluster, news }: FillDeps): Promise<void> {
  news.isUntold = false;
  cluster.publishHoldings();
  await cluster.save();
}

async function fillAll(deps: FillDeps): Promise<void> {
  const { cluster, cursors, holdings, retries, news, clock, telemetry, progress } = deps;
  if (!cluster.inContact) return;
  const waiting = cluster.ring.ownedBy(cluster.self).filter((partition) => holdings.get(partition) === "filling");
  // Looked at before anything is copied: a fill that cannot end must not copy everything again and again.
  const jobs = waiting.flatMap((partition) => jobFor(deps, partition) ?? []);
  if (jobs.length === 0) return;
  const startedMs = clock.now();
  const done = { partitions: 0, lost: 0 };
  const left = jobs.flatMap(({ partition, sources }) => sources.filter((each) => !cursors.isDone(partition, each)));
  progress.begin(left.length);
  const onCopied = (job: Job): void => {
    if (!isComplete(deps, job) || holdings.get(job.partition) !== "filling") return;
    if (holdings.fillingOf(job.partition) !== job.filling) return;
    holdings.set(job.partition, "complete");
    retries.ended(job.partition);
    done.partitions += 1;
    if (job.isLost) done.lost += 1;
    news.isUntold = true;
  };
  try {
    await copyAll(deps, jobs, onCopied);
  } finally {
    for (const job of jobs.filter(({ partition }) => holdings.get(partition) === "filling")) {
      retries.failed(job.partition, job.situation, { gotOn: gotOn(cursors, job) });
    }
    progress.end();
  }
  if (done.partitions === 0) return;
  if (news.isUntold) await tellFilled(deps);
  if (done.lost > 0) telemetry.event({ kind: "partition-lost", partitions: done.lost });
  telemetry.event({
    kind: "filled",
    partitions: done.partitions,
    keys: progress.keys,
    ms: clock.now() - startedMs,
  });
}

/** Undefined: not possible now, because somebody who must be asked is away, or tried a moment ago. */
function jobFor({ cluster, holdings, cursors, retries }: FillDeps, partition: PartitionIndex): Job | undefined {
  const { all, complete } = sourcesOf(cluster, partition);
  const mayMiss = complete.length > Math.max(1, cluster.ring.n - 1) ? 1 : 0;
  const away = all.filter((node) => !cluster.health.isUp(node));
  if (away.length > mayMiss || !hasMetOwners(cluster, partition)) return undefined;
  const sources = all.filter((node) => !away.includes(node));
  const ring = cluster.ring.fingerprint;
  const situation = [ring, ...sources.map((node) => (complete.includes(node) ? `${node} complete` : node))].join();
  if (!retries.isDue(partition, situation)) return undefined;
  // A copy of less than all is worth one try: it may have become complete since.
  for (const node of complete) if (cursors.get(partition, node)?.isPartial) cursors.forget(partition, node);
  return {
    partition,
    filling: holdings.fillingOf(partition),
    sources,
    missed: new Set(away),
    isLost: complete.length === 0,
    complete: new Set(complete),
    mayMiss,
    ring,
    situation,
    before: new Map(sources.map((source) => [source, cursors.get(partition, source)])),
  };
}

/** A source gave more of it than before, and has not said that it cannot give all. */
function gotOn(cursors: FillCursors, { partition, sources, before }: Job): boolean {
  return sources.some((source) => {
    const cursor = cursors.get(partition, source);
    return cursor !== undefined && cursor.isPartial !== true && cursor !== before.get(source);
  });
}

/** A ring that changed meanwhile may have given the partition other holders: it is looked at anew with those. */
function isComplete(
  { cluster, cursors }: CopyDeps,
  { partition, sources, missed, hasFailedHere, complete, mayMiss, ring }: Job,
): boolean {
  if (hasFailedHere === true) return false;
  // These said on the way that they are not complete after all.
  const partial = sources.filter((source) => complete.has(source) && cursors.get(partition, source)?.isPartial);
  return new Set([...missed, ...partial]).size <= mayMiss && cluster.ring.fingerprint === ring;
}

/** Whom to copy from: the complete holders, where there are enough; else everybody who holds anything. */
function sourcesOf(
  cluster: Cluster,
  partition: PartitionIndex,
): { readonly all: readonly NodeId[]; readonly complete: readonly NodeId[] } {
  const { ring, self, roster } = cluster;
  const { owners, holders } = cluster.partitionView(partition);
  const states = new Map(holders);
  for (const owner of owners) if (!states.has(owner)) states.set(owner, "complete"); // not heard of: counts as complete
  states.delete(self);
  const nodes = [...states.keys()];
  const complete = nodes.filter((node) => states.get(node) === "complete");
  if (complete.length >= Math.max(1, ring.n - 1)) return { all: complete, complete };
  if (complete.length > 0) return { all: nodes, complete };
  // Nobody, up or away, claims to be complete: the owners complete it among themselves, and from whatever is left.
  const former = [...roster.holdings.values()].filter(
    ({ id, former: bits }) => id !== self && cluster.isMember(id) && hasBit(bits, partition) && !nodes.includes(id),
  );
  return { all: [...nodes, ...former.map(({ id }) => id)], complete };
}

/** Membership was merged, on this ring, with every other owner but at most one that is away. */
function hasMetOwners(cluster: Cluster, partition: PartitionIndex): boolean {
  const { fingerprint } = cluster.ring;
  const others = cluster.ring.owners(partition).filter((owner) => owner !== cluster.self);
  const unmet = others.filter((owner) => cluster.lastExchange(owner)?.ring !== fingerprint);
  return unmet.length === 0 || (unmet.length === 1 && others.length > 1 && !cluster.health.isUp(unmet[0]!));
}
