/**
 * `Storage` in a browser: one IndexedDB database for each store.
 * Invariants: a write resolves only when its transaction is complete, that is on the disk, and the next is begun only
 * then; data that was deleted under a running node does not come back as an empty store; of several tabs that have the
 * store open only the one that opened it last writes.
 */
import { systemClock } from "../libp2p/system-ports.ts";
import type {
  Clock,
  Durability,
  KeyRange,
  Namespace,
  Page,
  PageRequest,
  Stop,
  Storage,
  StorageOperation,
} from "../ports.ts";
import { StorageError } from "../ports.ts";
import { DiskRoom, endRoomTries } from "./disk-room.ts";
import { databaseName, endTornLog, openDatabase } from "./indexeddb-database.ts";
import { claimEpoch, isLatestEpoch, keepSpares } from "./indexeddb-epoch.ts";
import { isDiskFull, isLost, isOutdated, storageError, type Doing } from "./indexeddb-errors.ts";
import { bytesOf, keyRange, PageReader } from "./indexeddb-page.ts";
import { answered, deleting, reading, type Writer, writing } from "./indexeddb-transaction.ts";

export interface IndexedDbStorageOptions {
  /** Of the store. Whoever opens it takes it from the tab that had it open. */
  readonly name: string;
  /** How to ask for the room of this origin, of which the store is a part; the browser unless a test says otherwise. */
  readonly estimate?: () => Promise<StorageEstimate>;
  readonly clock?: Clock;
}

/** With why; `isTaken`: because another tab has opened the store. */
type EndListener = (refusal: StorageError, isTaken: boolean) => void;
type Estimate = NonNullable<IndexedDbStorageOptions["estimate"]>;

const clearStepRows = 1_000;

/**
 * Opens (or creates) the database of one store.
 * @throws StorageError `full`, `version` (a newer format), `io`
 */
export async function openIndexedDbStorage(options: IndexedDbStorageOptions): Promise<IndexedDbStorage> {
  const { name, estimate = async () => navigator.storage.estimate(), clock = systemClock } = options;
  const storage = new IndexedDbStorage(databaseName(name), estimate, new DiskRoom(clock));
  await storage.open();
  return storage;
}

export class IndexedDbStorage implements Storage {
  readonly #name: string;
  readonly #estimate: Estimate;
  readonly #room: DiskRoom;
  readonly #pages = new PageReader();
  /** Undefined until it is open, and when the browser has ended it: then the next call opens another. */
  #database: IDBDatabase | undefined;
  #opening: Promise<IDBDatabase> | undefined;
  /** A full disk has ended the last connection: why there is none until it has room. */
  #full: StorageError | undefined;
  #epoch = 0;
  #lastWrite: Promise<void> = Promise.resolve();
  /** Why every call is refused from now on. */
  #refusal: StorageError | undefined;
  #isTaken = false;
  readonly #endListeners = new Set<EndListener>();

  constructor(databaseName: string, estimate: Estimate, room: DiskRoom) {
    this.#name = databaseName;
    this.#estimate = estimate;
    this.#room = room;
  }

