/** Round trips of one peer: a smoothed mean for choosing, a 95th percentile for the speculative retry (PROTOCOL 6). */

/** Answers that the percentile looks back on. */
const windowSize = 64;
/** TCP's gain for its smoothed round trip, RFC 6298. */
const gain = 1 / 8;

export class RoundTrips {
  readonly #window: number[] = [];
  #next = 0;
  #smoothedMs: number | undefined;
  #p95Ms: number | undefined;

  add(ms: number): void {
    this.#smoothedMs = this.#smoothedMs === undefined ? ms : this.#smoothedMs + gain * (ms - this.#smoothedMs);
    this.#window[this.#next] = ms;
    this.#next = (this.#next + 1) % windowSize;
    // Sorting 64 numbers for each answer would cost more than the rest of the accounting.
    if (this.#next % 8 === 0 || this.#window.length < 8) this.#p95Ms = undefined;
  }

  get smoothedMs(): number | undefined {
    return this.#smoothedMs;
  }

  get p95Ms(): number | undefined {
    if (this.#p95Ms === undefined && this.#window.length > 0) {
      const sorted = this.#window.toSorted((a, b) => a - b);
      this.#p95Ms = sorted[Math.ceil(0.95 * sorted.length) - 1];
    }
    return this.#p95Ms;
  }
}
