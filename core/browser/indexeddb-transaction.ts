/**
 * The two kinds of transactions there are.
 * Invariant: each is committed in the task that opened it, so that none is open while the tab is stopped: the open one of a
 * frozen or hung tab holds up those of all other tabs. So none needs to be, or can be, aborted when the page is frozen.
 */
import type { Namespace, StorageOperation } from "../ports.ts";

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

/**
 * All operations or none, in their order. Resolves when they are on the disk: strict, also for callers who would be
 * content with less, for it costs 3 to 5 % once commits are grouped.
 */
export function writing(database: IDBDatabase, operations: readonly StorageOperation[]): Promise<void> {
  const names = [...new Set(operations.map(({ ns }) => ns))];
  return committed(database, names, (transaction) => {
    for (const operation of operations) {
      const store = transaction.objectStore(operation.ns);
      if (operation.kind === "put") store.put(exact(operation.value), operation.key as BufferSource);
      else store.delete(operation.key as BufferSource);
    }
  });
}

/** Deletes a range whole. */
export function deleting(database: IDBDatabase, ns: Namespace, range: IDBKeyRange): Promise<void> {
  return committed(database, [ns], (transaction) => transaction.objectStore(ns).delete(range));
}

function committed(
  database: IDBDatabase,
  names: readonly Namespace[],
  request: (transaction: IDBTransaction) => void,
): Promise<void> {
  const transaction = database.transaction(names, "readwrite", { durability: "strict" });
  try {
    request(transaction);
  } catch (error: unknown) {
    // Left alone it would commit what was asked for so far.
    transaction.abort();
    throw error;
  }
  transaction.commit();
  return completion(transaction);
}

/** Not idb's `done`: that rejects when the first request fails, and then does not know why yet. */
function completion(transaction: IDBTransaction): Promise<void> {
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
