/**
 * So much a second and no more, saved up to a limit while nothing is taken (a token bucket).
 */
export class Allowance {
  readonly #perSecond: number;
  readonly #savedMax: number;
  #left: number;
  #atMs: number;

  constructor({ perSecond, savedMax }: { readonly perSecond: number; readonly savedMax: number }, nowMs: number) {
    this.#perSecond = perSecond;
    this.#savedMax = savedMax;
    this.#left = savedMax;
    this.#atMs = nowMs;
  }

  /** How much may be taken now. */
  left(nowMs: number): number {
    return Math.min(this.#savedMax, this.#left + ((nowMs - this.#atMs) / 1_000) * this.#perSecond);
  }

  /** False, and nothing is taken: there is less. */
  take(amount: number, nowMs: number): boolean {
    const left = this.left(nowMs);
    if (left < amount) return false;
    this.#left = left - amount;
    this.#atMs = nowMs;
    return true;
  }
}
