/**
 * When a partition that could not be completed is tried again. A source that cannot give all of it, as its disk is damaged,
 * say, would be copied again and again for what it has not. So the pause doubles with each try that got no further, and
 * is over when the holders are others, or say something else.
 * Invariant: a try always comes.
 */
import type { PartitionIndex } from "../identity.ts";
import type { Clock } from "../ports.ts";

const pauseMs = { first: 250, max: 8_000 };

interface Wait {
  /** Of whom it was tried, and as what they held it. */
  readonly situation: string;
  readonly pauseMs: number;
  readonly untilMs: number;
}

export class FillRetries {
  readonly #clock: Clock;
  readonly #waits = new Map<PartitionIndex, Wait>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isDue(partition: PartitionIndex, situation: string): boolean {
    const wait = this.#waits.get(partition);
    return wait?.situation !== situation || this.#clock.now() >= wait.untilMs;
  }

  /** A try ended, and the partition is not complete. */
  failed(partition: PartitionIndex, situation: string, { gotOn }: { readonly gotOn: boolean }): void {
    const before = this.#waits.get(partition);
    const isAgain = before?.situation === situation && !gotOn;
    const next = isAgain ? Math.min(2 * before.pauseMs, pauseMs.max) : pauseMs.first;
    this.#waits.set(partition, { situation, pauseMs: next, untilMs: this.#clock.now() + next });
  }

  ended(partition: PartitionIndex): void {
    this.#waits.delete(partition);
  }
}
