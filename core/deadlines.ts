/**
 * Calls many deadlines with one timer. Deadlines are rounded up to a grid, so thousands of requests per second share
 * a few buckets, and one that is met in time costs two set operations and no timer.
 */
import type { Clock, Stop } from "./ports.ts";

/** The grid: a request times out up to this much late, ms. */
const gridMs = 10;
/** Platform timers overflow above 2^31 ms, and fire at once. */
const timerMsMax = 1_000_000_000;

export class Deadlines {
  readonly #clock: Clock;
  readonly #buckets = new Map<number, Set<() => void>>();
  #stopTimer: Stop | undefined;
  #timerTick = Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Calls `run` at `atMs` of the clock or up to a grid step later, unless stopped before. */
  add(atMs: number, run: () => void): Stop {
    const tick = Math.ceil(atMs / gridMs);
    let bucket = this.#buckets.get(tick);
    if (bucket === undefined) {
      bucket = new Set();
      this.#buckets.set(tick, bucket);
      if (tick < this.#timerTick) this.#arm(tick);
    }
    bucket.add(run);
    return () => bucket.delete(run);
  }

  /** Nobody waits any more: all that is left is over now, and no timer keeps the process alive. */
  stop(): void {
    this.#stopTimer?.();
    const left = [...this.#buckets.values()];
    this.#buckets.clear();
    for (const bucket of left) for (const run of bucket) run();
  }

  #arm(tick: number): void {
    this.#stopTimer?.();
    this.#timerTick = tick;
    const ms = Math.max(0, Math.min(timerMsMax, tick * gridMs - this.#clock.now()));
    this.#stopTimer = this.#clock.after(ms, () => this.#ring());
  }

  #ring(): void {
    this.#timerTick = Infinity;
    this.#stopTimer = undefined;
    const nowMs = this.#clock.now();
    let next = Infinity;
    for (const [tick, bucket] of this.#buckets) {
      if (bucket.size > 0 && tick * gridMs > nowMs) {
        next = Math.min(next, tick);
      } else {
        this.#buckets.delete(tick);
        for (const run of bucket) run();
      }
    }
    if (next < this.#timerTick) this.#arm(next);
  }
}
