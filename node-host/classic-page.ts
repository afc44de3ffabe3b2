/**
 * Pages of a scan over one namespace of a LevelDB.
 * Invariant: following `next` always makes progress, also over damaged tables whose keys are out of order.
 */
import type { Namespace, Page, PageRequest, Row } from "../core/ports.ts";
import { kindOf } from "./classic-errors.ts";
import type { Database } from "./classic-format.ts";
import { endOf, prefixed, unprefixed } from "./classic-format.ts";

/** A page may end before its limits, so that no request makes LevelDB gather more than this at once. */
const rowsMax = 10_000;
const bytesMax = 16 * 1024 * 1024;

const noBytes = new Uint8Array();

/** As LevelDB gives it; `keysOnly` leaves the value undefined, whatever the typings say. */
type Entry = readonly [key: Uint8Array, value: Uint8Array | undefined];

/**
 * LevelDB skips a block that it cannot decode, and says so only when an iterator reaches its end. So the iterator of a page
 * that ended before its range did is sent there, and one that met the message, which costs the rows it came with, is read
 * again.
 */
export async function readPage(database: Database, ns: Namespace, request: PageRequest): Promise<Page> {
  const iterator = openIterator(database, ns, request);
  let page: Page;
  try {
    page = pageOf(await iterator.nextv(rowsOf(request)), request);
    if (page.next === null || (await endsWell(iterator, ns, request))) return page;
  } catch (error: unknown) {
    if (kindOf(error) !== "corrupt") throw error;
    return { ...pageOf(await salvage(database, ns, request), request), damaged: true };
  } finally {
    await iterator.close();
  }
  return (await isWhole(database, ns, request, page.next)) ? page : { ...page, damaged: true };
}

/**
 * False: something is damaged in what the iterator has read, or at the very end of the database, where it looks on its way
 * out. True is certain, and has cost no second walk: what one block was skipped for an iterator tells until it is closed.
 */
async function endsWell(iterator: PageIterator, ns: Namespace, { reverse = false }: PageRequest): Promise<boolean> {
  iterator.seek(reverse ? noBytes : endOf(ns));
  try {
    await iterator.nextv(1);
    return true;
  } catch (error: unknown) {
    if (kindOf(error) !== "corrupt") throw error;
    return false;
  }
}

/** Row by row, the readable ones are had before LevelDB complains of the others. */
async function salvage(database: Database, ns: Namespace, request: PageRequest): Promise<Entry[]> {
  const iterator = openIterator(database, ns, request);
  const entries: Entry[] = [];
  let bytes = 0;
  try {
    while (entries.length < rowsOf(request) && bytes < bytesOf(request)) {
      const [entry] = await iterator.nextv(1);
      if (entry === undefined) break;
      entries.push(entry);
      bytes += sizeOf(rowOf(entry));
    }
  } catch (error: unknown) {
    if (kindOf(error) !== "corrupt") throw error;
  } finally {
    await iterator.close();
  }
  return entries;
}

/** Walks the page's stretch to its end inside LevelDB, asking for neither keys nor values: a tenth of the cost of reading them. */
async function isWhole(database: Database, ns: Namespace, request: PageRequest, next: Uint8Array): Promise<boolean> {
  const { gte, lt } = request.reverse ? { gte: next, lt: request.lt } : { gte: request.gte, lt: next };
  const iterator = database.iterator({ ...rangeOf(ns, gte, lt), keys: false, values: false });
  try {
    await iterator.nextv(1);
    return true;
  } catch (error: unknown) {
    if (kindOf(error) !== "corrupt") throw error;
    return false;
  } finally {
    await iterator.close();
  }
}

type PageIterator = ReturnType<typeof openIterator>;

function openIterator(database: Database, ns: Namespace, request: PageRequest) {
  const { gte, lt, reverse = false, keysOnly = false } = request;
  return database.iterator({
    ...rangeOf(ns, gte, lt),
    reverse,
    values: !keysOnly,
    highWaterMarkBytes: bytesOf(request) + rowsOf(request),
  });
}

function rangeOf(ns: Namespace, gte: Uint8Array = noBytes, lt?: Uint8Array) {
  return { gte: prefixed(ns, gte), lt: lt === undefined ? endOf(ns) : prefixed(ns, lt) };
}

function rowsOf({ limit }: PageRequest): number {
  return Math.min(limit, rowsMax);
}

function bytesOf({ maxBytes = bytesMax }: PageRequest): number {
  return Math.min(maxBytes, bytesMax);
}

function pageOf(entries: readonly Entry[], request: PageRequest): Page {
  const rows: Row[] = [];
  let bytes = 0;
  for (const entry of entries) {
    if (bytes >= bytesOf(request)) break;
    const row = rowOf(entry);
    rows.push(row);
    bytes += sizeOf(row);
  }
  const stoppedByLimit = rows.length >= rowsOf(request) || bytes >= bytesOf(request);
  const last = rows.at(-1);
  if (!stoppedByLimit || last === undefined) return { rows, next: null };
  return { rows, next: request.reverse ? last.key : successor(last.key) };
}

function rowOf([key, value = noBytes]: Entry): Row {
  return { key: unprefixed(key), value };
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
