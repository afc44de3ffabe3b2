/**
 * How long this process can have sent nothing that is older than what it holds: the wait that keeps messages on their way
 * from outliving a reap (PROTOCOL 9, end: nothing in flight is older than a third of the grace period).
 *
 * Whoever says "I hold no hint of this key" may have sent one a moment ago, and a copy of it may still be on its way
 * (scylladb#23712). A process that was stopped goes on with whatever it was about to send. And of what it sent before it
 * was restarted it knows nothing. So each of these begins the wait anew. By the monotonic clock, so that no clock that is
 * set ends it early; but a jump of the wall clock against it begins it anew too: the machine may have slept, and ages
 * by that clock are not to be believed for as long.
 */
import type { PartitionIndex } from "../identity.ts";
import type { NodeConfig } from "../config.ts";
import type { Clock } from "../ports.ts";

/** How old whatever is on its way may be (PROTOCOL 9). */
export function inFlightMs(config: Pick<NodeConfig, "inFlightMsMax" | "graceMs">): number {
  return Math.min(config.inFlightMsMax, config.graceMs / 3);
}

export class Stillness {
  readonly #clock: Clock;
  readonly #inFlightMs: number;
  readonly #hintsGone = new Map<PartitionIndex, number>();
  #sinceMs: number;
  #seen: { readonly nowMs: number; readonly wallMs: number };

  constructor(clock: Clock, inFlightMsMax: number) {
    this.#clock = clock;
    this.#inFlightMs = inFlightMsMax;
    this.#sinceMs = clock.now();
    this.#seen = { nowMs: clock.now(), wallMs: clock.wallTime() };
  }

  /** Call it several times within each half of the time in flight: shorter pauses are part of that time. */
  sweep(): void {
    const nowMs = this.#clock.now();
    const wallMs = this.#clock.wallTime();
    const passedMs = nowMs - this.#seen.nowMs;
    const jumpedMs = Math.abs(wallMs - this.#seen.wallMs - passedMs);
    if (Math.max(passedMs, jumpedMs) >= this.#inFlightMs / 2) this.#sinceMs = nowMs;
    this.#seen = { nowMs, wallMs };
  }

  /** A hint of this partition was delivered or dropped. */
  hintGone(partition: PartitionIndex): void {
    this.#hintsGone.set(partition, this.#clock.now());
  }

  /** Nothing that this process sent of the partition is on its way any more, but for what it holds. */
  isStill(partition: PartitionIndex): boolean {
    this.sweep();
    const sinceMs = Math.max(this.#sinceMs, this.#hintsGone.get(partition) ?? -Infinity);
    return this.#clock.now() - sinceMs >= this.#inFlightMs;
  }
}
