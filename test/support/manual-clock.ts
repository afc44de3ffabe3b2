/**
 * A clock that stands still until told: timers fire in order of (time, order of setting). Both clocks of the port show
 * the time that passes; the wall clock may be set apart.
 */
import type { Clock } from "../../core/ports.ts";

export class ManualClock implements Clock {
  wallMs: number;
  #nowMs = 0;
  #order = 0;
  #timers: { readonly atMs: number; readonly order: number; readonly run: () => void }[] = [];

  constructor(wallMs = 0) {
    this.wallMs = wallMs;
  }

  /** Moments at which the timers now set will fire. */
  get pendingMs(): number[] {
    return this.#timers.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  }

  now(): number {
    return this.#nowMs;
  }

  wallTime(): number {
    return this.wallMs;
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
    do {
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#fireNext(untilMs));
    if (untilMs !== Infinity) this.#turnTo(untilMs);
  }

  /** The same within one turn of the event loop. */
  jump(ms: number): void {
    const untilMs = this.#nowMs + ms;
    while (this.#fireNext(untilMs));
    this.#turnTo(untilMs);
  }

  #fireNext(untilMs: number): boolean {
    this.#timers.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
    const next = this.#timers[0];
    if (next === undefined || next.atMs > untilMs) return false;
    this.#timers.shift();
    this.#turnTo(next.atMs);
    next.run();
    return true;
  }

  #turnTo(ms: number): void {
    this.wallMs += ms - this.#nowMs;
    this.#nowMs = ms;
  }
}
