/**
 * How far a long piece of background work is, for status and metrics. Steps are what the estimate is made of; keys and
 * bytes are told beside them.
 */
import type { TransferProgress } from "../api.ts";
import type { Clock } from "../ports.ts";

export class Progress {
  readonly #clock: Clock;
  #startedMs = 0;
  #steps = 0;
  #stepsDone = 0;
  #keys = 0;
  #bytes = 0;
  #running = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(steps: number): void {
    this.#startedMs = this.#clock.now();
    this.#steps = steps;
    this.#stepsDone = 0;
    this.#keys = 0;
    this.#bytes = 0;
    this.#running = true;
  }

  step(count = 1): void {
    this.#stepsDone += count;
  }

  moved(keys: number, bytes: number): void {
    this.#keys += keys;
    this.#bytes += bytes;
  }

  end(): void {
    this.#running = false;
  }

  get keys(): number {
    return this.#keys;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Undefined while nothing is under way. */
  view(): TransferProgress | undefined {
    if (!this.#running) return undefined;
    const share = Math.min(1, this.#stepsDone / Math.max(1, this.#steps));
    const spentMs = this.#clock.now() - this.#startedMs;
    return {
      percent: Math.floor(100 * share),
      keys: this.#keys,
      bytes: this.#bytes,
      leftMs: share === 0 ? null : Math.round(spentMs / share - spentMs),
    };
  }
}
