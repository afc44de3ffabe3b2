/**
 * Ending work early. `AbortController` is a platform's, so the core has the little of it that it needs.
 */
import { StoreError } from "../errors.ts";
import type { CancelSignal, Clock, Stop } from "../ports.ts";
import type { WaitOptions } from "../store-node.ts";

/** A signal and its trigger in one; also triggered by those that it follows. */
export class Cancellation implements CancelSignal {
  readonly #listeners = new Set<() => void>();
  readonly #unfollow: Stop[] = [];
  #aborted = false;

  constructor(...followed: readonly (CancelSignal | undefined)[]) {
    for (const signal of followed) if (signal !== undefined) this.#follow(signal);
  }

  get aborted(): boolean {
    return this.#aborted;
  }

  abort(): void {
    if (this.#aborted) return;
    this.#aborted = true;
    this.release();
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** No longer follows others: a signal that lives as long as the application must not keep what is over. */
  release(): void {
    for (const unfollow of this.#unfollow.splice(0)) unfollow();
  }

  addEventListener(_type: "abort", listener: () => void): void {
    if (!this.#aborted) this.#listeners.add(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    this.#listeners.delete(listener);
  }

  #follow(signal: CancelSignal): void {
    if (signal.aborted) return this.abort();
    const abort = (): void => this.abort();
    signal.addEventListener("abort", abort, { once: true });
    this.#unfollow.push(() => signal.removeEventListener("abort", abort));
  }
}

/** True after `ms`; false as soon as the signal aborts. */
export function sleep(clock: Clock, ms: number, signal: CancelSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const end = (slept: boolean): void => {
      stopTimer();
      signal.removeEventListener("abort", abort);
      resolve(slept);
    };
    const abort = (): void => end(false);
    const stopTimer = clock.after(ms, () => end(true));
    signal.addEventListener("abort", abort, { once: true });
  });
}

/** What a call rejects with whose own signal ended it. */
export function abortedError(what: string): StoreError {
  return new StoreError("aborted", `${what} was aborted by its signal`);
}

/** Resolves when the work has ended. @throws StoreError `aborted`; `quorum-not-met`: not within `timeoutMs` */
export async function within(
  clock: Clock,
  work: Promise<void>,
  { signal, timeoutMs }: WaitOptions,
  what: string,
): Promise<void> {
  const stops: Stop[] = [];
  const over = new Promise<never>((_resolve, reject) => {
    const abort = (): void => reject(abortedError(what));
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort, { once: true });
    stops.push(() => signal?.removeEventListener("abort", abort));
    if (timeoutMs === undefined) return;
    const text = `${what} took longer than ${timeoutMs} ms`;
    stops.push(clock.after(timeoutMs, () => reject(new StoreError("quorum-not-met", text))));
  });
  try {
    await Promise.race([over, work]);
  } finally {
    for (const stop of stops) stop();
  }
}
