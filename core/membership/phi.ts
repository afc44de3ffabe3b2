/**
 * Phi-accrual failure detection (Hayashibara, Defago, Yared, Katayama 2004): how unlikely the present silence of one
 * peer is, given how long it was silent before. phi = -log10 P(a silence lasts longer than this one), for silences that
 * are normally distributed with the mean and deviation of the last ones; phi = 8 is one false alarm in 10^8 silences.
 *
 * A silence is the time during which an answer is due and nothing at all comes: a peer that nobody asks is not silent,
 * and one that answers anything, however slowly, sets the bar for itself. So slow is not dead.
 * Invariant: phi never falls while a silence lasts.
 */

/** A peer is suspected from here on. */
const phiMax = 8;
/** How many deviations above the mean that is, by the approximation below. */
const deviationsAtMax = 5.2274;
/** Silences looked back on: half a minute of a busy peer, and more of an idle one. */
const windowSize = 128;

export class PhiDetector {
  readonly #deviationMinMs: number;
  readonly #window: number[] = [];
  #next = 0;
  #sum = 0;
  #sumOfSquares = 0;

  /** `suspectAfterMs`: the silence after which a peer that always answered at once, or never was asked, is suspected. */
  constructor({ suspectAfterMs }: { readonly suspectAfterMs: number }) {
    this.#deviationMinMs = suspectAfterMs / deviationsAtMax;
  }

  /** A silence of this length has ended. */
  ended(silenceMs: number): void {
    const former = this.#window[this.#next] ?? 0;
    this.#window[this.#next] = silenceMs;
    this.#next = (this.#next + 1) % windowSize;
    this.#sum += silenceMs - former;
    this.#sumOfSquares += silenceMs ** 2 - former ** 2;
  }

  phi(silenceMs: number): number {
    const deviations = (silenceMs - this.#meanMs) / this.#deviationMs;
    // The normal tail by the logistic curve 1 / (1 + e^x), within 0.02 % (Bowling et al. 2009): monotone, and its
    // logarithm is finite where the tail itself is too small for a number.
    const x = deviations * (1.5976 + 0.070566 * deviations ** 2);
    return x > 100 ? x / Math.LN10 : Math.log10(1 + Math.exp(x));
  }

  isSuspect(silenceMs: number): boolean {
    return this.phi(silenceMs) > phiMax;
  }

  get #meanMs(): number {
    return this.#window.length === 0 ? 0 : this.#sum / this.#window.length;
  }

  get #deviationMs(): number {
    if (this.#window.length === 0) return this.#deviationMinMs;
    const variance = this.#sumOfSquares / this.#window.length - this.#meanMs ** 2;
    return Math.max(this.#deviationMinMs, Math.sqrt(Math.max(0, variance)));
  }
}
