/**
 * How many keys are held, tombstones included. Counted once in the background after a start, then kept up to date.
 * Invariant: a key written during the count is counted once: by the count if its row is still ahead, else at once.
 */
import { compareBytes, equalBytes } from "../bytes/compare.ts";
import type { RecordStore } from "../storage/record-store.ts";

const rowsPerPage = 2_000;

export class KeyCount {
  readonly #records: RecordStore;
  #count = 0;
  /** Rows below are counted; null: all are. */
  #countedBelow: Uint8Array | null = new Uint8Array(0);
  /** Rows that became new while a page was being read: the page may have them or not. */
  #addedMeanwhile: Uint8Array[] = [];

  constructor(records: RecordStore) {
    this.#records = records;
  }

  get value(): number {
    return this.#count;
  }

  added(row: Uint8Array): void {
    if (this.#isCounted(row)) this.#count += 1;
    else this.#addedMeanwhile.push(row);
  }

  /** Pages small enough that requests in between do not wait. */
  async countAll(isStopped: () => boolean): Promise<void> {
    while (this.#countedBelow !== null && !isStopped()) {
      const gte: Uint8Array = this.#countedBelow;
      this.#addedMeanwhile = [];
      const page = await this.#records.page("objects", { gte, limit: rowsPerPage, keysOnly: true });
      this.#count += page.rows.length;
      this.#countedBelow = page.next;
      const missed = this.#addedMeanwhile.filter((row) => this.#isCounted(row));
      this.#count += missed.filter((row) => !page.rows.some(({ key }) => equalBytes(key, row))).length;
    }
    this.#addedMeanwhile = [];
  }

  #isCounted(row: Uint8Array): boolean {
    return this.#countedBelow === null || compareBytes(row, this.#countedBelow) < 0;
  }
}
