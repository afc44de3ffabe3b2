/**
 * `Storage` in files: one LevelDB through classic-level.
 * Invariants: a write resolves only after LevelDB's log holds it (fsync'd if `synced`); after a failed write nothing
 * more is written to that instance, because its log may end in half a record, which would hide all records behind it;
 * reads go on meanwhile.
 */
import { statfs } from "node:fs/promises";
import type {
  Durability,
  HashThreads,
  KeyRange,
  Namespace,
  Page,
  PageRequest,
  Storage,
  StorageOperation,
} from "../core/ports.ts";
import { isEssential, StorageError } from "../core/ports.ts";
import { bytesIn } from "./byte-limit.ts";
import {
  closeDatabase,
  droppedLogBytes,
  headroomFor,
  openAside,
  openDatabase,
  openDirectory,
} from "./classic-directory.ts";
import { kindOf, storageError } from "./classic-errors.ts";
import type { Database } from "./classic-format.ts";
import { prefixed } from "./classic-format.ts";
import { syncLogs } from "./classic-logs.ts";
import { readPage } from "./classic-page.ts";
import { damagedTables } from "./classic-tables.ts";
import type { AskDisk } from "./free-space.ts";
import { FreeSpace } from "./free-space.ts";
import { GatheredReads } from "./gathered-reads.ts";
import { type ClassicHashThreads, startHashThreads } from "./hash-threads.ts";
import { type HeldDirectory, holdDirectory } from "./held-directory.ts";
import { SpareLinks } from "./spare-links.ts";

export interface ClassicStorageOptions {
  /** Used by LevelDB alone, and renamed when it is damaged: so neither a mount point nor a home for other files. */
  readonly directory: string;
  /** Puts are refused as `full` when the disk has less than this free. Default 64 MiB; 16 MiB on disks below 1 GiB. */
  readonly headroomBytes?: number;
  /** It was set aside before: damaged or not, it is opened where it is, and never made. */
  readonly isAside?: boolean;
  /** How to ask for free space, where it is not the whole disk's (`byte-limit.ts`). */
  readonly askDisk?: AskDisk;
}

const clearStepRows = 1_000;
/** Less is hashed at once, and its host need not find the memory for threads. */
const threadsFromBytes = 64 * 1024 * 1024;

/** There nobody else can open what LevelDB writes. */
const locksLogs = process.platform === "win32";

/** What opening found. */
interface Opening {
  readonly setAsideAs?: string;
  readonly droppedLogBytes: number;
  readonly held: HeldDirectory;
  readonly links: SpareLinks;
}

/**
 * Opens (or creates) the store of one directory. A damaged directory is set aside and an empty store is opened:
 * see `setAsideAs`.
 * @throws StorageError `locked`, `full`, `version`, `io`, or `corrupt` when the damaged directory cannot be renamed
 */
export async function openClassicStorage(options: ClassicStorageOptions): Promise<ClassicStorage> {
  let held: HeldDirectory | undefined;
  try {
    held = await holdDirectory(options.directory);
    return await openHeld(held, options);
  } catch (error: unknown) {
    held?.release();
    throw storageError(error, "open", options.directory);
  }
}

async function openHeld(held: HeldDirectory, options: ClassicStorageOptions): Promise<ClassicStorage> {
  const { askDisk = statfs } = options;
  const directory = held.path;
  const headroomBytes = options.headroomBytes ?? (await defaultHeadroom(directory, askDisk));
  const open = options.isAside === true ? openAside : openDirectory;
  const { database, ...found } = await open(directory, { headroomBytes, isShared: held.isOfOneThread });
  try {
    const links = new SpareLinks(directory);
    const opening = { ...found, held, links, droppedLogBytes: await droppedLogBytes(directory) };
    await links.open();
    return new ClassicStorage(database, new FreeSpace(directory, headroomBytes, askDisk), opening);
  } catch (error: unknown) {
    await closeDatabase(database);
    throw error;
  }
}

