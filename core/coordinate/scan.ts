/**
 * One page of a partition, in row order, for a host that fills it.
 */
import type { Infer } from "../bytes/codec.ts";
import { toHex } from "../bytes/hex.ts";
import type { PartitionIndex } from "../identity.ts";
import { keyOfRow, locate, rangeOfPartition } from "../placement/locate.ts";
import type { Replica } from "../replica/replica.ts";
import type { CoordinateDeps } from "./deps.ts";
import type { methods } from "../rpc/rpc.ts";

type ScanRequest = Infer<typeof methods.scan.request>;
type ScanResponse = Infer<typeof methods.scan.response>;

const rowsMax = 10_000;
const bytesMax = 4_194_304;

export async function scanPartition(
  { replica, cluster }: Pick<CoordinateDeps, "replica" | "cluster">,
  request: ScanRequest,
): Promise<ScanResponse> {
  const { partitions } = cluster.ring;
  const partition = request.partition as PartitionIndex;
  const holding = replica.holdingOf(partition);
  if (holding === "none") return { state: "none", rows: [] };
  const range = rangeOfPartition(partition, partitions);
  const page = await replica.page({
    ...range,
    ...(request.after === undefined ? {} : { gte: request.after }),
    limit: rowsMax,
    maxBytes: Math.min(request.bytesMax, bytesMax),
  });
  for (const row of page.rows) {
    if ("corrupt" in row) await noteDamaged(replica, row.key, partitions);
  }
  const rows = page.rows.flatMap((row) => ("corrupt" in row ? [] : [{ key: keyOfRow(row.key), state: row.value }]));
  // What could not be read is missing from this copy, so it must not pass for a complete one; and is fetched again, once.
  const lacksRows = page.damaged && !cluster.wasRefilled(partition);
  if (lacksRows) {
    replica.forgetCached();
    cluster.refill(partition);
  }
  const isWhole = !lacksRows && rows.length === page.rows.length;
  const state = isWhole && holding === "complete" ? "complete" : "filling";
  return { state, rows, ...(page.next === null ? {} : { next: page.next }) };
}

async function noteDamaged(replica: Replica, row: Uint8Array, partitions: number): Promise<void> {
  await replica.noteDamaged(locate(keyOfRow(row), partitions), `row ${toHex(row)} in a scan`);
}
