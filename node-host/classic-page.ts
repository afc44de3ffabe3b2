/**
 * Pages of a scan over one namespace of a LevelDB.
 * Invariant: following `next` always makes progress, also over damaged tables whose keys are out of order.
 */
import type { Namespace, Page, PageRequest, Row } from "../core/ports.ts";
import type { Database } from "./classic-directory.ts";
import { kindOf } from "./classic-errors.ts";
import { endOf, prefixed, unprefixed } from "./classic-format.ts";

/** A page may end before its limits, so that no request makes LevelDB gather more than this at once. */
const rowsMax = 10_000;
const bytesMax = 16 * 1024 * 1024;

const noBytes = new Uint8Array();

/** As LevelDB gives it; `keysOnly` leaves the value undefined, whatever the typings say. */
type Entry = readonly [key: Uint8Array, value: Uint8Array | undefined];

export async function readPage(database: Database, ns: Namespace, request: PageRequest): Promise<Page> {
  const iterator = openIterator(database, ns, request);
  try {
    // One more than the iterator's own limit: only an iterator that has ended reports damage that it skipped.
    return pageOf(await iterator.nextv(rowsOf(request) + 1), request);
  } finally {
    await iterator.close();
  }
}

/**
 * LevelDB skips a block that it cannot decode, and says so only at the end of the scan, when it throws away what it has
 * gathered. Row by row, the readable ones are had before it does.
 */
export async function salvagePage(database: Database, ns: Namespace, request: PageRequest): Promise<Page> {
  const iterator = openIterator(database, ns, request);
  const entries: Entry[] = [];
  let bytes = 0;
  try {
    while (bytes < bytesOf(request)) {
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
  return { ...pageOf(entries, request), damaged: true };
}

function openIterator(database: Database, ns: Namespace, request: PageRequest) {
  const { gte = noBytes, lt, reverse = false, keysOnly = false } = request;
  return database.iterator({
    gte: prefixed(ns, gte),
    lt: lt === undefined ? endOf(ns) : prefixed(ns, lt),
    reverse,
    values: !keysOnly,
    limit: rowsOf(request),
    highWaterMarkBytes: bytesOf(request) + rowsOf(request),
  });
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
