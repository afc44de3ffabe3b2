/** What is done about rows that somebody who reads a partition's page finds damaged. */
import { toHex } from "../bytes/hex.ts";
import type { PartitionIndex } from "../identity.ts";
import { keyOfRow, locate } from "../placement/locate.ts";
import type { Replica } from "../replica/replica.ts";
import type { RecordPage } from "../storage/record-store.ts";
import type { Cluster } from "./cluster.ts";

/**
 * Notes the damaged rows of a page: they are written again, or marked. False: of some of it not even the keys are known, so
 * the copy must not pass for a complete one: the partition is fetched again, once. `met`: where they were met, in words.
 */
export async function noteUnreadable(
  { replica, cluster }: { readonly replica: Replica; readonly cluster: Cluster },
  partition: PartitionIndex,
  { page, met }: { readonly page: RecordPage; readonly met: string },
): Promise<boolean> {
  for (const row of page.rows) {
    if (!("corrupt" in row)) continue;
    await replica.noteDamaged(locate(keyOfRow(row.key), cluster.ring.partitions), `row ${toHex(row.key)} ${met}`);
  }
  if (!page.damaged || cluster.wasRefilled(partition)) return true;
  replica.forgetCached();
  // Or the others would be told that nothing is missing.
  replica.index.distrust(partition);
  cluster.refill(partition);
  return false;
}