async function defaultHeadroom(directory: string, askDisk: AskDisk): Promise<number> {
  const { blocks, bsize } = await askDisk(directory);
  return headroomFor(blocks * bsize);
}

export class ClassicStorage implements Storage {
  /** Absolute and free of links. */
  readonly directory: string;
  /** Where a damaged former directory was moved, when this store therefore began empty. */
  readonly setAsideAs: string | undefined;
  /** Above 0: LevelDB skipped this much of its log as damaged when it opened; acknowledged writes may be missing. */
  readonly droppedLogBytes: number;
  readonly #held: HeldDirectory;
  readonly #space: FreeSpace;
  readonly #links: SpareLinks;
  readonly #reads = new GatheredReads((keys) => this.#reading((database) => database.getMany(keys)));
  #database: Database;
  /** The first failed write of this instance; set until it is reopened. */
  #poison: StorageError | undefined;
  #reopening: Promise<void> | undefined;
  /** LevelDB cannot compact a table with a damaged block, and fails writes for it again and again. */
  #damaged = false;
  /** Batches were written since the logs were last synced. */
  #isUnsynced = false;
  #lastWrite: Promise<void> = Promise.resolve();
  /** The last ones. They have the instance open too, so they end before it is closed. */
  #threads: ClassicHashThreads | undefined;
  #closed = false;

  constructor(database: Database, space: FreeSpace, opening: Opening) {
    this.#database = database;
    this.#held = opening.held;
    this.#space = space;
    this.#links = opening.links;
    this.directory = database.location;
    this.setAsideAs = opening.setAsideAs;
    this.droppedLogBytes = opening.droppedLogBytes;
  }

  get(ns: Namespace, key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#reads.get(prefixed(ns, key));
  }

