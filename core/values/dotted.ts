/**
 * A map whose entries know by which changes they are there: the dot store under sets, registers and carts (Almeida et al. 2018,
 * section 7.2). An entry lives while both sides have it, or while the side that lacks it has not seen its dot: so what
 * was removed needs no tombstone, and what was added at the same time stays.
 * Invariant: a state has seen the dots of all its entries, but for unsealed ones; joining is commutative, associative, idempotent.
 */
import { field, message, repeated, text, type Type, varint } from "../bytes/codec.ts";
import { DecodeError } from "../bytes/wire.ts";
import type { Codec } from "./codecs.ts";
import {
  type Dot,
  fromSeenMessage,
  hasSeen,
  joinSeen,
  type Mark,
  nothingSeen,
  type Pen,
  type Seen,
  seenMessage,
  toSeenMessage,
  unsealed,
  withDot,
  type WriterId,
} from "./dots.ts";

/** What one change put under a key. */
export interface Entry<P> extends Dot {
  readonly payload: P;
}

/** Keys in their order, each with one entry or more, in the order of their dots. */
export interface Dotted<P> {
  readonly seen: Seen;
  readonly entries: ReadonlyMap<string, readonly Entry<P>[]>;
}

export const nothingDotted: Dotted<never> = { seen: nothingSeen, entries: new Map() };

/** Puts a payload under a key, in place of the entries that `replaces` names. */
export function put<P>(
  { seen, entries }: Dotted<P>,
  key: string,
  payload: P,
  replaces: (entry: Entry<P>) => boolean,
): Dotted<P> {
  const kept = (entries.get(key) ?? []).filter((entry) => !replaces(entry));
  return { seen, entries: new Map(entries).set(key, [...kept, { ...unsealed, payload }]) };
}

/** Takes away all that the state has under a key. */
export function remove<P>({ seen, entries }: Dotted<P>, key: string): Dotted<P> {
  const kept = new Map(entries);
  kept.delete(key);
  return { seen, entries: kept };
}

/** Gives the changes that were made their dot. `stamp`: when they were. */
export function seal<P>(
  state: Dotted<P>,
  pen: Pen,
  stamp: (payload: P, mark: Mark) => P = (payload) => payload,
): Dotted<P> {
  const isChanged = [...state.entries.values()].some((all) => all.some(isUnsealed));
  if (!isChanged) return state;
  const mark = pen(state.seen);
  const { writer, counter } = mark;
  const named = (entry: Entry<P>): Entry<P> =>
    isUnsealed(entry) ? { writer, counter, payload: stamp(entry.payload, mark) } : entry;
  const entries = [...state.entries].map(([key, all]) => [key, all.map(named)] as const);
  return normal(withDot(state.seen, mark), entries);
}

export function join<P>(a: Dotted<P>, b: Dotted<P>): Dotted<P> {
  const keys = new Set([...a.entries.keys(), ...b.entries.keys()]);
  const entries = [...keys].map((key) => {
    const [left, right] = [a.entries.get(key) ?? [], b.entries.get(key) ?? []];
    const onBoth = left.filter((entry) => right.some((other) => isSame(entry, other)));
    const ofLeft = left.filter((entry) => !hasSeen(b.seen, entry));
    const ofRight = right.filter((entry) => !hasSeen(a.seen, entry));
    return [key, [...onBoth, ...ofLeft, ...ofRight]] as const;
  });
  return normal(joinSeen(a.seen, b.seen), entries);
}

function isSame(a: Dot, b: Dot): boolean {
  return a.writer === b.writer && a.counter === b.counter;
}

export function isUnsealed({ writer }: Dot): boolean {
  return writer === unsealed.writer;
}

function normal<P>(seen: Seen, entries: readonly (readonly [string, readonly Entry<P>[]])[]): Dotted<P> {
  const kept = entries.filter(([, all]) => all.length > 0).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return { seen, entries: new Map(kept.map(([key, all]) => [key, all.toSorted(byDot)])) };
}

export function byDot(a: Dot, b: Dot): number {
  if (a.writer !== b.writer) return a.writer < b.writer ? -1 : 1;
  return a.counter - b.counter;
}

/** Bounds for the decoder alone: the store refuses values above 1 MiB. */
const keyBytesMax = 1 << 16;
const entriesMax = 1 << 20;

/** Equal states have equal bytes. `encode` wants them sealed; `fits`: whether the value could have made such an entry. */
export function dottedCodec<P>(
  contentType: string,
  payload: Type<P>,
  fits: (key: string, payload: P) => boolean,
): Codec<Dotted<P>> {
  const dot = message("Dot", { writer: field(1, varint), counter: field(2, varint), payload: field(3, payload) });
  const entry = message("Entry", { key: field(1, text(keyBytesMax)), dots: repeated(2, dot, entriesMax) });
  const state = message("Dotted", { seen: field(1, seenMessage), entries: repeated(2, entry, entriesMax) });
  return {
    contentType,
    encode({ seen, entries }) {
      const all = [...entries];
      const table = toSeenMessage(seen, writersOf(entries));
      const indexOf = new Map(table.writers.map(({ id }, index) => [id, index]));
      const toMessage = ({ writer, counter, payload }: Entry<P>) => ({
        writer: indexOf.get(writer)!,
        counter,
        payload,
      });
      return state.encode({ seen: table, entries: all.map(([key, dots]) => ({ key, dots: dots.map(toMessage) })) });
    },
    decode(body) {
      const decoded = state.decode(body);
      const seen = fromSeenMessage(decoded.seen);
      const ids = decoded.seen.writers.map(({ id }) => id);
      const entries = decoded.entries.map(({ key, dots }) => {
        const all = dots.map(({ writer, counter, payload }) => ({ writer: ids[writer]!, counter, payload }));
        return [key, all] as const;
      });
      const problem = problemOf(seen, entries);
      if (problem !== undefined) throw new DecodeError(`${contentType}: ${problem}`);
      const misfit = entries.find(([key, all]) => !all.every((each) => fits(key, each.payload)));
      if (misfit !== undefined) throw new DecodeError(`${contentType}: no such entry can be under ${misfit[0]}`);
      return { seen, entries: new Map(entries) };
    },
  };
}

function* writersOf(entries: Dotted<unknown>["entries"]): Iterable<WriterId> {
  for (const all of entries.values()) for (const { writer } of all) yield writer;
}

/** What breaks the invariant, or the order that equal states share. */
function problemOf(seen: Seen, entries: readonly (readonly [string, readonly Dot[]])[]): string | undefined {
  for (const [i, [key, dots]] of entries.entries()) {
    const before = entries[i - 1];
    if (before !== undefined && before[0] >= key) return "keys out of order";
    if (dots.length === 0) return "a key without an entry";
    for (const [j, dot] of dots.entries()) {
      if (dot.writer === undefined || dot.counter === 0 || !hasSeen(seen, dot)) return "an entry of an unknown change";
      if (j > 0 && byDot(dots[j - 1]!, dot) >= 0) return "entries out of order";
    }
  }
  return undefined;
}
