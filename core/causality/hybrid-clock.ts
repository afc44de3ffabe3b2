/**
 * Hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014), in one safe integer:
 *
 *     stamp = wall-clock ms * 1,024 + logical count
 *
 * Ten bits count the events of one millisecond; the 1,025th carries into the next. 2^53 / 1,024 ms reach to the year 2248.
 * Invariant: the clock itself never runs more than `driftMaxMs` ahead of the wall clock, whatever it is shown: one node
 * with a wrong clock must not drag all others along. A single stamp may run further ahead where its floors ask for it.
 */
export type Stamp = number;

const STAMPS_PER_MS = 1024;

/** Before all events. */
export const STAMP_ZERO: Stamp = 0;

export function stampToMs(stamp: Stamp): number {
  return Math.floor(stamp / STAMPS_PER_MS);
}

/** The first stamp of a millisecond. */
export function stampOfMs(wallMs: number): Stamp {
  return Math.min(Math.max(Math.floor(wallMs), 0) * STAMPS_PER_MS, Number.MAX_SAFE_INTEGER);
}

export class HybridClock {
  readonly #driftMaxMs: number;
  #latest: Stamp = STAMP_ZERO;

  constructor({ clockDriftMaxMs }: { clockDriftMaxMs: number }) {
    this.#driftMaxMs = clockDriftMaxMs;
  }

  /**
   * A stamp above every floor, such as the stamps of the state and context of a write, and above the earlier ones of this
   * clock; of these, those beyond the bound of the present wall time are forgotten: a clock that was set right is followed.
   * The last stamp of all has none above it: then it is given again, so that a hostile stamp cannot close a key to writes.
   */
  tick(wallMs: number, ...floors: readonly Stamp[]): Stamp {
    const highest = Math.max(stampOfMs(wallMs) - 1, this.#withinBound(wallMs), ...floors);
    const stamp = Math.min(highest + 1, Number.MAX_SAFE_INTEGER);
    if (this.isWithinBound(stamp, wallMs)) this.#latest = stamp;
    return stamp;
  }

  /** Stamps minted from now on exceed this one. False, and nothing changes, when it lies beyond the bound. */
  observe(stamp: Stamp, wallMs: number): boolean {
    if (!this.isWithinBound(stamp, wallMs)) return false;
    this.#latest = Math.max(this.#withinBound(wallMs), stamp);
    return true;
  }

  /** Whether a stamp that enters from outside is believable. */
  isWithinBound(stamp: Stamp, wallMs: number): boolean {
    return stamp < stampOfMs(wallMs + this.#driftMaxMs + 1);
  }

  #withinBound(wallMs: number): Stamp {
    return this.isWithinBound(this.#latest, wallMs) ? this.#latest : STAMP_ZERO;
  }
}
