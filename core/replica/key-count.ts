/**
 * How many keys are held, tombstones included. Counted once in the background after a start, then kept up to date.
 * Invariant: a key that becomes new while the count runs is counted once, whatever the page under way has seen of it.
 */
import { compareBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import type { RecordStore } from "../storage/record-store.ts";

const rowsPerPage = 2_000;

/** A new key's batch: under way, or done while a page was being read. */
interface Newcomer {
  readonly row: Uint8Array;
  /** A page had it already. */
  isCounted: boolean;
  isDone: boolean;
}

export class KeyCount {
  readonly #records: RecordStore;
  #count = 0;
  /** Rows below are counted; null: all are. */
  #countedBelow: Uint8Array | null = new Uint8Array(0);
  #isReading = false;
  readonly #newcomers = new Map<string, Newcomer>();

  constructor(records: RecordStore) {
    this.#records = records;
  }

  get value(): number {
    return this.#count;
  }

  /** Call before the batch of a new key; and what it returns when the batch is durable, or has failed. */
  adding(row: Uint8Array): (isDurable: boolean) => void {
    if (this.#countedBelow === null) {
      return (isDurable) => {
        if (isDurable) this.#count += 1;
      };
    }
    const name = toHex(row);
    const newcomer: Newcomer = { row, isCounted: false, isDone: false };
    this.#newcomers.set(name, newcomer);
    return (isDurable) => {
      newcomer.isDone = true;
      // The page under way may have it or not: that is known when it is here.
      if (isDurable && this.#isReading) return;
      if (isDurable) this.#settle(newcomer);
      this.#newcomers.delete(name);
    };
  }

  /** A key that was thought not to be stored is. */
  found(): void {
    this.#count += 1;
  }

  /** Pages small enough that requests in between do not wait. */
  async countAll(isStopped: () => boolean): Promise<void> {
    while (this.#countedBelow !== null && !isStopped()) {
      const gte: Uint8Array = this.#countedBelow;
      this.#isReading = true;
      const page = await this.#records.page("objects", { gte, limit: rowsPerPage, keysOnly: true });
      this.#isReading = false;
      this.#count += page.rows.length;
      this.#countedBelow = page.next;
      if (this.#newcomers.size > 0) this.#settleAll(new Set(page.rows.map(({ key }) => toHex(key))));
    }
  }

  #settleAll(seen: ReadonlySet<string>): void {
    for (const [name, newcomer] of this.#newcomers) {
      if (seen.has(name)) newcomer.isCounted = true;
      if (!newcomer.isDone) continue;
      this.#settle(newcomer);
      this.#newcomers.delete(name);
    }
  }

  #settle({ row, isCounted }: Newcomer): void {
    const isPassed = this.#countedBelow === null || compareBytes(row, this.#countedBelow) < 0;
    if (isPassed && !isCounted) this.#count += 1;
  }
}
