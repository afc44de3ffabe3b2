/**
 * Pages of a scan over one namespace. A page is one transaction (or, backwards in browsers without `getAllRecords`, one
 * for each row), and never an open cursor.
 */
import { wrap } from "idb";
import type { KeyRange, Namespace, Page, PageRequest, Row } from "../ports.ts";
import { reading } from "./indexeddb-transaction.ts";

/** A page may end before its limits, so that none holds more than this at once. */
const rowsMax = 10_000;
const bytesMax = 4 * 1024 * 1024;
/** Asked for where a page's bytes are said to hold fewer. */
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
    const found = await findRows(database, ns, query, count, request);
    const rows = found.map((row) => rowOf(row, request.keysOnly));
    if (!request.keysOnly && rows.length > 0) {
      this.#rowBytes.set(ns, rows.reduce((sum, row) => sum + sizeOf(row), 0) / rows.length);
    }
    return pageOf(rows, count, request);
  }

  #rowsOf(ns: Namespace, { limit, maxBytes = bytesMax, keysOnly, reverse }: PageRequest): number {
    // Backwards, keys are not to be had without their values.
    if (keysOnly && !reverse) return Math.min(limit, rowsMax);
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
  query: IDBKeyRange,
  count: number,
  request: PageRequest,
): Promise<readonly Found[]> {
  const { reverse = false, keysOnly = false } = request;
  const direction = reverse ? "prev" : "next";
  if (keysOnly && !reverse) {
    const keys = await reading(database, ns, (store) => wrap(store.getAllKeys(query, count)));
    return keys.map((key) => ({ key, value: noBytes }));
  }
  const records = await reading(database, ns, async (store: RecordStore) => {
    const found = store.getAllRecords?.({ query, count, direction });
    return found && wrap(found);
  });
  if (records !== undefined) return records;
  return reverse ? rowsBackwards(database, ns, request, count) : rowsForwards(database, ns, query, count);
}

async function rowsForwards(
  database: IDBDatabase,
  ns: Namespace,
  query: IDBKeyRange,
  count: number,
): Promise<readonly Found[]> {
  const [keys, values] = await reading(database, ns, (store) =>
    Promise.all([wrap(store.getAllKeys(query, count)), wrap(store.getAll(query, count))]),
  );
  return keys.map((key, at) => ({ key, value: values[at] }));
}

/** A cursor that went on would need its transaction open across tasks. */
async function rowsBackwards(
  database: IDBDatabase,
  ns: Namespace,
  range: KeyRange,
  count: number,
): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (let query = keyRange(range); query !== undefined && found.length < count;) {
    const last = query;
    const row = await reading(database, ns, (store) => lastRow(store, last));
    if (row === undefined) break;
    found.push(row);
    query = keyRange({ ...range, lt: new Uint8Array(row.key as ArrayBuffer) });
  }
  return found;
}

function lastRow(store: IDBObjectStore, query: IDBKeyRange): Promise<Found | undefined> {
  return new Promise((resolve, reject) => {
    const request = store.openCursor(query, "prev");
    request.addEventListener("success", () => {
      const cursor = request.result;
      resolve(cursor === null ? undefined : { key: cursor.key, value: cursor.value });
    });
    request.addEventListener("error", () => reject(request.error));
  });
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
  return { rows: rows.slice(0, taken), next: reverse ? last.key : successor(last.key) };
}

function sizeOf({ key, value }: Row): number {
  return key.length + value.length;
}

/** The smallest key above. */
function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
