/**
 * A histogram of latencies that forgets. Classes are 10 % wide, so a quantile is exact to that; 1 KiB, no allocation.
 */
const classes = 128;
const smallestMs = 0.1;
/** 0.1 ms to 18 s. */
const growth = 1.1;

export class Latencies {
  readonly #counts = new Float64Array(classes);
  #count = 0;

  /** How many are remembered; faded ones count in part. */
  get count(): number {
    return this.#count;
  }

  add(ms: number): void {
    const at = Math.ceil(Math.log(Math.max(ms, smallestMs) / smallestMs) / Math.log(growth));
    this.#counts[Math.min(at, classes - 1)]! += 1;
    this.#count += 1;
  }

  /** Every one counts only `left` times as much as before, 0..1. */
  fade(left: number): void {
    for (let at = 0; at < classes; at++) this.#counts[at]! *= left;
    this.#count *= left;
  }

  /** The latency, ms, that the share `q` does not exceed; 0 when there is none. */
  quantile(q: number): number {
    if (this.#count === 0) return 0;
    // Sums of parts and products of shares are a little off.
    let left = this.#count * q * (1 - 1e-9);
    let at = -1;
    while (left > 0 && at < classes - 1) left -= this.#counts[++at]!;
    return smallestMs * growth ** at;
  }
}
