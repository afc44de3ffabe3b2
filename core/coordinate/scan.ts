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
import { SharedTrees } from "../merkle/shared-trees.ts";
import { leavesPerPartition } from "../merkle/trees.ts";
import { keyOfRow, rangeOfPartition } from "../placement/locate.ts";
import type { KeyRange } from "../ports.ts";
import type { Replica } from "../replica/replica.ts";
import type { CoordinateDeps } from "./deps.ts";
import type { methods } from "../rpc/rpc.ts";
import type { RecordPage } from "../storage/record-store.ts";

type ScanRequest = Infer<typeof methods.scan.request>;
type ScanResponse = Infer<typeof methods.scan.response>;
type Part = ScanRequest["parts"][number];
type Scanned = ScanResponse["parts"][number];

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
    const scanned = await scanPart(deps, part, Math.max(1, left));
    left -= scanned.rows.reduce((sum, { key, state }) => sum + key.length + state.length, 0);
    parts.push(scanned);
  }
  return { parts };
}

async function scanPart(
  { replica, cluster }: Pick<CoordinateDeps, "replica" | "cluster">,
  part: Part,
  bytesMaxNow: number,
): Promise<Scanned> {
  const { partitions } = cluster.ring;
  const partition = part.partition as PartitionIndex;
  const holding = replica.holdingOf(partition);
  if (holding === "none" || holding === "dropping") return { partition, state: "none", rows: [] };
  if (part.leaves !== undefined && part.leaves.length !== leavesPerPartition * hashBytes) {
    throw new StoreError("bad-request", `${part.leaves.length} bytes are not the leaves of a partition`);
  }
  const page = await firstPage(replica, await rangesOf(replica, part, partitions), bytesMaxNow);
  const rows = page.rows.flatMap((row) => ("corrupt" in row ? [] : [{ key: keyOfRow(row.key), state: row.value }]));
  const hasAllRows = await noteUnreadable({ replica, cluster }, partition, { page, met: "in a scan" });
  const isWhole = hasAllRows && rows.length === page.rows.length;
  // Also now: a partition that is let go of loses its rows while they are read.
  const isComplete = holding === "complete" && replica.holdingOf(partition) === "complete";
  const state = isWhole && isComplete ? "complete" : "filling";
  return { partition, state, rows, ...(page.next === null ? {} : { next: page.next }) };
}

/** What is left to be sent, as ranges of rows. */
async function rangesOf(
  replica: Replica,
  { partition, after, leaves }: Part,
  partitions: number,
): Promise<readonly KeyRange[]> {
  const { index } = replica;
  const whole = rangeOfPartition(partition as PartitionIndex, partitions);
  // Rows that cannot be read are in no tree: only a look at all of them finds those.
  const isTold = leaves !== undefined && index.isSound(partition as PartitionIndex);
  const ranges =
    isTold && index.damagedIn(partition as PartitionIndex) === 0 && (await isReadable(replica, whole))
      ? new SharedTrees(index.trees, [partition as PartitionIndex])
          .leavesDiffering({ index: partition, hashes: leaves })
          .map((leaf) => index.trees.rangeOfLeaf(leaf))
      : [whole];
  if (after === undefined) return ranges;
  return ranges
    .filter(({ lt }) => lt === undefined || compareBytes(after, lt) < 0)
    .map((range) => (compareBytes(after, range.gte) > 0 ? { ...range, gte: after } : range));
}

/** Trees have rows, too, that the disk has lost since: those would not be missed. */
async function isReadable(replica: Replica, whole: KeyRange): Promise<boolean> {
  for (let gte = whole.gte ?? null; gte !== null;) {
    const page: RecordPage = await replica.page({ ...whole, gte, limit: rowsMax, keysOnly: true });
    if (page.damaged) return false;
    gte = page.next;
  }
  return true;
}

/** Rows of one range after the other until the limit; `next` of the first that is not exhausted. */
async function firstPage(replica: Replica, ranges: readonly KeyRange[], bytesMaxNow: number): Promise<RecordPage> {
  const rows: RecordPage["rows"][number][] = [];
  let left = bytesMaxNow;
  let damaged = false;
  for (const range of ranges) {
    if (left <= 0 || rows.length >= rowsMax) return { rows, damaged, next: range.gte ?? null };
    const page = await replica.page({ ...range, limit: rowsMax - rows.length, maxBytes: left });
    rows.push(...page.rows);
    damaged ||= page.damaged;
    if (page.next !== null) return { rows, damaged, next: page.next };
    for (const row of page.rows) left -= row.key.length + ("corrupt" in row ? 0 : row.value.length);
  }
  return { rows, damaged, next: null };
}
