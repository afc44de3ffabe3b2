/**
 * The copying itself: a lane for each source, which asks for pages of several partitions at once. A partition is copied
 * from one source at a time, and the lanes begin at different ones; so the first source of a partition sends all of it,
 * and the others only what they have otherwise.
 * Invariant: a cursor is on the disk after what it stands for.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { type CheckMember, stillMember } from "../cluster/still-member.ts";
import { DecodeError, type Infer } from "../bytes/codec.ts";
import { compareBytes } from "../bytes/compare.ts";
import { parseKey } from "../bytes/key.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { locate } from "../placement/locate.ts";
import { type Clock, type Transport, TransportError } from "../ports.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { Replica } from "../replica/replica.ts";
import { call, methods } from "../rpc/rpc.ts";
import { inLanes, reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Admission } from "./admission.ts";
import type { FillCursors } from "./fill-cursors.ts";
import type { Progress } from "./progress.ts";
import type { RateCap } from "./rate-cap.ts";

export interface CopyDeps {
  readonly admission: Admission;
  readonly rate: RateCap;
  readonly cursors: FillCursors;
  readonly progress: Progress;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly holdings: Holdings;
  readonly replica: Replica;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
  readonly config: NodeConfig;
}

/** One partition to copy, and from whom. */
export interface CopyJob {
  readonly partition: PartitionIndex;
  /** The filling that it is copied for (`Holdings.fillingOf`). */
  readonly filling: number;
  readonly sources: readonly NodeId[];
  /** Sources that were away from the beginning, or failed. */
  readonly missed: Set<NodeId>;
  /** Something that a source sent was not taken in here, as by a full disk: no reason to leave that source out. */
  hasFailedHere?: boolean;
  /** A lane works on it. */
  isTaken?: boolean;
}

type ScanPart = Infer<typeof methods.scan.request>["parts"][number];
type ScannedPart = Infer<typeof methods.scan.response>["parts"][number];

/** What a source has sent of one partition, and how it was taken in. */
interface Taken {
  readonly job: CopyJob;
  readonly part: ScannedPart;
  /** All of it were states. */
  isWhole: boolean;
  /** Of this node, as a full disk. */
  problem?: unknown;
}

/** A page is one step of background work. Many partitions, so that it is full even where each holds little. */
interface PageLimits {
  readonly bytesMax: number;
  readonly partitionsMax: number;
  /** Taken in together. */
  readonly rowsPerCommit: number;
}

const scanTimeoutMs = 10_000;
/** Where no clients are served; pages are of `fillPageBytes` there. */
const alone = { partitionsMax: 64, rowsPerCommit: 256 };
/**
 * While they are: so many rows, of the size that rows had so far, within these bytes. That is some milliseconds of the
 * processor here, and less at the source.
 */
const besideClients = { rows: 64, bytesMin: 16_384, bytesMax: 65_536, partitionsMax: 8, rowsPerCommit: 16 };
/** Of a step of background work: what asking for a page costs that turns out to be empty. */
const pageShareMin = 1 / 16;
/** A lane whose partitions are all with other lanes looks again. */
const lookAgainMs = 10;

/**
 * Resolves when each job was copied from each of its sources, or failed there. `onCopied` hears of each that ended; what it
 * throws ends the copying, and is thrown when no lane is under way any more.
 */
export async function copyAll<J extends CopyJob>(
  deps: CopyDeps,
  jobs: readonly J[],
  onCopied: (job: J) => void,
): Promise<void> {
  const sources = [...new Set(jobs.flatMap((job) => job.sources))];
  // Small enough that each lane has work.
  const batch = Math.ceil(jobs.length / (2 * sources.length));
  const isOver = (job: J): boolean => job.sources.every((source) => !isNeeded(deps, job, source));
  // Copied before the restart, or there is nobody to copy from.
  for (const job of jobs.filter(isOver)) onCopied(job);
  await inLanes(
    sources.map((source, i) => async (isFailed) => {
      const start = Math.floor((i * jobs.length) / sources.length);
      const inTurn = [...jobs.slice(start), ...jobs.slice(0, start)];
      const left = new Set(inTurn.filter((job) => job.sources.includes(source)));
      for (;;) {
        const limits = pageLimits(deps);
        const free = takeFree(deps, { source, left, atMost: Math.min(batch, limits.partitionsMax) });
        if (left.size === 0 || deps.tasks.stopped || isFailed()) return;
        if (free.length === 0) {
          await deps.tasks.sleep(lookAgainMs);
          continue;
        }
        for (const job of free) job.isTaken = true;
        const isAway = await copyPage(deps, source, { jobs: free, limits }).finally(() => {
          for (const job of free) job.isTaken = false;
        });
        const changed = isAway ? [...left] : free;
        if (isAway) for (const job of changed) job.missed.add(source);
        for (const job of changed.filter((each) => each.isTaken !== true && isOver(each))) onCopied(job);
      }
    }),
  );
}

function pageLimits({ admission, progress, config: { fillPageBytes } }: CopyDeps): PageLimits {
  if (admission.waitMs === 0) return { ...alone, bytesMax: fillPageBytes };
  const { rows, bytesMin, ...limits } = besideClients;
  const bytes = (rows * progress.bytes) / Math.max(1, progress.keys);
  return { ...limits, bytesMax: Math.floor(Math.min(Math.max(bytesMin, bytes), limits.bytesMax, fillPageBytes)) };
}

function isNeeded({ cursors, holdings }: CopyDeps, job: CopyJob, source: NodeId): boolean {
  if (holdings.fillingOf(job.partition) !== job.filling) return false;
  return !job.missed.has(source) && !cursors.isDone(job.partition, source);
}

