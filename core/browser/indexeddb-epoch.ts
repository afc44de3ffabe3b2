/**
 * Which tab may write to a database: the one that claimed its latest epoch. Rows of `meta` under a number each, which
 * IndexedDB orders before all keys that are bytes, so that no scan meets them: epoch 7 is claimed by adding row 7.
 * Invariant: once an epoch is claimed, nothing that another tab writes under an earlier one gets to the disk.
 *
 * A tab that was stopped and robbed of the store may wake in the middle of anything, and cannot know it. So each of its
 * write transactions asks the database itself: under epoch 6 it adds row 7, and deletes it again. Where row 7 is there,
 * adding it fails, and the transaction is undone as a whole. This is no read that something has to wait for: all requests
 * are made, and `commit()` is called, in the task that opened the transaction, so that none is open while its tab is stopped.
 * (An error in a transaction whose commit has been asked for aborts it: IndexedDB 3.0, 5.6. Chromium 156 does so, also for
 * transactions that were queued when the epoch was claimed, and it costs nothing that could be measured. What did not do:
 * opening a higher version of the database waits until the stopped tab has closed its connection, which it never does; and
 * a lock's loss is told to the stopped tab by a task behind those that it wakes up with.)
 */
import { wrap } from "idb";
import { completion, reading } from "./indexeddb-transaction.ts";

/** A tab would have to sleep through more take-overs than this before it could write again; rows of a few bytes. */
const epochsKept = 1_000;
const numbers = (): IDBKeyRange => IDBKeyRange.bound(0, Infinity);

/** Ends the epoch of whoever had it before. @throws DOMException `ConstraintError`: another tab was faster */
export async function claimEpoch(database: IDBDatabase): Promise<number> {
  const claimed = await reading(database, "meta", (meta) => wrap(meta.getAllKeys(numbers())));
  const epoch = Number(claimed.at(-1) ?? 0) + 1;
  const transaction = database.transaction("meta", "readwrite", { durability: "strict" });
  const meta = transaction.objectStore("meta");
  meta.add("", epoch);
  meta.delete(IDBKeyRange.upperBound(epoch - epochsKept));
  transaction.commit();
  await completion(transaction);
  return epoch;
}

export async function isLatestEpoch(database: IDBDatabase, epoch: number): Promise<boolean> {
  return (await reading(database, "meta", (meta) => wrap(meta.getKey(epoch + 1)))) === undefined;
}
