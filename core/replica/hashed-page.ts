/**
 * Pages of objects with the weight of each row in the Merkle trees, so that the same is hashed on any thread.
 */
import { clockHash, entryHash, type Hash64 } from "../merkle/hash.ts";
import type { HashedPage, HashedRow, Page } from "../ports.ts";
import { checkedPage, type RecordRow } from "../storage/record-store.ts";
import { clockOf } from "./object-rows.ts";

export function hashedPage(page: Page): HashedPage {
  const { rows, next, damaged = false } = checkedPage("objects", page);
  return { rows: rows.map((row) => ({ key: row.key, hash: hashOfRow(row) })), next, damaged };
}

/** Undefined: the row is damaged. */
export function hashOfRow(row: RecordRow | HashedRow): Hash64 | undefined {
  if ("hash" in row) return row.hash;
  const clock = clockOf(row);
  return clock === undefined ? undefined : entryHash(row.key, clockHash(clock));
}
