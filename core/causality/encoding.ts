/**
 * Version sets as bytes: on the wire, on the disk, and as the clock that Merkle trees hash.
 * Invariant: what decodes keeps the invariants of `Versioned`; a repeated, unsorted or uncovered dot does not decode.
 */
import {
  bool,
  bytes,
  choice,
  field,
  hex,
  type Infer,
  message,
  type Message,
  optional,
  repeated,
  varint,
  verified,
  word,
} from "../bytes/codec.ts";
import type { ActorId } from "../identity.ts";
import {
  compareDots,
  type Coverage,
  covers,
  type Dot,
  type LiveValue,
  type VectorEntry,
  type Versioned,
} from "./version-set.ts";

/**
 * Bounds for decoding only, far above what may be written: a replica that refused what another one holds would be
 * repaired for ever. A message's own size is bounded by the frame that it came in.
 */
const ENTRIES_MAX = 1 << 17;
const VALUES_MAX = 1 << 14;
const BODY_BYTES_MAX = 1 << 28;
const CONTENT_TYPE_BYTES_MAX = 1024;

const kind = choice({ opaque: 0, lww: 1, yjs: 2 });

const dotFields = { actor: field(1, hex<ActorId>(8)), counter: field(2, varint) };
const Dot: Message<Dot> = message("Dot", dotFields);
/** The name of an event, on its own. */
export const dot: Message<Dot> = verified(Dot, ({ counter }) => (counter > 0 ? undefined : "counters start at 1"));
const VectorEntry: Message<VectorEntry> = message("VectorEntry", { ...dotFields, timeMs: field(3, varint) });

const valueClockFields = {
  dot: field(1, Dot),
  stamp: field(2, varint),
  kind: field(3, kind),
  tombstone: field(4, bool),
  expiresAtMs: optional(6, varint),
};
const ValueClock = message("ValueClock", valueClockFields);
const LiveValue: Message<LiveValue> = message("LiveValue", {
  ...valueClockFields,
  contentType: field(5, word(CONTENT_TYPE_BYTES_MAX)),
  body: field(8, bytes(BODY_BYTES_MAX)),
});

/** As a type: for messages that carry the state of a key. Bodies are views of what is decoded. */
export const versioned: Message<Versioned> = verified(
  message("Versioned", {
    vector: repeated(1, VectorEntry, ENTRIES_MAX),
    values: repeated(2, LiveValue, VALUES_MAX),
  }),
  problemOfState,
);

function problemOfState(state: {
  readonly vector: readonly Dot[];
  readonly values: readonly Pick<LiveValue, "dot" | "kind">[];
}): string | undefined {
  const { vector, values } = state;
  const isCovered = ({ dot }: { readonly dot: Dot }) => dot.counter > 0 && covers(vector, dot);
  if (!isSorted(vector, compareActors)) return "the vector is not sorted by distinct actors";
  if (!isSorted(values, (a, b) => compareDots(a.dot, b.dot))) return "the values are not sorted by distinct dots";
  if (!values.every(isCovered)) return "the vector does not cover a value";
  return values.filter((value) => value.kind === "lww").length > 1 ? "more than one lww value" : undefined;
}

/** One write on its way, such as an edge's. */
export const liveValue: Message<LiveValue> = verified(LiveValue, ({ dot }) =>
  dot.counter > 0 ? undefined : "counters start at 1",
);

export const coverage: Message<Coverage> = verified(
  message("Coverage", {
    vector: repeated(1, Dot, ENTRIES_MAX),
    stamp: field(2, varint),
    kinds: repeated(3, kind, 3),
  }),
  ({ vector }) => (isSorted(vector, compareActors) ? undefined : "the vector is not sorted by distinct actors"),
);

const Clock = verified(
  message("Clock", {
    vector: repeated(1, Dot, ENTRIES_MAX),
    values: repeated(2, ValueClock, VALUES_MAX),
  }),
  problemOfState,
);

export function encodeVersioned(state: Versioned): Uint8Array {
  return versioned.encode(state);
}

/** @throws DecodeError */
export function decodeVersioned(input: Uint8Array): Versioned {
  return versioned.decode(input);
}

/** The part of a state that replicas compare: no timestamps of the vector, no content types, no bodies. */
export type StateClock = Infer<typeof Clock>;

export function encodeClock(state: StateClock): Uint8Array {
  return Clock.encode(state);
}

/**
 * The clock in an encoded state, in two thirds of the time that the whole takes: an encoded state is an encoded clock
 * with more fields, which are skipped.
 * @throws DecodeError
 */
export function readClock(input: Uint8Array): StateClock {
  return Clock.decode(input);
}

/**
 * A clock as the state that has it: without times, content types and bodies, so good for `compare` and nothing else.
 * @throws DecodeError
 */
export function decodeClock(input: Uint8Array): Versioned {
  const { vector, values } = Clock.decode(input);
  const body = new Uint8Array(0);
  return {
    vector: vector.map(({ actor, counter }) => ({ actor, counter, timeMs: 0 })),
    values: values.map((value) => ({ ...value, contentType: "", body })),
  };
}

function isSorted<T>(items: readonly T[], order: (a: T, b: T) => number): boolean {
  for (let i = 1; i < items.length; i++) if (order(items[i - 1]!, items[i]!) >= 0) return false;
  return true;
}

function compareActors(a: Dot, b: Dot): number {
  if (a.actor === b.actor) return 0;
  return a.actor < b.actor ? -1 : 1;
}
