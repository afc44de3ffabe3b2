/** A clock that stands still until told: timers fire in order of (time, order of setting). */
import type { Clock } from "../../core/ports.ts";

export class ManualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #timers: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];

  /** Moments at which the timers now set will fire. */
  get pendingMs(): number[] {
    return this.#timers.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  }

  now(): number {
    return this.#nowMs;
  }

  wallTime(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): () => void {
    this.#order += 1;
    const timer = { atMs: this.#nowMs + ms, order: this.#order, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Fires what is due within `ms`, letting promises settle between the timers. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      this.#timers.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
      const next = this.#timers[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#timers.shift();
      this.#nowMs = next.atMs;
      next.run();
    }
    if (untilMs !== Infinity) this.#nowMs = untilMs;
  }
}
