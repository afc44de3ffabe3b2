/** Where hints lie in storage: all of one target are one range, in ring order. */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { KeyRange } from "../ports.ts";

const noBytes = new Uint8Array(0);

/** One byte of length, the target's id, the key's row: all hints for one host are one range, in ring order. */
export function hintRow(target: NodeId, located: LocatedKey): Uint8Array {
  const prefix = prefixOf(target);
  const row = new Uint8Array(prefix.length + located.row.length);
  row.set(prefix);
  row.set(located.row, prefix.length);
  return row;
}

function prefixOf(target: NodeId): Uint8Array {
  const id = encodeUtf8(target);
  const prefix = new Uint8Array(1 + id.length);
  prefix[0] = id.length;
  prefix.set(id, 1);
  return prefix;
}

export function rangeOf(target: NodeId): { readonly gte: Uint8Array; readonly lt: Uint8Array } {
  const gte = prefixOf(target);
  const lt = gte.slice();
  // Ids are ASCII, so the last byte has room above it.
  lt[lt.length - 1]! += 1;
  return { gte, lt };
}

/** Hints for a target of keys whose rows lie in that range. */
export function rangeOfHints(target: NodeId, { gte = noBytes, lt }: KeyRange): KeyRange {
  const prefix = prefixOf(target);
  const within = (row: Uint8Array): Uint8Array => Uint8Array.of(...prefix, ...row);
  return { gte: within(gte), lt: lt === undefined ? rangeOf(target).lt : within(lt) };
}

/** Undefined: the row is damaged, and in no target's range. */
export function targetOf(row: Uint8Array): NodeId | undefined {
  const id = row.subarray(1, 1 + row[0]!);
  if (id.length < row[0]!) return undefined;
  try {
    return decodeUtf8(id) as NodeId;
  } catch (error: unknown) {
    if (error instanceof TypeError) return undefined; // no UTF-8
    throw error;
  }
}
