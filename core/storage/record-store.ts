/**
 * What the core writes to and reads from instead of the raw port: group commit and a checksum on every record,
 * the same for every engine.
 * Invariant: a value comes back exactly as it was committed, or the read says `corrupt`; never a third thing. Whatever else
 * fails is a StoreError: reads `not-ready`, writes `storage-full` or `internal`, both `closed`.
 */
import { toHex } from "../bytes/hex.ts";
import type {
  Clock,
  HashThreads,
  KeyRange,
  Namespace,
  Page,
  PageRequest,
  Storage,
  StorageOperation,
} from "../ports.ts";
import { StorageError } from "../ports.ts";
import { StoreError } from "../errors.ts";
import { CommitQueue, type CommitLimits, type CommitOptions } from "./commit-queue.ts";
import { unsealRecord } from "./record.ts";
import { failedRead, failedWrite } from "./store-error.ts";

/** A row of a scan. A damaged record keeps its place, so that the scan goes on and the caller can repair it. */
export type RecordRow =
  | { readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly key: Uint8Array; readonly corrupt: true };

export interface RecordPage {
  readonly rows: readonly RecordRow[];
  /** Ask again with this as `gte` (or as `lt` when reverse); null at the end. */
  readonly next: Uint8Array | null;
  /** The engine could not read some rows of this stretch, not even their keys: the page lacks them. */
  readonly damaged?: boolean;
}

/**
 * 1 MiB or 256 operations a flush keep one flush in the order of a millisecond; 64 MiB is what a host may hold back. 25 ms
 * of patience are some flushes of a host with forty writes a second, and little beside the steps of background work.
 */
const defaultLimits: CommitLimits = {
  flushBytesMax: 1024 * 1024,
  flushOperationsMax: 256,
  waitingBytesMax: 64 * 1024 * 1024,
  patienceMs: 25,
  halvesFrom: Infinity,
};

/** `clock`: with it patient commits wait for the flushes of others. */
export interface RecordStoreOptions extends Partial<CommitLimits> {
  readonly clock?: Clock;
}

export class RecordStore {
  readonly #storage: Storage;
  readonly #queue: CommitQueue;

  constructor(storage: Storage, { clock, ...limits }: RecordStoreOptions = {}) {
    this.#storage = storage;
    this.#queue = new CommitQueue(storage, { ...defaultLimits, ...limits }, clock);
  }

  /** Bytes accepted by `commit` and not yet flushed; callers above the limit are not in it. */
  get waitingBytes(): number {
    return this.#queue.waitingBytes;
  }

  /**
   * Writes all operations or none; resolves when they are as durable as asked. The arrays must not change until then.
   * After a rejection the outcome is open: the batch may have reached the disk, whole, and come back after a restart.
   */
  commit(operations: readonly StorageOperation[], options?: CommitOptions): Promise<void> {
    return this.#queue.commit(operations, options);
  }

  /** Rejects as `corrupt`, naming the record, when what is stored is not what was written. */
  async get(ns: Namespace, key: Uint8Array): Promise<Uint8Array | undefined> {
    const value = await this.#read(ns, key);
    if (value === "corrupt") throw new StoreError("corrupt", `damaged record in ${ns}: key ${toHex(key)}`);
    return value;
  }

  /** Damaged records are told one by one, so that one does not hide the others. */
  async getMany(ns: Namespace, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined | "corrupt")[]> {
    try {
      const records = await this.#storage.getMany(ns, keys);
      return records.map((record, index) => this.#unseal(ns, keys[index]!, record));
    } catch (error: unknown) {
      if (!isCorrupt(error)) throw failedRead(error);
      // The engine itself stumbled over one of them: find out which.
      return Promise.all(keys.map((key) => this.#read(ns, key)));
    }
  }

  async page(ns: Namespace, request: PageRequest): Promise<RecordPage> {
    const page = await this.#storage.page(ns, request).catch(rethrow(failedRead));
    // Without values there is nothing to check.
    return request.keysOnly ? page : checkedPage(ns, page);
  }

  /** See `Storage.hashThreads`. */
  hashThreads(): Promise<HashThreads | undefined> | undefined {
    return this.#storage.hashThreads?.();
  }

  /** Deletes a range in restartable steps; not atomic, and not ordered with commits that are still waiting. */
  clear(ns: Namespace, range: KeyRange): Promise<void> {
    return this.#storage.clear(ns, range).catch(rethrow(failedWrite));
  }

  usage(): Promise<{ readonly bytes: number; readonly freeBytes?: number }> {
    return this.#storage.usage().catch(rethrow(failedRead));
  }

  /** Flushes what was accepted, then closes the storage. */
  async close(): Promise<void> {
    await this.#queue.close();
    await this.#storage.close();
  }

  async #read(ns: Namespace, key: Uint8Array): Promise<Uint8Array | undefined | "corrupt"> {
    try {
      return this.#unseal(ns, key, await this.#storage.get(ns, key));
    } catch (error: unknown) {
      if (!isCorrupt(error)) throw failedRead(error);
      return "corrupt";
    }
  }

  #unseal(ns: Namespace, key: Uint8Array, record: Uint8Array | undefined): Uint8Array | undefined | "corrupt" {
    if (record === undefined) return undefined;
    return unsealRecord(ns, key, record) ?? "corrupt";
  }
}

/** A page as the engine gave it, with its records checked. */
export function checkedPage(ns: Namespace, page: Page): RecordPage {
  const rows = page.rows.map(({ key, value: record }): RecordRow => {
    const value = unsealRecord(ns, key, record);
    return value === undefined ? { key, corrupt: true } : { key, value };
  });
  return { ...page, rows };
}

const rethrow =
  (as: (error: unknown) => unknown) =>
  (error: unknown): never => {
    throw as(error);
  };

function isCorrupt(error: unknown): error is StorageError {
  return error instanceof StorageError && error.kind === "corrupt";
}
