/**
 * The two kinds of transactions there are.
 * Invariant: each is committed in the task that opened it, so that none is open while the tab is stopped: the open one of a
 * frozen or hung tab holds up those of all other tabs. So none needs to be, or can be, aborted when the page is frozen.
 * (With one exception, `makingRoom`.) What is left is a process that the system stops within that task: others wait until it
 * goes on, or the browser ends the transaction (Chromium 156: after a minute). So what can be done before it is opened, is.
 */
import type { Namespace, StorageOperation } from "../ports.ts";
import { isFull } from "./indexeddb-errors.ts";

/** Runs `request` once, at once; it makes its requests before it awaits anything. */
export function reading<Result>(
  database: IDBDatabase,
  ns: Namespace,
  request: (store: IDBObjectStore) => Promise<Result>,
): Promise<Result> {
  const transaction = database.transaction(ns, "readonly");
  const result = request(transaction.objectStore(ns));
  transaction.commit();
  return result;
}

/** Who writes: see `indexeddb-epoch.ts`. */
export interface Writer {
  readonly database: IDBDatabase;
  readonly epoch: number;
}

/**
 * All operations or none, in their order. Resolves when they are on the disk: strict, also for callers who would be
 * content with less, for it costs 3 to 5 % once commits are grouped.
 */
export function writing(writer: Writer, operations: readonly StorageOperation[]): Promise<void> {
  const names = [...new Set(operations.map(({ ns }) => ns))];
  const exactly = operations.map((each) => (each.kind === "put" ? { ...each, value: exact(each.value) } : each));
  const request = (transaction: IDBTransaction): void => {
    for (const operation of exactly) {
      const store = transaction.objectStore(operation.ns);
      if (operation.kind === "put") store.put(operation.value, operation.key as BufferSource);
      else store.delete(operation.key as BufferSource);
    }
  };
  return operations.every(({ kind }) => kind === "delete")
    ? makingRoom(writer, names, request)
    : committed(writer, names, request);
}

/** Deletes a range whole. */
export function deleting(writer: Writer, ns: Namespace, range: IDBKeyRange): Promise<void> {
  return makingRoom(writer, [ns], (transaction) => transaction.objectStore(ns).delete(range));
}

/**
 * Deletes. Where the browser has no room left it refuses the fence, too, though not the deletes: then, and only then, the
 * epoch is read in the transaction, which is open meanwhile. Rather that than a store that stays full.
 */
async function makingRoom(
  writer: Writer,
  names: readonly Namespace[],
  request: (transaction: IDBTransaction) => void,
): Promise<void> {
  try {
    return await committed(writer, names, request);
  } catch (error: unknown) {
    if (!isFull(error)) throw error;
  }
  const { database, epoch } = writer;
  const transaction = database.transaction([...names, "meta"], "readwrite", { durability: "strict" });
  const next = transaction.objectStore("meta").getKey(epoch + 1);
  next.addEventListener("success", () => {
    if (next.result !== undefined) return transaction.abort();
    request(transaction);
    transaction.commit();
  });
  await completion(transaction).catch((error: unknown) => {
    throw next.result === undefined ? error : new DOMException("a later epoch was claimed", "ConstraintError");
  });
}

function committed(
  { database, epoch }: Writer,
  names: readonly Namespace[],
  request: (transaction: IDBTransaction) => void,
): Promise<void> {
  const transaction = database.transaction([...names, "meta"], "readwrite", { durability: "strict" });
  try {
    fence(transaction, epoch);
    request(transaction);
  } catch (error: unknown) {
    // Left alone it would commit what was asked for so far.
    transaction.abort();
    throw error;
  }
  transaction.commit();
  return completion(transaction);
}

/** Fails, and with it the transaction (`ConstraintError`), if a later epoch was claimed: then its row is there. */
function fence(transaction: IDBTransaction, epoch: number): void {
  const meta = transaction.objectStore("meta");
  meta.add("", epoch + 1);
  meta.delete(epoch + 1);
}

/** Not idb's `wrap`, which looks what each answer is and keeps a table: a tenth of what a get costs just after opening. */
export function answered<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

/** Not idb's `done`: that rejects when the first request fails, and then does not know why yet. */
export function completion(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () =>
      reject(transaction.error ?? new DOMException("the browser ended the transaction", "AbortError")),
    );
  });
}

/** A view is stored with all of the buffer behind it, so a part of one is copied. */
function exact(value: Uint8Array): Uint8Array {
  return value.byteLength === value.buffer.byteLength ? value : new Uint8Array(value);
}
