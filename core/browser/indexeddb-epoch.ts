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
import { systemRandom } from "../libp2p/system-ports.ts";
import { isFull } from "./indexeddb-errors.ts";
import { completion, reading } from "./indexeddb-transaction.ts";

/** A tab would have to sleep through more take-overs than this before it could write again; rows of a few bytes. */
const epochsKept = 1_000;
/** Numbers and texts. */
const beforeBytes = (): IDBKeyRange => IDBKeyRange.bound(0, new Uint8Array(0), false, true);

/**
 * Rows that are there to be deleted, one at a time: where the browser has no room left for the row of an epoch nobody could
 * read what is on the disk, nor send it to hosts, which makes room. They are put back when there is room. So long, and
 * of random bytes, which do not get shorter, that Chromium keeps each in a file of its own: only then its deletion makes room at
 * once. Together they are more than the 4 MiB by which its LevelDB goes beyond a quota by itself, for a while, when it
 * writes its memory out. Their keys come before all that are bytes, too.
 */
const spares: readonly string[] = Array.from({ length: 8 }, (_, i) => `spare ${i + 1}`);
const spareBytes = 640 * 1024;
/** Drawn at once. */
const noiseBytes = 32 * 1024;

export interface Claim {
  /** Which opening of the store this is: later ones are higher. */
  readonly epoch: number;
  /** False: only what was kept for this made room for it. */
  readonly hadRoom: boolean;
}

/** Ends the epoch of whoever had it before. @throws DOMException `ConstraintError`: another tab was faster */
export async function claimEpoch(database: IDBDatabase): Promise<Claim> {
  const keys = await keysBeforeBytes(database);
  const epoch = keys.reduce<number>((last, key) => (typeof key === "number" ? Math.max(last, key) : last), 0) + 1;
  const add = (meta: IDBObjectStore): void => {
    meta.add("", epoch);
    meta.delete(IDBKeyRange.upperBound(epoch - epochsKept));
  };
  if (await hadRoom(database, add)) return { epoch, hadRoom: true };
  for (const spare of spares.filter((each) => keys.includes(each))) {
    await changing(database, (meta) => meta.delete(spare));
    if (await hadRoom(database, add)) return { epoch, hadRoom: false };
  }
  await changing(database, add);
  return { epoch, hadRoom: false };
}

/** Puts back what is missing of what `claimEpoch` may need, as far as there is room. @throws DOMException */
export async function keepSpares(database: IDBDatabase): Promise<void> {
  const keys = await keysBeforeBytes(database);
  for (const spare of spares.filter((each) => !keys.includes(each))) {
    if (!(await hadRoom(database, (meta) => meta.put(noise(), spare)))) return;
  }
}

function keysBeforeBytes(database: IDBDatabase): Promise<IDBValidKey[]> {
  return reading(database, "meta", (meta) => wrap(meta.getAllKeys(beforeBytes())));
}

/** False: there is none, and nothing has changed. */
async function hadRoom(database: IDBDatabase, change: (meta: IDBObjectStore) => unknown): Promise<boolean> {
  try {
    await changing(database, change);
    return true;
  } catch (error: unknown) {
    if (isFull(error)) return false;
    throw error;
  }
}

function noise(): Uint8Array {
  const bytes = new Uint8Array(spareBytes);
  for (let at = 0; at < spareBytes; at += noiseBytes) bytes.set(systemRandom.bytes(noiseBytes), at);
  return bytes;
}

function changing(database: IDBDatabase, change: (meta: IDBObjectStore) => unknown): Promise<void> {
  const transaction = database.transaction("meta", "readwrite", { durability: "strict" });
  change(transaction.objectStore("meta"));
  transaction.commit();
  return completion(transaction);
}

export async function isLatestEpoch(database: IDBDatabase, epoch: number): Promise<boolean> {
  return (await reading(database, "meta", (meta) => wrap(meta.getKey(epoch + 1)))) === undefined;
}