  getMany(ns: Namespace, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const prefixedKeys = keys.map((key) => prefixed(ns, key));
    if (keys.length === 1) return Promise.all(prefixedKeys.map((key) => this.#reads.get(key)));
    return this.#reading((database) => database.getMany(prefixedKeys));
  }

  page(ns: Namespace, request: PageRequest): Promise<Page> {
    return this.#reading((database) => readPage(database, ns, request));
  }

  /** One write at a time: the next must not reach an instance that the one before has poisoned. */
  batch(operations: readonly StorageOperation[], durability: Durability): Promise<void> {
    const write = this.#lastWrite.then(() => this.#write(operations, durability));
    const done = () => undefined;
    this.#lastWrite = write.then(done, done);
    return write;
  }

  async clear(ns: Namespace, range: KeyRange): Promise<void> {
    let from: Uint8Array | null | undefined = range.gte;
    while (from !== null) {
      const request = { ...range, limit: clearStepRows, keysOnly: true };
      const page: Page = await this.page(ns, from === undefined ? request : { ...request, gte: from });
      await this.batch(
        page.rows.map(({ key }) => ({ kind: "delete", ns, key })),
        "synced",
      );
      from = page.next;
    }
  }

  async usage(): Promise<{ readonly bytes: number; readonly freeBytes: number }> {
    this.#refuseIfClosed();
    return { bytes: await bytesIn(this.directory), freeBytes: await this.#space.look() };
  }

  async hashThreads(): Promise<HashThreads | undefined> {
    const isMuch = await bytesIn(this.directory).then(
      (bytes) => bytes >= threadsFromBytes,
      () => false,
    );
    const isAtRest = !this.#closed && this.#reopening === undefined && this.#database.status === "open";
    const isFree = this.#threads === undefined || this.#threads.haveEnded;
    if (!isMuch || !isAtRest || !isFree || !this.#held.isOfOneThread) return undefined;
    this.#threads = startHashThreads(this.#database.location);
    return this.#threads;
  }

  /** Reads every table file and names those whose checksums are wrong; LevelDB does not look at them. */
  async damagedTables(): Promise<readonly string[]> {
    this.#refuseIfClosed();
    return damagedTables(this.directory);
  }

  /** Waits for the writes under way. Closing twice is harmless. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#lastWrite;
    await this.#links.close();
    const reopened = () => this.#closeDatabase();
    await (this.#reopening?.then(reopened, reopened) ?? reopened()).finally(() => this.#held.release());
  }

  async #reading<Result>(read: (database: Database) => Promise<Result>): Promise<Result> {
    this.#refuseIfClosed();
    try {
      return await read(this.#reopening === undefined ? this.#database : await this.#openDatabase());
    } catch (error: unknown) {
      if (kindOf(error) !== "closed" || this.#closed) throw storageError(error, "read", this.directory);
    }
    try {
      // The instance was exchanged under this read: once more, on the new one.
      return await read(await this.#openDatabase());
    } catch (error: unknown) {
      throw storageError(error, "read", this.directory);
    }
  }

  async #write(operations: readonly StorageOperation[], durability: Durability): Promise<void> {
    this.#refuseIfClosed();
    if (operations.length === 0) return;
    await this.#space.admit(...costOf(operations));
    if (this.#poison !== undefined) await this.#reopen();
    try {
      // A chained batch: the array form clones every operation twice (7.5 against 2.7 us of processor a put).
      const batch = this.#database.batch();
      for (const operation of operations) {
        const key = prefixed(operation.ns, operation.key);
        if (operation.kind === "put") batch.put(key, operation.value);
        else batch.del(key);
      }
      // LevelDB would sync only the log in which this batch is (`classic-logs.ts`).
      const syncsAll = durability === "synced" && this.#isUnsynced && !locksLogs;
      await batch.write({ sync: durability === "synced" && !syncsAll });
      if (syncsAll) await syncLogs(this.directory);
      this.#isUnsynced = durability === "buffered";
    } catch (error: unknown) {
      this.#space.doubt();
      this.#poison = this.#writeError(error);
      throw this.#poison;
    }
  }

  #writeError(error: unknown): StorageError {
    const poison = storageError(error, "write", this.directory);
    if (poison.kind !== "corrupt") return poison;
    this.#damaged = true;
    const advice = "a restart looks for damaged tables, and sets the directory aside if there are any";
    return new StorageError("corrupt", `${poison.message}; ${advice}`, { cause: error });
  }

  async #closeDatabase(): Promise<void> {
    await this.#threads?.end();
    await closeDatabase(this.#database, { damaged: this.#damaged });
  }

  /** The instance that reads may use; one that could not be reopened is tried again. */
  async #openDatabase(): Promise<Database> {
    await this.#reopening;
    if (this.#database.status !== "open") await this.#reopen();
    return this.#database;
  }

  /** Exchanges the instance for a fresh one; readers wait for it. */
  #reopen(): Promise<void> {
    this.#reopening ??= this.#exchange().finally(() => {
      this.#reopening = undefined;
    });
    return this.#reopening;
  }

  async #exchange(): Promise<void> {
    try {
      await this.#closeDatabase();
      this.#refuseIfClosed();
      const needs = { headroomBytes: this.#space.headroomBytes, isShared: this.#held.isOfOneThread };
      this.#database = await openDatabase(this.directory, needs, { createIfMissing: false });
    } catch (error: unknown) {
      throw storageError(error, "reopen", this.directory);
    }
    this.#poison = undefined;
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new StorageError("closed", `${this.directory} was closed`);
  }
}

/** What a batch may add to the disk, and whether it may go into the headroom. */
function costOf(operations: readonly StorageOperation[]): [bytes: number, essential: boolean] {
  let bytes = 0;
  let essential = true;
  for (const operation of operations) {
    bytes += operation.key.length + (operation.kind === "put" ? operation.value.length : 0);
    essential &&= isEssential(operation);
  }
  return [bytes, essential];
}
