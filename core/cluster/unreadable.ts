/** What is done about rows that somebody who reads a partition's page finds damaged. */
import { toHex } from "../bytes/hex.ts";
import type { PartitionIndex } from "../identity.ts";
import { keyOfRow, locate, partitionsOfStray } from "../placement/locate.ts";
import type { ObjectPage } from "../replica/object-rows.ts";
import type { Replica } from "../replica/replica.ts";
import type { Cluster } from "./cluster.ts";

interface UnreadableDeps {
  readonly replica: Replica;
  readonly cluster: Cluster;
}

/**
 * Notes the damaged rows of a page: they are written again, or marked. False: of some of it not even the keys are known, so
 * the copy must not pass for a complete one: the partition is fetched again, once. `met`: where they were met, in words.
 */
export async function noteUnreadable(
  deps: UnreadableDeps,
  partition: PartitionIndex,
  { page, met }: { readonly page: ObjectPage; readonly met: string },
): Promise<boolean> {
  const { replica, cluster } = deps;
  for (const row of page.rows) {
    if (!("corrupt" in row)) continue;
    await replica.noteDamaged(locate(keyOfRow(row.key), cluster.ring.partitions), `row ${toHex(row.key)} ${met}`);
  }
  if (page.strays.length > 0) {
    await dropStrays(deps, page.strays);
    return false;
  }
  if (!page.damaged || cluster.wasRefilled(partition)) return true;
  fetchAgain(deps, partition);
  return false;
}

/** Nobody knows which rows of the partition are missing. */
export function fetchAgain({ replica, cluster }: UnreadableDeps, partition: PartitionIndex): void {
  replica.forgetCached();
  // Or the others would be told that nothing is missing.
  replica.index.distrust(partition);
  cluster.refill(partition);
}

/**
 * Rows that no key leads to go, once the disk has it that what they may have held is fetched again: a crash in between
 * leaves too much to do, not too little. False: one stays, for no other host has a copy of what it held.
 */
export async function dropStrays(deps: UnreadableDeps, strays: readonly Uint8Array[]): Promise<boolean> {
  const { replica, cluster } = deps;
  const { ring, self } = cluster;
  const isElsewhere = (row: Uint8Array): boolean =>
    [...partitionsOfStray(row, ring.partitions)].every((each) => ring.owners(each).some((owner) => owner !== self));
  const dropped = strays.filter(isElsewhere);
  for (const row of dropped) {
    for (const partition of partitionsOfStray(row, ring.partitions)) fetchAgain(deps, partition);
  }
  if (dropped.length > 0) await cluster.save();
  for (const row of dropped) await replica.drop.dropStray(row);
  return dropped.length === strays.length;
}
