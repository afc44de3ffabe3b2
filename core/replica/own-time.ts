/**
 * This node's own time, in ms that look like wall time: what it knew when (PROTOCOL 3, *Truncation*).
 * Invariants: within a run it never goes back and never jumps, whatever the wall clock does; a process that slept knows
 * it, for messages as old as its sleep may still be waiting for it.
 */
import type { Clock } from "../ports.ts";

/** A loop that is late by more was stopped, or suspended with its machine. */
const sleepMsMin = 2_000;
/** After a sleep, so long until all that waited for the process has been looked at. */
const settlingMs = 10_000;

export const tickIntervalMs = 500;

export class OwnTime {
  readonly #clock: Clock;
  readonly #offsetMs: number;
  #tickMs: number;
  #tickWallMs: number;
  #sleptUntilMs = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#offsetMs = clock.wallTime() - clock.now();
    this.#tickMs = clock.now();
    this.#tickWallMs = clock.wallTime();
  }

  nowMs(): number {
    return this.at(this.#clock.now());
  }

  /** What it showed, or will, when the clock's `now()` is this. */
  at(clockMs: number): number {
    return Math.floor(clockMs + this.#offsetMs);
  }

  /** Call every `tickIntervalMs`. */
  tick(): void {
    if (this.#isLate()) this.#sleptUntilMs = this.#clock.now();
    this.#tickMs = this.#clock.now();
    this.#tickWallMs = this.#clock.wallTime();
  }

  /** False right after a sleep, also before the first tick notices it. */
  get isSettled(): boolean {
    return !this.#isLate() && this.#clock.now() - this.#sleptUntilMs >= settlingMs;
  }

  /** Also before the first tick notices it. `clockMs`: of the clock's `now()`. */
  hasSleptSince(clockMs: number): boolean {
    return this.#isLate() || this.#sleptUntilMs >= clockMs;
  }

  /** Some machines stop the monotonic clock while they are suspended, and only the wall clock shows it. */
  #isLate(): boolean {
    const passedMs = this.#clock.now() - this.#tickMs;
    return Math.max(passedMs, this.#clock.wallTime() - this.#tickWallMs) > sleepMsMin;
  }
}
