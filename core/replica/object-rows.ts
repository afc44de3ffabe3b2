/**
 * The rows of objects as the disk has them.
 * Invariant: what comes from here is a state. A row that is none, although its checksum is right, is as damaged as one
 * whose checksum is wrong: another version or a broken memory wrote it.
 */
import { DecodeError } from "../bytes/codec.ts";
import { decodeVersioned, readClock, type StateClock } from "../causality/encoding.ts";
import { StoreError } from "../errors.ts";
import { type LocatedKey, locateRow } from "../placement/locate.ts";
import type { PageRequest, StorageOperation } from "../ports.ts";
import type { RecordPage, RecordRow, RecordStore } from "../storage/record-store.ts";
import { CachedState, neverWritten } from "./state-cache.ts";

/** @throws StoreError `corrupt` where the row is damaged, `not-ready` where the disk cannot be read */
export async function objectOf(records: RecordStore, { key, row }: LocatedKey): Promise<CachedState> {
  const encoded = await records.get("objects", row);
  if (encoded === undefined) return neverWritten;
  try {
    return new CachedState(decodeVersioned(encoded), encoded);
  } catch (error: unknown) {
    if (!(error instanceof DecodeError)) throw error;
    throw new StoreError("corrupt", `the record of ${key} is no state: ${error.message}`);
  }
}

export interface ObjectPage extends RecordPage {
  /** Damaged rows of which not even the key is known, apart from the others. */
  readonly strays: readonly Uint8Array[];
}

/** As `RecordStore.page`. Rows without values cannot be checked, so none of those is told as damaged. */
export async function objectPage(records: RecordStore, request: PageRequest, partitions: number): Promise<ObjectPage> {
  const page = await records.page("objects", request);
  if (request.keysOnly) return { ...page, strays: [] };
  const rows: RecordRow[] = [];
  const strays: Uint8Array[] = [];
  for (const row of page.rows) {
    // The checksum is that of the key as well.
    if (clockOf(row) !== undefined) rows.push(row);
    else if (locateRow(row.key, partitions) === undefined) strays.push(row.key);
    else rows.push({ key: row.key, corrupt: true });
  }
  return { ...page, rows, strays };
}

/** The row becomes what is held, or goes. */
export function rowChange({ row }: LocatedKey, { encoded }: CachedState): StorageOperation {
  const where = { ns: "objects", key: row } as const;
  return encoded === undefined ? { kind: "delete", ...where } : { kind: "put", ...where, value: encoded };
}

/** Undefined: the row is damaged. */
export function clockOf(row: RecordRow): StateClock | undefined {
  if ("corrupt" in row) return undefined;
  try {
    return readClock(row.value);
  } catch (error: unknown) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}
