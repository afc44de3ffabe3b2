/**
 * The clock of a device, which a visitor may set ahead: as if so much time had passed with the page open. Given to the store
 * as its clock, so that whatever it times is due then.
 * Invariant: `now` never goes back.
 */
import type { Clock, Stop } from "everwrite";

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
  handle: ReturnType<typeof setTimeout>;
}

export class DeviceClock implements Clock {
  readonly #timers = new Set<Timer>();
  #aheadMs = 0;
  /** What was skipped since the page was opened. */
  #skippedMs = 0;

  now(): number {
    return performance.now() + this.#skippedMs;
  }

  wallTime(): number {
    return Date.now() + this.#aheadMs;
  }

  after(ms: number, run: () => void): Stop {
    const timer: Timer = { dueMs: this.now() + ms, run, handle: setTimeout(() => this.#fire(timer), ms) };
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer.handle);
      this.#timers.delete(timer);
    };
  }

  /** By how much it is ahead of the browser's. Set back, only the time of day is another. */
  setAhead(aheadMs: number): void {
    this.#skippedMs += Math.max(0, aheadMs - this.#aheadMs);
    this.#aheadMs = aheadMs;
    for (const timer of this.#timers) {
      clearTimeout(timer.handle);
      timer.handle = setTimeout(() => this.#fire(timer), Math.max(0, timer.dueMs - this.now()));
    }
  }

  #fire(timer: Timer): void {
    this.#timers.delete(timer);
    timer.run();
  }
}
