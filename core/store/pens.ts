/**
 * Names what this process changes in values that merge by themselves.
 * Invariant: a writer is used again only on a state that holds its last change, so of two changes of one writer the later has
 * seen the earlier; where that cannot be known (a change that may have failed, an older value, a key that was not used lately)
 * a new writer is drawn.
 */
import { Recent } from "../bytes/recent.ts";
import type { Clock, Random } from "../ports.ts";
import { type Dot, dayOf, type Mark, medianDay, type Pen, type Seen, writerDays, writerId } from "../values/dots.ts";

/** Keys whose writers are remembered. */
const keysMax = 10_000;
const dayMs = 86_400_000;

export class Pens {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #last = new Recent<string, Dot>(keysMax, () => 1);

  constructor({ clock, random }: { readonly clock: Clock; readonly random: Random }) {
    this.#clock = clock;
    this.#random = random;
  }

  /** `key`: `bucket/name`. */
  of(key: string): Pen {
    return (seen) => this.#next(key, seen);
  }

  #next(key: string, seen: Seen): Mark {
    const timeMs = Math.max(0, this.#clock.wallTime());
    // A clock that is far behind would draw a writer that others have forgotten already.
    const day = Math.max(Math.floor(timeMs / dayMs), medianDay(seen));
    const last = this.#last.get(key);
    const isUsable =
      last !== undefined && seen.writers.get(last.writer) === last.counter && day < dayOf(last.writer) + writerDays;
    const dot = isUsable
      ? { writer: last.writer, counter: last.counter + 1 }
      : { writer: writerId(day, this.#random.bytes(6)), counter: 1 };
    this.#last.set(key, dot);
    return { ...dot, timeMs };
  }
}
