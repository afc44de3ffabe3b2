/**
 * So many bytes a second and no more, over a second's worth of time: transfers, hints and anti-entropy, each with a cap of its
 * own, must not take a network or a disk whole (PROTOCOL 13). Reaping moves digests alone.
 * Invariant: a turn always comes, for a payment waits at most as long as what was paid before it takes.
 */
import type { Clock } from "../ports.ts";
import type { Tasks } from "../tasks.ts";

/** Saved up while nothing was sent. */
const burstMs = 250;

export class RateCap {
  readonly #clock: Clock;
  readonly #tasks: Tasks;
  readonly #bytesPerSecondMax: number;
  /** When all that was paid for so far will have been sent at the rate. */
  #paidUntilMs = -Infinity;

  constructor({ clock, tasks }: { readonly clock: Clock; readonly tasks: Tasks }, bytesPerSecondMax: number) {
    this.#clock = clock;
    this.#tasks = tasks;
    this.#bytesPerSecondMax = bytesPerSecondMax;
  }

  /** Call with what was just moved; resolves when more may be. */
  async pay(bytes: number): Promise<void> {
    const now = this.#clock.now();
    this.#paidUntilMs = Math.max(this.#paidUntilMs, now - burstMs) + (1_000 * bytes) / this.#bytesPerSecondMax;
    if (this.#paidUntilMs > now) await this.#tasks.sleep(this.#paidUntilMs - now);
  }
}
