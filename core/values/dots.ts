/**
 * Who has seen which changes of a value that merges by itself: the causal context of delta-state CRDTs (Almeida, Shoker,
 * Baquero: "Delta state replicated data types", 2018, section 7), kept in the value.
 *
 * A *writer* is one process on one key, drawn at random by `Pens` (`core/store/pens.ts`), and its counter counts its changes
 * of that key. Invariant: a writer makes a change only on a state that holds its last one, so a counter stands for all changes
 * up to it; and one dot names one change for ever, so a write that is repeated, or stored twice, is still one change.
 *
 * Writers would add up for ever. So above `writersKept` those are forgotten that were drawn `horizonDays` before the median one,
 * by a rule that is a function of the state alone: all of theirs then counts as seen. A writer is used for `writerDays`
 * at most; what is on its way for longer than the difference may be taken as seen by those who did not see it. The median
 * takes no notice of clocks that are wrong, while most are right.
 */
import { field, hex, type Infer, message, type Message, repeated, varint, verified } from "../bytes/codec.ts";
import { toHex } from "../bytes/hex.ts";

/** 16 hex digits: the day it was drawn (4, days since 1970) and chance (12). */
export type WriterId = string & { readonly brand: "writer" };

/** One change. */
export interface Dot {
  readonly writer: WriterId;
  /** From 1 on. */
  readonly counter: number;
}

/** The dot of a change that was made and not yet written: `seal` gives it one. Nobody else has seen it. */
export const unsealed: Dot = { writer: "" as WriterId, counter: 1 };

/** All changes that a state has seen: those of writers drawn up to `horizonDay`, and of each other writer up to its counter. */
export interface Seen {
  readonly horizonDay: number;
  /** In the order of the ids. */
  readonly writers: ReadonlyMap<WriterId, number>;
}

/** A change as it is written. */
export interface Mark extends Dot {
  /** Wall-clock time, ms since 1970. */
  readonly timeMs: number;
}

/** Names the next change of this process to a state that has seen this. */
export type Pen = (seen: Seen) => Mark;

export const nothingSeen: Seen = { horizonDay: 0, writers: new Map() };

const writersKept = 64;
const horizonDays = 90;
/** How long a writer may be used. */
export const writerDays = 30;
const dayMax = 0xffff;

/** `chance`: six bytes. Day 0 is before all writers: the horizon of who has forgotten none. */
export function writerId(day: number, chance: Uint8Array): WriterId {
  return (Math.max(1, Math.min(dayMax, day)).toString(16).padStart(4, "0") + toHex(chance)) as WriterId;
}

export function dayOf(writer: WriterId): number {
  return Number.parseInt(writer.slice(0, 4), 16);
}

export function hasSeen({ horizonDay, writers }: Seen, { writer, counter }: Dot): boolean {
  if (writer === unsealed.writer) return false;
  return (writers.get(writer) ?? 0) >= counter || dayOf(writer) <= horizonDay;
}

export function joinSeen(a: Seen, b: Seen): Seen {
  const horizonDay = Math.max(a.horizonDay, b.horizonDay);
  const writers = new Map(a.writers);
  for (const [writer, counter] of b.writers) writers.set(writer, Math.max(counter, writers.get(writer) ?? 0));
  return normal(horizonDay, writers);
}

/** The next state of what is seen once `dot` has happened, with writers forgotten that are too many and too old. */
export function withDot({ horizonDay, writers }: Seen, { writer, counter }: Dot): Seen {
  const seen = normal(horizonDay, new Map(writers).set(writer, counter));
  if (seen.writers.size <= writersKept) return seen;
  return normal(Math.max(horizonDay, medianDay(seen) - horizonDays), seen.writers);
}

/** When the writers of a state were drawn, by most clocks; 0 where there are none. */
export function medianDay({ writers }: Seen): number {
  const ids = [...writers.keys()]; // in their order, which is that of the days
  const middle = ids[Math.floor(ids.length / 2)];
  return middle === undefined ? 0 : dayOf(middle);
}

function normal(horizonDay: number, writers: ReadonlyMap<WriterId, number>): Seen {
  const kept = [...writers].filter(([writer]) => dayOf(writer) > horizonDay);
  return { horizonDay, writers: new Map(kept.toSorted(([a], [b]) => (a < b ? -1 : 1))) };
}

/** More than the largest value has room for. */
const writersMax = 1 << 17;

/** A writer, and how much of it was seen: 0 stands for a forgotten one that something in the value still names. */
const writerMessage: Message<{ readonly id: WriterId; readonly counter: number }> = message("Writer", {
  id: field(1, hex<WriterId>(8)),
  counter: field(2, varint),
});

/** What is seen, as it is stored: a table of writers in the order of their ids, which dots in the value name by index. */
export const seenMessage: Message<SeenMessage> = verified(
  message("Seen", { horizonDay: field(1, varint), writers: repeated(2, writerMessage, writersMax) }),
  ({ horizonDay, writers }) => {
    if (horizonDay > dayMax) return `the horizon ${horizonDay} is no day`;
    const isOrdered = writers.every(({ id }, i) => i === 0 || writers[i - 1]!.id < id);
    const isNormal = writers.every(({ id, counter }) => (counter === 0) === dayOf(id) <= horizonDay);
    return isOrdered && isNormal ? undefined : "writers are out of order, or forgotten ones have a counter";
  },
);

interface SeenMessage {
  readonly horizonDay: number;
  readonly writers: readonly Infer<typeof writerMessage>[];
}

/** With the writers of all that the value names. */
export function toSeenMessage({ horizonDay, writers }: Seen, named: Iterable<WriterId>): SeenMessage {
  const all = new Map<WriterId, number>([...named].map((id) => [id, 0]));
  for (const [id, counter] of writers) all.set(id, counter);
  const inOrder = [...all].toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { horizonDay, writers: inOrder.map(([id, counter]) => ({ id, counter })) };
}

export function fromSeenMessage({ horizonDay, writers }: SeenMessage): Seen {
  const seen = writers.filter(({ counter }) => counter > 0);
  return { horizonDay, writers: new Map(seen.map(({ id, counter }) => [id, counter])) };
}
