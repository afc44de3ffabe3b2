/**
 * How a copy lies on the disk. Of a document the large updates lie in rows of their own, in `meta`: they are most of its bytes
 * and change seldom, while the copy's own row is written with each edit that is stored or told. (Chromium keeps a value of
 * more than 64 KiB as a file, and makes a new one each time.)
 * Invariant: a row names its parts, and says nothing without all of them. An older release takes one with parts for damaged,
 * and asks hosts for what it held.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { DecodeError, field, message, optional, repeated, varint } from "../bytes/codec.ts";
import { versioned } from "../causality/encoding.ts";
import { omittedMax } from "../causality/lean-state.ts";
import { type Dot, dotText, isUpdate, type LiveValue, type Versioned } from "../causality/version-set.ts";
import type { Key } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { contextText, edgeContextsMax } from "../rpc/common-messages.ts";
import type { RecordStore } from "../storage/record-store.ts";

export interface Copy {
  readonly state: Versioned;
  /** Sealed by hosts; none of them covers another. */
  readonly contexts: readonly string[];
}

const Part = message("EdgeCopyPart", { place: field(1, varint), bytes: field(2, varint) });
const CopyRow = message("EdgeCopy", {
  state: optional(1, versioned),
  contexts: repeated(2, contextText, edgeContextsMax),
  /** Instead of `state`: the same without the bodies in `parts`. */
  rest: optional(3, versioned),
  parts: repeated(4, Part, omittedMax),
});

/** Smaller ones are folded into one of these soon (`documents/fold-plan.ts`). */
const partBytesMin = 1_024;
const noBody = new Uint8Array(0);
const prefix = "part ";
const namePattern = /^part \S+ \d+ (\d+) (.+)$/s;

/** All names of parts, as keys in `meta`. */
export const partRange: { readonly gte: Uint8Array; readonly lt: Uint8Array } = {
  gte: encodeUtf8(prefix),
  lt: encodeUtf8("part!"),
};

/** The parts by their names. */
export function encodeCopy(
  key: Key,
  { state, contexts }: Copy,
): { readonly row: Uint8Array; readonly parts: ReadonlyMap<string, Uint8Array> } {
  const isApart = (value: LiveValue): boolean => isUpdate(value) && value.body.length >= partBytesMin;
  const places = state.values.flatMap((value, place) => (isApart(value) ? [place] : [])).slice(0, omittedMax);
  if (places.length === 0) return { row: CopyRow.encode({ state, contexts, parts: [] }), parts: new Map() };
  const values = [...state.values];
  const bodies = new Map<string, Uint8Array>();
  const parts = places.map((place) => {
    const value = values[place]!;
    const bytes = value.body.length;
    bodies.set(partName(key, value, bytes), value.body);
    values[place] = { ...value, body: noBody };
    return { place, bytes };
  });
  return { row: CopyRow.encode({ rest: { ...state, values }, contexts, parts }), parts: bodies };
}

/** Undefined: there is none. @throws DecodeError, StoreError `corrupt`: it is damaged, or a part of it */
export async function readCopy(records: RecordStore, { key, row }: LocatedKey): Promise<Copy | undefined> {
  const encoded = await records.get("objects", row);
  if (encoded === undefined) return undefined;
  const { state, contexts, rest, parts } = CopyRow.decode(encoded);
  if (state !== undefined) return { state, contexts };
  if (rest === undefined) throw new DecodeError("no state");
  const values = [...rest.values];
  const names = parts.flatMap(({ place, bytes }) => {
    const value = values[place];
    return value === undefined ? [] : [encodeUtf8(partName(key, value, bytes))];
  });
  const bodies = await records.getMany("meta", names);
  for (const [i, { place }] of parts.entries()) {
    const body = bodies[i];
    if (body === undefined || body === "corrupt") throw new DecodeError("a part is missing or damaged");
    values[place] = { ...values[place]!, body };
  }
  return { state: { ...rest, values }, contexts };
}

/** A dot and its stamp name one record of one event. */
function partName(key: Key, { dot, stamp }: { readonly dot: Dot; readonly stamp: number }, bytes: number): string {
  return `${prefix}${dotText(dot)} ${stamp} ${bytes} ${key}`;
}

/** Of a row in `partRange`: its name, how large it is, and whose it is. */
export function parsePart(row: Uint8Array): { readonly name: string; readonly bytes: number; readonly key: Key } {
  const name = decodeUtf8(row);
  const [, bytes, key] = namePattern.exec(name) ?? [];
  return { name, bytes: Number(bytes), key: key as Key };
}
