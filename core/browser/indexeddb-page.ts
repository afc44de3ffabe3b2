/**
 * Pages of a scan over one namespace: one transaction each where the browser has `getAllRecords` and can read all values,
 * and never an open cursor.
 */
import { successorOf } from "../bytes/compare.ts";
import { wrap } from "idb";
import type { KeyRange, Namespace, Page, PageRequest, Row } from "../ports.ts";
import { isUnreadable } from "./indexeddb-errors.ts";
import { reading } from "./indexeddb-transaction.ts";

/** A page may end before its limits, so that none holds more than this at once. */
const keysMax = 10_000;
const bytesMax = 4 * 1024 * 1024;
/** Rows are asked for by what the last ones were long; keys lie in the order of the ring, so that long ones are spread. */
const rowsMax = 1_000;
const rowsMin = 16;

const noBytes = new Uint8Array();

/** Chromium 141 and its contemporaries; not in the compiler's library yet. */
interface RecordStore extends IDBObjectStore {
  getAllRecords?(options: {
    readonly query: IDBKeyRange;
    readonly count: number;
    readonly direction: IDBCursorDirection;
  }): IDBRequest<Found[]>;
}

interface Found {
  readonly key: IDBValidKey;
  readonly value: unknown;
}

/**
 * Reads pages. IndexedDB is told how many rows to read, not how many bytes, so each page learns from the one before how
 * long rows are.
 */
export class PageReader {
  /** Mean length of rows with their values, bytes; first a guess that fetches no more than it must. */
  readonly #rowBytes = new Map<Namespace, number>();

  async read(database: IDBDatabase, ns: Namespace, request: PageRequest): Promise<Page> {
    const query = keyRange(request);
    if (query === undefined) return { rows: [], next: null };
    const count = this.#rowsOf(ns, request);
    const found = await findRows(database, ns, { ...request, query, count });
    const rows = found.map((row) => rowOf(row, request.keysOnly));
    if (!request.keysOnly && rows.length > 0) {
      this.#rowBytes.set(ns, rows.reduce((sum, row) => sum + sizeOf(row), 0) / rows.length);
    }
    return pageOf(rows, count, request);
  }

  #rowsOf(ns: Namespace, { limit, maxBytes = bytesMax, keysOnly, reverse }: PageRequest): number {
    // Backwards, keys come with their values.
    if (keysOnly && !reverse) return Math.min(limit, keysMax);
    const rows = Math.ceil(Math.min(maxBytes, bytesMax) / (this.#rowBytes.get(ns) ?? bytesMax));
    return Math.min(limit, rowsMax, Math.max(rowsMin, rows));
  }
}

/** Keys from `gte` to before `lt`, of bytes only; undefined when nothing can lie between. */
export function keyRange({ gte = noBytes, lt }: KeyRange): IDBKeyRange | undefined {
  // Lists are the keys behind all that are bytes.
  const end = lt ?? [];
  if (indexedDB.cmp(gte, end) >= 0) return undefined;
  return IDBKeyRange.bound(gte, end, false, true);
}

function rowOf({ key, value }: Found, keysOnly = false): Row {
  return { key: new Uint8Array(key as ArrayBuffer), value: keysOnly ? noBytes : bytesOf(value) };
}

/** What is no bytes is not ours: without its checksum it counts as damaged. */
export function bytesOf(value: unknown): Uint8Array {
  return value instanceof Uint8Array ? value : noBytes;
}

async function findRows(
  database: IDBDatabase,
  ns: Namespace,
  request: PageRequest & { readonly query: IDBKeyRange; readonly count: number },
): Promise<readonly Found[]> {
  const { query, count, reverse = false, keysOnly = false } = request;
  let areAllReadable = true;
  if (!keysOnly || reverse) {
    try {
      const records = await reading(database, ns, async (store: RecordStore) => {
        const found = store.getAllRecords?.({ query, count, direction: reverse ? "prev" : "next" });
        return found && wrap(found);
      });
      if (records !== undefined) return records;
    } catch (error: unknown) {
      if (!isUnreadable(error)) throw error;
      areAllReadable = false;
    }
  }
  const keys = await (reverse ? keysBackwards(database, ns, request) : keysForwards(database, ns, request));
  if (keysOnly) return keys.map((key) => ({ key, value: noBytes }));
  const rows = await (areAllReadable ? rowsOfKeys(database, ns, keys) : rowsOneByOne(database, ns, keys));
  // One was deleted between its key and its value: once more, without it.
  return rows.length === keys.length ? rows : findRows(database, ns, request);
}

function keysForwards(
  database: IDBDatabase,
  ns: Namespace,
  { query, count }: { readonly query: IDBKeyRange; readonly count: number },
): Promise<readonly IDBValidKey[]> {
  return reading(database, ns, (store) => wrap(store.getAllKeys(query, count)));
}

/** One by one: a cursor that went on would need its transaction open across tasks. */
async function keysBackwards(
  database: IDBDatabase,
  ns: Namespace,
  { count, ...range }: KeyRange & { readonly count: number },
): Promise<readonly IDBValidKey[]> {
  const keys: IDBValidKey[] = [];
  for (let query = keyRange(range); query !== undefined && keys.length < count;) {
    const last = await reading(database, ns, lastKey(query));
    if (last === undefined) break;
    keys.push(last);
    query = keyRange({ ...range, lt: new Uint8Array(last as ArrayBuffer) });
  }
  return keys;
}

function lastKey(query: IDBKeyRange) {
  return (store: IDBObjectStore): Promise<IDBValidKey | undefined> =>
    new Promise((resolve, reject) => {
      const request = store.openKeyCursor(query, "prev");
      request.addEventListener("success", () => resolve(request.result?.key));
      request.addEventListener("error", () => reject(request.error));
    });
}

/** Rows that were deleted since are left out. */
async function rowsOfKeys(
  database: IDBDatabase,
  ns: Namespace,
  keys: readonly IDBValidKey[],
): Promise<readonly Found[]> {
  const values = await reading(database, ns, (store) => Promise.all(keys.map((key) => wrap(store.getAll(key)))));
  return keys.flatMap((key, at) => values[at]!.map((value: unknown) => ({ key, value })));
}

/** Each in a transaction of its own, because a request that fails ends the one that it is in. */
async function rowsOneByOne(
  database: IDBDatabase,
  ns: Namespace,
  keys: readonly IDBValidKey[],
): Promise<readonly Found[]> {
  const rows = await Promise.all(
    keys.map((key) =>
      rowsOfKeys(database, ns, [key]).catch((error: unknown) => {
        if (!isUnreadable(error)) throw error;
        return [{ key, value: noBytes }];
      }),
    ),
  );
  return rows.flat();
}

/** `asked`: rows that were asked for; fewer mean that the range has ended. */
function pageOf(rows: readonly Row[], asked: number, { reverse, maxBytes = bytesMax }: PageRequest): Page {
  let bytes = 0;
  let taken = 0;
  while (taken < rows.length && bytes < Math.min(maxBytes, bytesMax)) {
    bytes += sizeOf(rows[taken]!);
    taken += 1;
  }
  const last = rows[taken - 1];
  if (last === undefined || (taken === rows.length && rows.length < asked)) return { rows, next: null };
  return { rows: rows.slice(0, taken), next: reverse ? last.key : successorOf(last.key) };
}

function sizeOf({ key, value }: Row): number {
  return key.length + value.length;
}
