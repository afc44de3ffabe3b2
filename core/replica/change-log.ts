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
  readonly position: ChangePosition;
  readonly missed: boolean;
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

  /** Changes after `after`, each key once; waits up to `waitMs` for the first. */
  async since(after: ChangePosition, matches: (key: Key) => boolean, waitMs: number): Promise<Changes> {
    const oldest = Math.max(0, this.#sequence - this.#entriesMax);
    if (after.epoch !== this.#epoch || after.sequence < oldest || after.sequence > this.#sequence) {
      return { keys: [], position: this.position, missed: true };
    }
    const keys = new Set<Key>();
    for (let s = after.sequence; s < this.#sequence; s++) {
      const key = this.#keys[s % this.#entriesMax]!;
      if (matches(key)) keys.add(key);
    }
    if (keys.size > 0 || waitMs <= 0) return { keys: [...keys], position: this.position, missed: false };
    const reached = this.position;
    await this.#next(matches, waitMs);
    return this.since(reached, matches, 0);
  }

  #next(matches: (key: Key) => boolean, waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      let stopTimer: Stop = () => {};
      const end = (): void => {
        stopTimer();
        this.#waiting.delete(hear);
        resolve();
      };
      const hear = (key: Key): void => {
        if (matches(key)) end();
      };
      this.#waiting.add(hear);
      stopTimer = this.#clock.after(waitMs, end);
    });
  }
}
