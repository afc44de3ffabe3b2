/**
 * Which keys changed lately, in order, for watchers here and elsewhere. In memory and bounded: a watcher that asks for
 * more than is left, or after a restart, is told so and reads everything anew, so nothing is missed.
 */
import { toHex } from "../bytes/hex.ts";
import type { Key } from "../identity.ts";
import type { Clock, Random, Stop } from "../ports.ts";

/** `epoch` names the process run: positions of another one mean nothing. */
export interface ChangePosition {
  readonly epoch: string;
  readonly sequence: number;
}

export interface Changes {
  readonly keys: readonly Key[];
  readonly missed: boolean;
}

/** Which keys a watcher wants. */
export interface ChangeFilter {
  /** `bucket/` and the beginning of a name; with `exact` one whole key. */
  readonly prefix: string;
  readonly exact: boolean;
}

/** A filter, and where the last answer to it ended. */
export interface ChangesAsked extends ChangeFilter {
  readonly after: ChangePosition;
}

/** Of one answer, keys times filters that let them through: each filter may let through as many keys as are kept. */
const passedMax = 100_000;

/** Filters by what they let through: a change is looked up, not compared with the thousands that one request may carry. */
class Filters {
  readonly #exact = new Map<string, number[]>();
  /** By length. */
  readonly #prefixes = new Map<number, Map<string, number[]>>();

  constructor(filters: readonly ChangeFilter[]) {
    for (const [i, { prefix, exact }] of filters.entries()) {
      const byText = exact ? this.#exact : (this.#prefixes.get(prefix.length) ?? new Map<string, number[]>());
      if (!exact) this.#prefixes.set(prefix.length, byText);
      const same = byText.get(prefix);
      if (same === undefined) byText.set(prefix, [i]);
      else same.push(i);
    }
  }

  /** Indices of those that let the key through. */
  *passedBy(key: Key): Generator<number> {
    yield* this.#exact.get(key) ?? [];
    for (const [length, byText] of this.#prefixes) yield* byText.get(key.slice(0, length)) ?? [];
  }

  lets(key: Key): boolean {
    return this.passedBy(key).next().done === false;
  }
}

export class ChangeLog {
  readonly #clock: Clock;
  readonly #entriesMax: number;
  readonly #epoch: string;
  /** A ring buffer: change number s stands at s % entriesMax. */
  readonly #keys: Key[] = [];
  readonly #waiting = new Set<(key: Key) => void>();
  #sequence = 0;

  constructor(deps: { readonly clock: Clock; readonly random: Random }, entriesMax: number) {
    this.#clock = deps.clock;
    this.#epoch = toHex(deps.random.bytes(8));
    this.#entriesMax = entriesMax;
  }

  append(key: Key): void {
    this.#keys[this.#sequence % this.#entriesMax] = key;
    this.#sequence += 1;
    for (const hear of this.#waiting) hear(key);
  }

  get position(): ChangePosition {
    return { epoch: this.#epoch, sequence: this.#sequence };
  }

  /**
   * For each filter the keys that it lets through and that changed after its position, each once. `missed`: some are no
   * longer known; all say so where together they let through more than an answer takes.
   */
  since(asked: readonly ChangesAsked[]): Changes[] {
    const results = asked.map(({ after }) => ({ keys: [] as Key[], missed: !this.#knows(after) }));
    const filters = new Filters(asked);
    let passed = 0;
    for (const [key, sequence] of this.#lastChanges(asked)) {
      for (const i of filters.passedBy(key)) {
        passed += 1;
        if (passed > passedMax) return asked.map(() => ({ keys: [], missed: true }));
        const { keys, missed } = results[i]!;
        if (!missed && sequence >= asked[i]!.after.sequence) keys.push(key);
      }
    }
    return results;
  }

  #knows({ epoch, sequence }: ChangePosition): boolean {
    const oldest = Math.max(0, this.#sequence - this.#entriesMax);
    return epoch === this.#epoch && sequence >= oldest && sequence <= this.#sequence;
  }

  /** Keys that changed since the oldest position of those that are known, with the number of their last change. */
  #lastChanges(asked: readonly ChangesAsked[]): Map<Key, number> {
    const start = asked.reduce(
      (low, { after }) => (this.#knows(after) ? Math.min(low, after.sequence) : low),
      Infinity,
    );
    const last = new Map<Key, number>();
    for (let s = start; s < this.#sequence; s++) last.set(this.#keys[s % this.#entriesMax]!, s);
    return last;
  }

  /** Resolves at the next change that a filter lets through, or after `waitMs`. */
  next(wanted: readonly ChangeFilter[], waitMs: number): Promise<void> {
    const filters = new Filters(wanted);
    return new Promise((resolve) => {
      let stopTimer: Stop = () => {};
      const end = (): void => {
        stopTimer();
        this.#waiting.delete(hear);
        resolve();
      };
      const hear = (key: Key): void => {
        if (filters.lets(key)) end();
      };
      this.#waiting.add(hear);
      stopTimer = this.#clock.after(waitMs, end);
    });
  }
}
