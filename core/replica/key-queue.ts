/**
 * Work on one key happens one after the other; different keys do not wait for each other.
 * Invariant: a key without work costs no memory.
 */
import type { Key } from "../identity.ts";

export class KeyQueue {
  readonly #tails = new Map<Key, Promise<unknown>>();

  /** Runs `work` when all earlier work on `key` has ended, well or not. */
  run<T>(key: Key, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const done = before === undefined ? work() : before.then(work, work);
    this.#tails.set(key, done);
    const forget = (): void => {
      if (this.#tails.get(key) === done) this.#tails.delete(key);
    };
    done.then(forget, forget);
    return done;
  }
}