/**
 * The first of `left` that no lane works on. Those that need nothing of this source any more leave `left`: there may be
 * thousands, which are not to be looked at for each page.
 */
function takeFree<J extends CopyJob>(
  deps: CopyDeps,
  { source, left, atMost }: { readonly source: NodeId; readonly left: Set<J>; readonly atMost: number },
): J[] {
  const free: J[] = [];
  for (const job of left) {
    if (free.length === atMost) break;
    if (job.isTaken === true) continue;
    if (isNeeded(deps, job, source)) free.push(job);
    else left.delete(job);
  }
  return free;
}

/** One page of some partitions. True: the source does not answer, so all that are left to it are to miss it. */
async function copyPage(
  deps: CopyDeps,
  source: NodeId,
  { jobs, limits }: { readonly jobs: readonly CopyJob[]; readonly limits: PageLimits },
): Promise<boolean> {
  const { admission, rate, cluster, cursors, transport, telemetry } = deps;
  const failed = (missing: readonly CopyJob[], error: unknown): void => {
    telemetry.event({ kind: "replica-failed", id: source, reason: `filling: ${reasonOf(error)}` });
    for (const job of missing) job.missed.add(source);
  };
  const check = stillMember(cluster, source);
  try {
    const request = {
      view: deps.exchange.view(),
      bytesMax: limits.bytesMax,
      parts: jobs.map((job) => partOf(deps, job, source)),
    };
    const { parts } = await call(transport, source, methods.scan, request, scanTimeoutMs);
    const answered = parts.flatMap((part): Taken[] => {
      const job = jobs.find(({ partition }) => partition === part.partition);
      return job === undefined ? [] : [{ job, part, isWhole: true }];
    });
    if (answered.length === 0) throw new Error(`${source} answers nothing that it was asked`);
    await applyRows(deps, { id: source, check }, answered, limits.rowsPerCommit);
    for (const each of answered) {
      try {
        note(deps, source, each);
      } catch (error: unknown) {
        failed([each.job], error);
      }
    }
    await cursors.save(cluster.ring.fingerprint);
    const bytes = answered.reduce((sum, { part }) => sum + bytesOf(part), 0);
    await rate.pay(bytes);
    await admission.done(Math.max(pageShareMin, bytes / limits.bytesMax));
  } catch (error: unknown) {
    failed(jobs, error);
    return error instanceof TransportError;
  }
  return false;
}

function partOf({ cursors, replica }: CopyDeps, { partition }: CopyJob, source: NodeId): ScanPart {
  const after = cursors.get(partition, source)?.next;
  const { index } = replica;
  const isTold = index.isSound(partition) && index.trees.keysIn(partition) > 0;
  return {
    partition,
    ...(after === undefined ? {} : { after }),
    ...(isTold ? { leaves: index.trees.leafHashes(partition) } : {}),
  };
}

/**
 * In groups, so that requests beside them are committed in between. What is no state is left out and told, for it keeps
 * back nothing else; but with it the source has not given all that it holds, so it does not count as copied.
 * @throws StoreError `not-member` when the source is none any more
 */
async function applyRows(
  { replica, cluster, telemetry }: CopyDeps,
  source: { readonly id: NodeId; readonly check: CheckMember },
  answered: readonly Taken[],
  rowsPerCommit: number,
): Promise<void> {
  const rows = answered.flatMap((of) => of.part.rows.map((row) => ({ of, row })));
  for (let at = 0; at < rows.length; at += rowsPerCommit) {
    const group = rows.slice(at, at + rowsPerCommit);
    source.check();
    const results = await Promise.allSettled(
      group.map(async ({ row: { key, state } }) => {
        const located = locate(parseKey(key), cluster.ring.partitions);
        // Copied, for a row that is kept in memory must not keep the whole page there.
        await replica.apply(located, state.slice(), { isPatient: true });
      }),
    );
    for (const [i, result] of results.entries()) {
      if (result.status === "fulfilled") continue;
      const { of, row } = group[i]!;
      if (isNoState(result.reason)) {
        telemetry.event({ kind: "corrupt-record", where: `${row.key} as ${source.id} sent it` });
        of.isWhole = false;
      } else of.problem ??= result.reason;
    }
  }
}

function isNoState(error: unknown): boolean {
  return error instanceof DecodeError || (error instanceof StoreError && error.code === "bad-request");
}

/** How far the partition is copied now. @throws what kept some of the page out of it */
function note({ cursors, holdings, progress }: CopyDeps, source: NodeId, { job, part, isWhole, problem }: Taken): void {
  const { partition, filling } = job;
  if (problem !== undefined) {
    job.hasFailedHere = true;
    throw problem;
  }
  const before = cursors.get(partition, source);
  if (part.next !== undefined && before?.next !== undefined && compareBytes(part.next, before.next) <= 0) {
    throw new Error(`${source} does not get on with partition ${partition}`);
  }
  progress.moved(part.rows.length, bytesOf(part));
  if (holdings.fillingOf(partition) !== filling) return;
  const isPartial = before?.isPartial === true || part.state !== "complete" || !isWhole;
  cursors.set(partition, source, {
    ...(isPartial ? { isPartial } : {}),
    ...(part.next === undefined ? {} : { next: part.next }),
  });
  if (part.next === undefined) progress.step();
}

function bytesOf({ rows }: ScannedPart): number {
  return rows.reduce((sum, { key, state }) => sum + key.length + state.length, 0);
}
