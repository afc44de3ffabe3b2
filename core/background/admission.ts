/**
 * Background work yields to requests: the paper's admission controller (6.5), a feedback loop on the requests' own latency.
 *
 * Each step of background work waits for its turn. While the 99th percentile of the requests over the trailing window is
 * near its threshold the wait doubles, else it halves; so background work gets what is left, and at the longest wait still
 * gets done. Invariant: a turn always comes.
 */
import type { Clock } from "../ports.ts";
import type { Telemetry } from "../telemetry.ts";

export interface AdmissionOptions {
  /** The p99 of requests that background work must not endanger, ms. */
  readonly latencyThresholdMs: number;
  /** Requests older than this say nothing about now. The paper looks at 60 s; shorter reacts while it still helps. */
  readonly windowMs: number;
  /** Longest wait between two steps: even a host that is always busy converges. */
  readonly waitMaxMs: number;
}

/** Slices of the window: old ones are forgotten one by one. */
const slices = 10;
/** Upper bounds of the latency classes, as shares of the threshold: only their order to it matters. */
const classes = [0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8];
/** Background work slows down before the threshold is reached. */
const nearShare = 0.75;
const waitStepMs = 1;

export class Admission {
  readonly #clock: Clock;
  readonly #options: AdmissionOptions;
  readonly #counts: number[][];
  #slice = 0;
  #sliceStartMs: number;
  #waitMs = 0;

  constructor(clock: Clock, options: AdmissionOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#counts = Array.from({ length: slices }, () => emptySlice());
    this.#sliceStartMs = clock.now();
  }

  /** A request of a client took this long. */
  observe(ms: number): void {
    this.#advance();
    const share = ms / this.#options.latencyThresholdMs;
    const at = classes.findIndex((bound) => share <= bound);
    this.#counts[this.#slice]![at < 0 ? classes.length : at]! += 1;
  }

  /** The present wait before each step, ms; for status and metrics. */
  get waitMs(): number {
    return this.#waitMs;
  }

  /** Resolves when the next step of background work may begin. */
  async turn(): Promise<void> {
    this.#advance();
    if (this.#waitMs === 0) return;
    await new Promise<void>((resolve) => {
      this.#clock.after(this.#waitMs, resolve);
    });
  }

  #advance(): void {
    const sliceMs = this.#options.windowMs / slices;
    const now = this.#clock.now();
    if (now - this.#sliceStartMs < sliceMs) return;
    // After a pause longer than the window all slices are stale.
    const passed = Math.min(Math.floor((now - this.#sliceStartMs) / sliceMs), slices);
    for (let i = 0; i < passed; i++) {
      this.#slice = (this.#slice + 1) % slices;
      this.#counts[this.#slice] = emptySlice();
    }
    this.#sliceStartMs = now;
    this.#adapt();
  }

  #adapt(): void {
    const isNear = this.#p99Share() >= nearShare;
    this.#waitMs = isNear
      ? Math.min(Math.max(2 * this.#waitMs, waitStepMs), this.#options.waitMaxMs)
      : this.#waitMs / 2;
    if (this.#waitMs < waitStepMs) this.#waitMs = 0;
  }

  /** The class of the 99th percentile, as a share of the threshold; 0 without requests. */
  #p99Share(): number {
    const sums = emptySlice().map((_zero, at) => this.#counts.reduce((sum, slice) => sum + slice[at]!, 0));
    const total = sums.reduce((sum, count) => sum + count, 0);
    let above = total;
    for (const [at, count] of sums.entries()) {
      above -= count;
      if (total > 0 && above <= total * 0.01) return classes[at] ?? Infinity;
    }
    return 0;
  }
}

function emptySlice(): number[] {
  return Array.from({ length: classes.length + 1 }, () => 0);
}

/** Telemetry that tells the admission how long clients wait: background work yields to that. */
export function observed(telemetry: Telemetry, admission: Admission): Telemetry {
  return {
    event(event) {
      if (event.kind === "request") admission.observe(event.ms);
      telemetry.event(event);
    },
  };
}