  /** Once, before anything else; `openIndexedDbStorage` does it. */
  async open(): Promise<void> {
    void endRoomTries();
    const database = await this.#open(true);
    try {
      const { epoch, hadRoom } = await claimEpoch(database);
      this.#epoch = epoch;
      if (hadRoom) void this.#prepare(database);
    } catch (error: unknown) {
      this.#end(`${this.#name} could not be claimed`);
      throw storageError(error, "claim", this.#name);
    }
  }

  /** Which opening of the store this is: later ones are higher. */
  get epoch(): number {
    return this.#epoch;
  }

  /**
   * Resolves when the storage has answered, if only that its disk is full: another tab would open it without asking for room.
   * @throws StorageError, `closed` if another tab has opened the store since
   */
  async touch(): Promise<void> {
    try {
      await this.#run("read", async (database) => {
        if (!(await isLatestEpoch(database, this.#epoch))) throw this.#outdate();
        this.#refuseIfClosed();
      });
    } catch (error: unknown) {
      if (!(error instanceof StorageError && error.kind === "full")) throw error;
    }
  }

  /** Calls back once, at once, when every call is refused from then on: by `close`, or because another tab took the store. */
  onEnd(listener: EndListener): Stop {
    if (this.#refusal !== undefined) listener(this.#refusal, this.#isTaken);
    this.#endListeners.add(listener);
    return () => void this.#endListeners.delete(listener);
  }

  async get(ns: Namespace, key: Uint8Array): Promise<Uint8Array | undefined> {
    const [value] = await this.getMany(ns, [key]);
    return value;
  }

  getMany(ns: Namespace, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#run("read", async (database) => {
      const values = await reading(database, ns, (store) =>
        Promise.all(keys.map((key) => answered(store.get(key as BufferSource)))),
      );
      return values.map((value: unknown) => (value === undefined ? undefined : bytesOf(value)));
    });
  }

  page(ns: Namespace, request: PageRequest): Promise<Page> {
    return this.#run("read", (database) => this.#pages.read(database, ns, request));
  }

  /** Always as durable as `synced`. */
  batch(operations: readonly StorageOperation[], _durability: Durability): Promise<void> {
    return this.#inTurn(async (writer) => {
      if (operations.length > 0) await writing(writer, operations);
    });
  }

  async clear(ns: Namespace, range: KeyRange): Promise<void> {
    let from: Uint8Array | null | undefined = range.gte;
    while (from !== null) {
      const rest: KeyRange = from === undefined ? range : { ...range, gte: from };
      const { rows, next }: Page = await this.page(ns, { ...rest, limit: clearStepRows, keysOnly: true });
      const step = keyRange(next === null ? rest : { ...rest, lt: next });
      if (rows.length > 0 && step !== undefined) await this.#inTurn((writer) => deleting(writer, ns, step));
      from = next;
    }
  }

  /** Of the whole origin, and rounded by the browser. */
  async usage(): Promise<{ readonly bytes: number; readonly freeBytes?: number }> {
    this.#refuseIfClosed();
    // Some browsers reject with a TypeError where a setting forbids it.
    const { usage: bytes = 0, quota } = await this.#estimate().catch((error: unknown) => {
      throw new StorageError("io", `the browser does not tell the room of ${this.#name}`, { cause: error });
    });
    return quota === undefined ? { bytes } : { bytes, freeBytes: Math.max(0, quota - bytes) };
  }

  /**
   * Refuses at once what has no transaction yet, and waits for the writes under way. Called when the page is frozen it
   * leaves nothing that the page could write when it wakes. Closing twice is harmless.
   */
  async close(): Promise<void> {
    this.#end(`${this.#name} was closed`);
    await this.#lastWrite;
    await this.#opening?.catch(() => undefined);
  }

  /** One write at a time: the next must not be on the disk without the one before. */
  #inTurn(write: (writer: Writer) => Promise<void>): Promise<void> {
    const written = this.#lastWrite.then(() =>
      this.#run("write", (database) => write({ database, epoch: this.#epoch })),
    );
    const done = () => undefined;
    this.#lastWrite = written.then(done, done);
    return written;
  }

  /** Repeats it once on another connection when its own is lost: all that runs here may be repeated. */
  async #run<Result>(doing: Doing, work: (database: IDBDatabase) => Promise<Result>): Promise<Result> {
    try {
      const database = await this.#connection();
      try {
        return await work(database);
      } catch (error: unknown) {
        const isCutOff = isDiskFull(error);
        if (!isCutOff && !isLost(error)) throw error;
        // Nothing is to be written behind what was cut off, also where the browser goes on.
        this.#forget(database);
        if (isCutOff) throw error;
      }
      return await work(await this.#connection());
    } catch (error: unknown) {
      if (isOutdated(error)) throw this.#outdate();
      const problem = storageError(error, doing, this.#name);
      if (isDiskFull(error)) this.#full = problem;
      throw problem;
    }
  }

  async #connection(): Promise<IDBDatabase> {
    this.#refuseIfClosed();
    return this.#database ?? this.#open(false);
  }

  #open(create: boolean): Promise<IDBDatabase> {
    this.#opening ??= this.#connect(create).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #connect(create: boolean): Promise<IDBDatabase> {
    if (this.#full !== undefined && !(await this.#room.isThere())) {
      this.#refuseIfClosed();
      throw this.#full;
    }
    try {
      const database = await openDatabase(this.#name, create, {
        unwanted: () => this.#end(`another tab deletes ${this.#name} or brings a newer format`),
        lost: () => this.#forget(database),
      });
      this.#database = database;
      this.#full = undefined;
      if (!create) void this.#endTornLog();
    } catch (error: unknown) {
      const problem = storageError(error, "open", this.#name);
      if (problem.kind === "io" && this.#full !== undefined) throw this.#full;
      // Gone, or of another format by now: that does not change, so later calls are told the same.
      if (problem.kind === "closed" || problem.kind === "version") this.#refuse(problem);
      throw problem;
    }
    // Closed meanwhile: what has just been opened is closed too.
    if (this.#refusal !== undefined) this.#forget(this.#database);
    this.#refuseIfClosed();
    return this.#database;
  }

  /** Nobody waits for it. After the claim: it takes room, which that may need. */
  async #prepare(database: IDBDatabase): Promise<void> {
    await this.#endTornLog();
    // Who opens the store next tries again.
    await keepSpares(database).catch(() => undefined);
  }

  /** Where it fails, the next write may, and is told why. */
  async #endTornLog(): Promise<void> {
    try {
      await endTornLog();
    } catch (error: unknown) {
      if (isDiskFull(error)) this.#full = storageError(error, "write", this.#name);
    }
  }

  /** Closing a connection lets its transactions end. */
  #forget(database: IDBDatabase): void {
    database.close();
    if (this.#database === database) this.#database = undefined;
  }

  /** What is said of it from now on. */
  #outdate(): StorageError {
    this.#isTaken ||= this.#refusal === undefined;
    return this.#end(`another tab has opened ${this.#name}`);
  }

  #end(reason: string): StorageError {
    const refusal = this.#refuse(new StorageError("closed", reason));
    if (this.#database !== undefined) this.#forget(this.#database);
    return refusal;
  }

  /** The first one stays. */
  #refuse(refusal: StorageError): StorageError {
    if (this.#refusal !== undefined) return this.#refusal;
    this.#refusal = refusal;
    for (const listener of this.#endListeners) listener(refusal, this.#isTaken);
    this.#endListeners.clear();
    return refusal;
  }

  #refuseIfClosed(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
  }
}
