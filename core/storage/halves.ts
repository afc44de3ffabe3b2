/**
 * Whether the writers of one thread are flushed all together, or in halves by turns. Together they wait for a flush of F ms,
 * and then the disk waits for T ms until they have written again: a round takes F + T. In halves one half writes while the
 * other is flushed, and a flush costs hardly less for half of them: a round takes 2 F. So halves are right where F < T.
 */
export class Halves {
  readonly #writersMin: number;
  /** F, smoothed; T of the last burst; ms. */
  #flushMs: number | undefined;
  #turnMs = 0;
  #endedMs = -Infinity;
  #areHalved = false;

  /** Fewer than `writersMin` are never halved. */
  constructor(writersMin: number) {
    this.#writersMin = writersMin;
  }

  /** How many to flush of a burst that has found no flush under way. */
  ofBurst(writers: number, nowMs: number): number {
    if (writers < this.#writersMin) return writers;
    this.#turnMs = nowMs - this.#endedMs;
    const flushMs = this.#flushMs ?? Infinity;
    // After a longer pause they are not those whom the last flush has answered.
    const isTurn = this.#turnMs < pauseTimes * flushMs;
    this.#areHalved = isTurn && flushMs < this.#turnMs;
    return this.#areHalved ? Math.ceil(writers / 2) : writers;
  }

  flushed(beganMs: number, endedMs: number): void {
    const ms = endedMs - beganMs;
    this.#flushMs = this.#flushMs === undefined ? ms : this.#flushMs + smoothing * (ms - this.#flushMs);
    this.#endedMs = endedMs;
  }

  /** The disk has become slow: wait so long before the next flush, ms, for the halves to come together. Told once. */
  takeJoin(): number | undefined {
    if (!this.#areHalved || (this.#flushMs ?? 0) <= this.#turnMs) return undefined;
    this.#areHalved = false;
    return this.#turnMs;
  }
}

const pauseTimes = 4;
/** Weight of the latest flush: now and then one takes ten times as long as the others. */
const smoothing = 1 / 16;
