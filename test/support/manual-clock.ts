/** Time that passes only when the test says so. Both clocks of the port show it; the wall clock may be set apart. */
import type { Clock, Stop } from "../../core/ports.ts";

export class ManualClock implements Clock {
  wallMs: number;
  #nowMs = 0;
  #timers: { readonly atMs: number; readonly run: () => void }[] = [];

  constructor(wallMs = 1_000_000) {
    this.wallMs = wallMs;
  }

  now(): number {
    return this.#nowMs;
  }

  wallTime(): number {
    return this.wallMs;
  }

  after(ms: number, run: () => void): Stop {
    const timer = { atMs: this.#nowMs + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Runs what falls due on the way, in order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ atMs }) => atMs <= endMs).toSorted((a, b) => a.atMs - b.atMs);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.wallMs += next.atMs - this.#nowMs;
      this.#nowMs = next.atMs;
      next.run();
    }
    this.wallMs += endMs - this.#nowMs;
    this.#nowMs = endMs;
  }
}
