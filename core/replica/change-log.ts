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

function passes({ prefix, exact }: ChangeFilter, key: Key): boolean {
  return exact ? key === prefix : key.startsWith(prefix);
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

  /** Changes after `after` that the filter lets through, each key once. `missed`: some are no longer known. */
  since(after: ChangePosition, filter: ChangeFilter): Changes {
    const oldest = Math.max(0, this.#sequence - this.#entriesMax);
    if (after.epoch !== this.#epoch || after.sequence < oldest || after.sequence > this.#sequence) {
      return { keys: [], missed: true };
    }
    const keys = new Set<Key>();
    for (let s = after.sequence; s < this.#sequence; s++) {
      const key = this.#keys[s % this.#entriesMax]!;
      if (passes(filter, key)) keys.add(key);
    }
    return { keys: [...keys], missed: false };
  }

  /** Resolves at the next change that a filter lets through, or after `waitMs`. */
  next(filters: readonly ChangeFilter[], waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      let stopTimer: Stop = () => {};
      const end = (): void => {
        stopTimer();
        this.#waiting.delete(hear);
        resolve();
      };
      const hear = (key: Key): void => {
        if (filters.some((filter) => passes(filter, key))) end();
      };
      this.#waiting.add(hear);
      stopTimer = this.#clock.after(waitMs, end);
    });
  }
}
