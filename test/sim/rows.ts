/**
 * Reads what lies on the simulated disks and what contexts hold, past the core: the oracle believes nothing that a node
 * says of itself.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { fromBase64url } from "../../core/bytes/base64url.ts";
import { equalBytes } from "../../core/bytes/compare.ts";
import { bytes, DecodeError, field, fixedBytes, message, optional, varint } from "../../core/bytes/codec.ts";
import { coverage, decodeVersioned } from "../../core/causality/encoding.ts";
import type { Coverage, Versioned } from "../../core/causality/version-set.ts";
import type { NodeId } from "../../core/identity.ts";
import { RosterMessage, rosterPartOf } from "../../core/membership/exchange.ts";
import { emptyRoster, type Roster, ringMembers } from "../../core/membership/roster.ts";
import { keyOfRow, type LocatedKey } from "../../core/placement/locate.ts";
import { Ring } from "../../core/placement/ring.ts";
import type { Namespace, StorageOperation } from "../../core/ports.ts";
import { unsealRecord } from "../../core/storage/record.ts";
import { type DiskImage, textOf } from "./disk-image.ts";

const HintRow = message("HintRow", { storedAtMs: field(1, varint), state: optional(2, bytes(67_108_864)) });

const Context = message("Context", {
  secretName: field(1, fixedBytes(4)),
  keyName: field(2, fixedBytes(4)),
  seal: field(3, fixedBytes(16)),
  coverage: field(4, bytes(32 * 1024)),
});

/** A state that a batch puts into a row. */
export interface StoredState {
  readonly key: string;
  readonly state: Versioned;
  /** The host it is kept for, in a hint. */
  readonly hintFor?: NodeId;
}

/** What of a batch is a state of a key; rows that were damaged on purpose are passed over. */
export function statesIn(operations: readonly StorageOperation[]): StoredState[] {
  return operations.flatMap((operation) => {
    if (operation.kind === "delete") return [];
    const found = stateOf(operation.ns, operation.key, operation.value);
    return found === undefined ? [] : [found];
  });
}

/** A state that a batch takes off a disk, and the ring there when it was told to: a batch is told in the order of its rows. */
export interface TakenState extends StoredState {
  readonly ring: Ring | undefined;
}

/** States that a batch takes away: `before` are the rows under its operations, `after` is the disk with the batch on it. */
export function statesTakenBy(
  operations: readonly StorageOperation[],
  before: readonly (Uint8Array | undefined)[],
  after: DiskImage,
): TakenState[] {
  const rosterAt = operations.findIndex(({ ns, key }) => ns === "meta" && equalBytes(key, rosterRow));
  return operations.flatMap(({ kind, ns, key }, i) => {
    const record = before[i];
    if (kind !== "delete" || record === undefined) return [];
    const taken = readable(() => stateOf(ns, key, record));
    const membership = i < rosterAt ? membershipIn(before[rosterAt]) : membershipOn(after);
    return taken === undefined ? [] : [{ ...taken, ring: membership?.ring }];
  });
}

/** All states on a disk that can be read. */
export function statesOn(image: DiskImage): StoredState[] {
  const found: StoredState[] = [];
  for (const ns of ["objects", "hints"] as const) {
    image.forEach(ns, (record, keyOf) => {
      const state = states.get(record) ?? readable(() => stateOf(ns, keyOf(), record));
      if (state !== undefined) found.push(state);
    });
  }
  return found;
}

function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error: unknown) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** Records on disks are never changed, only replaced, and each belongs to one row: what one says is read once. */
const states = new WeakMap<Uint8Array, StoredState>();

function stateOf(ns: Namespace, key: Uint8Array, record: Uint8Array): StoredState | undefined {
  if (ns !== "objects" && ns !== "hints") return undefined;
  let state = states.get(record);
  if (state === undefined) {
    state = readState(ns, key, record);
    if (state !== undefined) states.set(record, state);
  }
  return state;
}

function readState(ns: "objects" | "hints", key: Uint8Array, record: Uint8Array): StoredState | undefined {
  const value = unsealRecord(ns, key, record);
  if (value === undefined) return undefined;
  if (ns === "objects") return { key: keyOfRow(key), state: decodeVersioned(value) };
  const { state } = HintRow.decode(value);
  if (state === undefined) return undefined;
  const row = key.subarray(1 + key[0]!);
  const hintFor = decodeUtf8(key.subarray(1, 1 + key[0]!)) as NodeId;
  return { key: keyOfRow(row), hintFor, state: decodeVersioned(state) };
}

/** The object of a key on a disk; undefined also where it is damaged. */
export function objectOn(image: DiskImage, located: LocatedKey): Versioned | undefined {
  const record = image.get("objects", located.row);
  return record && readable(() => stateOf("objects", located.row, record)?.state);
}

const rosterRow = encodeUtf8("roster");
/** By record, and by what it says: what changes is written by each host, most often in the same words. */
const memberships = new WeakMap<Uint8Array, Membership>();
const membershipsByText = new Map<string, Membership>();
const membershipsMax = 100;

export interface Membership {
  readonly roster: Roster;
  readonly ring: Ring;
}

/** The membership that a disk holds. */
export function membershipOn(image: DiskImage): Membership | undefined {
  return membershipIn(image.get("meta", rosterRow));
}

/** Membership before and after a batch; undefined: it says nothing of it. */
export function membershipChange(
  operations: readonly StorageOperation[],
  before: readonly (Uint8Array | undefined)[],
): { readonly from: Membership; readonly to: Membership } | undefined {
  const at = operations.findIndex(({ ns, key }) => ns === "meta" && equalBytes(key, rosterRow));
  const operation = operations[at];
  const record = before[at];
  if (record === undefined || operation?.kind !== "put") return undefined;
  const from = membershipIn(record);
  const to = membershipIn(operation.value);
  return from && to && { from, to };
}

function membershipIn(record: Uint8Array | undefined): Membership | undefined {
  if (record === undefined) return undefined;
  let known = memberships.get(record);
  if (known === undefined) {
    known = readMembership(record);
    if (known !== undefined) memberships.set(record, known);
  }
  return known;
}

function readMembership(record: Uint8Array): Membership | undefined {
  const text = textOf(record);
  let known = membershipsByText.get(text);
  if (known === undefined) {
    const value = unsealRecord("meta", rosterRow, record);
    if (value === undefined) return undefined;
    const message = RosterMessage.decode(value);
    // Without merging it into an empty one, as a start does: it is as it was written.
    const roster = { ...emptyRoster(message.cluster), ...rosterPartOf(message) };
    const ring = new Ring({ n: roster.cluster.n, members: ringMembers(roster), assignment: roster.assignment });
    if (membershipsByText.size === membershipsMax) membershipsByText.clear();
    membershipsByText.set(text, (known = { roster, ring }));
  }
  return known;
}

/** What a context that a node gave out covers. */
export function coverageOf(context: string): Coverage {
  return coverage.decode(Context.decode(fromBase64url(context)!).coverage);
}

/** Of applications that use the Store: what must become of these, their own ledger says. */
export function isApplications(key: string): boolean {
  return key.startsWith("app-");
}
