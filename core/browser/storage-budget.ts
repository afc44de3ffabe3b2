/**
 * A limit on what the store of a page writes, in the application's hand: for demonstrations, and to test what an application
 * does when the browser has no more room for it.
 *
 * Invariant: what exceeds it is refused before any of it is written, as a full disk refuses it; deletes, which make room, go on.
 */
import { type Storage, StorageError } from "../ports.ts";

/**
 * @example
 * const storageBudget = new StorageBudget();
 * const store = await openStore({ name: "shop", seeds, storageBudget });
 * storageBudget.limit(0); // from now on writes reject with `storage-full`
 */
export class StorageBudget {
  #leftBytes = Number.POSITIVE_INFINITY;

  /** Of keys and values, what may be written yet; what is overwritten or deleted gives none back. */
  get leftBytes(): number {
    return this.#leftBytes;
  }

  limit(bytes: number): void {
    this.#leftBytes = bytes;
  }

  /** The browser's own limit is the only one again. */
  lift(): void {
    this.limit(Number.POSITIVE_INFINITY);
  }

  /** @throws StorageError `full`: nothing is taken then */
  take(bytes: number): void {
    if (bytes > this.#leftBytes) {
      const text = `cannot write ${bytes} bytes: ${this.#leftBytes} are left of what this page may store`;
      throw new StorageError("full", text);
    }
    this.#leftBytes -= bytes;
  }

  /** The same storage within this budget. A method, so that only applications that make a budget load it. */
  around(storage: Storage): Storage {
    return {
      get: (ns, key) => storage.get(ns, key),
      getMany: (ns, keys) => storage.getMany(ns, keys),
      batch: async (operations, durability) => {
        const puts = operations.filter((operation) => operation.kind === "put");
        if (puts.length > 0) this.take(puts.reduce((sum, { key, value }) => sum + key.length + value.length, 0));
        await storage.batch(operations, durability);
      },
      page: (ns, request) => storage.page(ns, request),
      clear: (ns, range) => storage.clear(ns, range),
      usage: async () => {
        const usage = await storage.usage();
        const freeBytes = Math.min(usage.freeBytes ?? Number.POSITIVE_INFINITY, this.leftBytes);
        return Number.isFinite(freeBytes) ? { bytes: usage.bytes, freeBytes } : { bytes: usage.bytes };
      },
      close: () => storage.close(),
    };
  }
}
