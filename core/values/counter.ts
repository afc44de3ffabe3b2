/**
 * A number that many add to at once. Each writer has the sum of what it added (the G-counter of Shapiro et al. 2011 with signed
 * sums: only a writer changes its own, under a counter that tells which is later), and the value is the sum of all.
 * Sums of writers that are forgotten (see `dots.ts`) are in `base`, which is a function of the horizon.
 */
import { field, type Infer, message, type Message, repeated, type Type, verified } from "../bytes/codec.ts";
import type { Codec } from "./codecs.ts";
import type { ConflictRule } from "./conflict-rules.ts";
import {
  fromSeenMessage,
  joinSeen,
  nothingSeen,
  type Pen,
  type Seen,
  seenMessage,
  toSeenMessage,
  withDot,
  type WriterId,
} from "./dots.ts";
import { MergingValue, mergingRule } from "./merging.ts";

interface Sums {
  readonly seen: Seen;
  readonly base: number;
  /** Of each writer in `seen`. */
  readonly sums: ReadonlyMap<WriterId, number>;
  /** Added since it was read. */
  readonly pending: number;
}

/** Largest magnitude of a sum: twice it and one is a safe integer. */
const sumMax = 2 ** 52 - 1;

/**
 * A count, as of when it was read.
 *
 * @example
 * const likes = store.bucket<Counter>("likes", { conflict: counter() });
 * await likes.update("post 1", (count) => count.add(1));
 */
export class Counter extends MergingValue<Sums> {
  get total(): number {
    const { base, sums, pending } = this.state;
    return [...sums.values()].reduce((total, sum) => total + sum, base + pending);
  }

  /** @throws RangeError unless `by` is an integer, positive or negative, and the count stays below 2^52 */
  add(by = 1): Counter {
    const pending = this.state.pending + by;
    if (!Number.isSafeInteger(by) || Math.abs(pending) > sumMax || Math.abs(this.total + by) > sumMax) {
      throw new RangeError(`a counter of ${this.total} takes integers within 2^52, not ${by}`);
    }
    return new Counter({ ...this.state, pending });
  }

  toJSON(): number {
    return this.total;
  }
}

/** Increments from everywhere add up, each once, however often it was tried and however long it took to arrive. */
export function counter(): ConflictRule<Counter> {
  return mergingRule({ name: "counter", codec, empty, of: (state) => new Counter(state), join, seal });
}

const empty: Sums = { seen: nothingSeen, base: 0, sums: new Map(), pending: 0 };

function join(a: Sums, b: Sums): Sums {
  const seen = joinSeen(a.seen, b.seen);
  const sums = new Map<WriterId, number>();
  for (const writer of seen.writers.keys()) sums.set(writer, laterSum(writer, a, b));
  return { seen, base: laterBase(a, b), sums, pending: a.pending + b.pending };
}

function laterSum(writer: WriterId, a: Sums, b: Sums): number {
  const later = (b.seen.writers.get(writer) ?? 0) > (a.seen.writers.get(writer) ?? 0) ? b : a;
  return later.sums.get(writer)!;
}

/** What the lower horizon has not forgotten yet is in the base of the higher one. */
function laterBase(a: Sums, b: Sums): number {
  if (a.seen.horizonDay !== b.seen.horizonDay) return a.seen.horizonDay > b.seen.horizonDay ? a.base : b.base;
  return Math.max(a.base, b.base);
}

function seal(state: Sums, pen: Pen): Sums {
  if (state.pending === 0) return state;
  const mark = pen(state.seen);
  const { writer } = mark;
  const seen = withDot(state.seen, mark);
  const all = new Map(state.sums).set(writer, (state.sums.get(writer) ?? 0) + state.pending);
  const sums = new Map([...all].filter(([each]) => seen.writers.has(each)));
  const base = [...all].reduce((sum, [each, added]) => (seen.writers.has(each) ? sum : sum + added), state.base);
  if (!areWithinIntegers(base, sums.values())) throw new RangeError("the sums of this counter are beyond all integers");
  return { seen, base, sums, pending: 0 };
}

/** However they are added up. */
function areWithinIntegers(base: number, sums: Iterable<number>): boolean {
  return Number.isSafeInteger([...sums].reduce((all, sum) => all + Math.abs(sum), Math.abs(base)));
}

/** Small magnitudes take few bytes, whatever their sign. */
const signed: Type<number> = {
  wire: 0,
  write: (writer, value) => writer.varint(value >= 0 ? 2 * value : -2 * value - 1),
  read: (reader) => {
    const value = reader.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  },
};

const sumsMax = 1 << 17;
const plainMessage = message("Counter", {
  seen: field(1, seenMessage),
  base: field(2, signed),
  /** In the order of the writers. */
  sums: repeated(3, signed, sumsMax),
});
type CounterMessage = Infer<typeof plainMessage>;
const counterMessage: Message<CounterMessage> = verified(plainMessage, problemOf);

function problemOf({ seen, base, sums }: CounterMessage): string | undefined {
  if (seen.writers.some((each) => each.counter === 0)) return "a writer that it has not seen";
  if (sums.length !== seen.writers.length) return `${sums.length} sums of ${seen.writers.length} writers`;
  return areWithinIntegers(base, sums) ? undefined : "sums beyond all integers";
}

const codec: Codec<Sums> = {
  contentType: "application/x-everwrite-counter",
  encode: ({ seen, base, sums }) =>
    counterMessage.encode({
      seen: toSeenMessage(seen, []),
      base,
      sums: [...seen.writers.keys()].map((id) => sums.get(id)!),
    }),
  decode(body) {
    const decoded = counterMessage.decode(body);
    const seen = fromSeenMessage(decoded.seen);
    const sums = new Map([...seen.writers.keys()].map((id, i) => [id, decoded.sums[i]!]));
    return { seen, base: decoded.base, sums, pending: 0 };
  },
};
