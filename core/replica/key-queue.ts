/**
 * Work on one key happens one after the other; different keys do not wait for each other.
 * Invariant: a key without work costs no memory.
 */
import type { Key, PartitionIndex } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";

export class KeyQueue {
  readonly #tails = new Map<Key, Promise<unknown>>();
  /** Work that waits or runs, by partition; those without any are not in it. */
  readonly #underWay = new Map<PartitionIndex, number>();

  /** Runs `work` when all earlier work on the key has ended, well or not. */
  run<T>({ key, partition }: LocatedKey, work: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    this.#count(partition, 1);
    const done = before === undefined ? work() : before.then(work, work);
    this.#tails.set(key, done);
    const forget = (): void => {
      if (this.#tails.get(key) === done) this.#tails.delete(key);
      this.#count(partition, -1);
    };
    done.then(forget, forget);
    return done;
  }

  isIdle(partition: PartitionIndex): boolean {
    return !this.#underWay.has(partition);
  }

  #count(partition: PartitionIndex, change: 1 | -1): void {
    const count = (this.#underWay.get(partition) ?? 0) + change;
    if (count === 0) this.#underWay.delete(partition);
    else this.#underWay.set(partition, count);
  }
}
