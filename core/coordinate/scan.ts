/**
 * Pages of partitions, in row order, for a host that fills them. Where the asker says what it has already, by the leaves
 * of its Merkle tree, only the leaves that differ are sent: a second source costs what it knows beyond the first.
 */
import type { Infer } from "../bytes/codec.ts";
import { compareBytes } from "../bytes/compare.ts";
import { noteUnreadable } from "../cluster/unreadable.ts";
import { StoreError } from "../errors.ts";
import type { PartitionIndex } from "../identity.ts";
import { hashBytes } from "../merkle/hash.ts";
import { type Section, SharedTrees } from "../merkle/shared-trees.ts";
import { type HashTrees, leavesPerPartition } from "../merkle/trees.ts";
import { keyOfRow, rangeOfPartition } from "../placement/locate.ts";
import type { Replica } from "../replica/replica.ts";
import type { CoordinateDeps } from "./deps.ts";
import type { methods } from "../rpc/rpc.ts";
import type { ObjectPage } from "../replica/object-rows.ts";

type ScanRequest = Infer<typeof methods.scan.request>;
type ScanResponse = Infer<typeof methods.scan.response>;
type Part = ScanRequest["parts"][number];
type Scanned = ScanResponse["parts"][number];

/**
 * Rows from `gte` on and before `lt`. `isKnown`: the asker has them already, so only their keys are read: the tree has rows,
 * too, that the disk has lost since, and nobody else would miss those.
 */
interface Stretch {
  readonly gte: Uint8Array;
  readonly lt?: Uint8Array;
  readonly isKnown: boolean;
}

/** Of one answer, read for it, sent or not: what it costs is what it may hold. */
const rowsMax = 10_000;
const bytesMax = 4_194_304;

/** At least one part is answered; those that are not are to be asked again. */
export async function scanPartitions(
  deps: Pick<CoordinateDeps, "replica" | "cluster">,
  request: ScanRequest,
): Promise<ScanResponse> {
  const parts: Scanned[] = [];
  let left = Math.min(request.bytesMax, bytesMax);
  for (const part of request.parts) {
    if (parts.length > 0 && left <= 0) break;
    const { scanned, bytesRead } = await scanPart(deps, part, Math.max(1, left));
    left -= bytesRead;
    parts.push(scanned);
  }
  return { parts };
}

async function scanPart(
  { replica, cluster }: Pick<CoordinateDeps, "replica" | "cluster">,
  part: Part,
  bytesMaxNow: number,
): Promise<{ readonly scanned: Scanned; readonly bytesRead: number }> {
  const { partitions } = cluster.ring;
  const partition = part.partition as PartitionIndex;
  const holding = replica.holdingOf(partition);
  if (holding === "none" || holding === "dropping")
    return { scanned: { partition, state: "none", rows: [] }, bytesRead: 0 };
  if (part.leaves !== undefined && part.leaves.length !== leavesPerPartition * hashBytes) {
    throw new StoreError("bad-request", `${part.leaves.length} bytes are not the leaves of a partition`);
  }
  const page = await firstPage(replica, stretchesOf(replica, part, partitions), bytesMaxNow);
  const rows = page.rows.flatMap((row) => ("corrupt" in row ? [] : [{ key: keyOfRow(row.key), state: row.value }]));
  const hasAllRows = await noteUnreadable({ replica, cluster }, partition, { page, met: "in a scan" });
  const isWhole = hasAllRows && rows.length === page.rows.length;
  // Also now: a partition that is let go of loses its rows while they are read.
  const isComplete = holding === "complete" && replica.holdingOf(partition) === "complete";
  const state = isWhole && isComplete ? "complete" : "filling";
  const scanned = { partition, state, rows, ...(page.next === null ? {} : { next: page.next }) } as const;
  return { scanned, bytesRead: page.bytesRead };
}

/** What is left to be looked at, in row order. */
function stretchesOf(
  { index }: Replica,
  { partition: asked, after, leaves }: Part,
  partitions: number,
): readonly Stretch[] {
  const partition = asked as PartitionIndex;
  // Rows that cannot be read are in no tree: only reading all of them finds those.
  const isTold = leaves !== undefined && index.isSound(partition) && index.damagedIn(partition) === 0;
  const stretches = isTold
    ? runsOf(index.trees, { index: partition, hashes: leaves })
    : [{ ...rangeOfPartition(partition, partitions), isKnown: false }];
  if (after === undefined) return stretches;
  return stretches
    .filter(({ lt }) => lt === undefined || compareBytes(after, lt) < 0)
    .map((stretch) => (compareBytes(after, stretch.gte) > 0 ? { ...stretch, gte: after } : stretch));
}

/** Neighbouring leaves that the asker has, and such that it has not, as one stretch each. */
function runsOf(trees: HashTrees, asker: Section): Stretch[] {
  const partition = asker.index as PartitionIndex;
  const differing = new Set(new SharedTrees(trees, [partition]).leavesDiffering(asker));
  const runs: Stretch[] = [];
  for (let i = 0; i < leavesPerPartition; i++) {
    const leaf = partition * leavesPerPartition + i;
    const isKnown = !differing.has(leaf);
    const { gte, ...end } = trees.rangeOfLeaf(leaf);
    const before = runs.at(-1)?.isKnown === isKnown ? runs.pop() : undefined;
    runs.push({ gte: before?.gte ?? gte, ...end, isKnown });
  }
  return runs;
}

/** Rows of one stretch after the other until the limit; `next` of the first that is not exhausted. */
async function firstPage(
  replica: Replica,
  stretches: readonly Stretch[],
  bytesMaxNow: number,
): Promise<ObjectPage & { readonly bytesRead: number }> {
  const rows: ObjectPage["rows"][number][] = [];
  const strays: Uint8Array[] = [];
  let bytesRead = 0;
  let rowsRead = 0;
  let damaged = false;
  for (const { isKnown, ...range } of stretches) {
    if (bytesRead >= bytesMaxNow || rowsRead >= rowsMax) return { rows, strays, damaged, next: range.gte, bytesRead };
    const limits = { limit: rowsMax - rowsRead, maxBytes: bytesMaxNow - bytesRead };
    const page = await replica.page({ ...range, ...limits, keysOnly: isKnown });
    if (!isKnown) rows.push(...page.rows);
    strays.push(...page.strays);
    damaged ||= page.damaged === true;
    rowsRead += page.rows.length;
    for (const row of page.rows) bytesRead += row.key.length + ("corrupt" in row ? 0 : row.value.length);
    if (page.next !== null) return { rows, strays, damaged, next: page.next, bytesRead };
  }
  return { rows, strays, damaged, next: null, bytesRead };
}
