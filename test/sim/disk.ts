/**
 * A disk that outlives its processes, and its faults. What is written survives the end of the process; only what is synced
 * survives a power cut, with as much of the unsynced rest, in order, as chance leaves.
 * Invariant: a batch is on the disk whole or not at all, and after those that were called before it.
 */
import { equalBytes } from "../../core/bytes/compare.ts";
import {
  type Durability,
  isEssential,
  type KeyRange,
  type Namespace,
  type Page,
  type PageRequest,
  type Storage,
  StorageError,
  type StorageOperation,
} from "../../core/ports.ts";
import type { Chance } from "./chance.ts";
import { copyOf } from "./copy.ts";
import { DiskImage } from "./disk-image.ts";
import type { Process } from "./process.ts";

/** What a disk does to its user now; changed by faults. */
export interface DiskMood {
  /** `headroom`: it takes only what is essential. `engine`: nothing, and what it rejects may have reached the disk. */
  full: false | "headroom" | "engine";
  /** Share of batches that reject although they may have reached the disk. */
  writeErrors: number;
  /** Share of reads that reject. */
  readErrors: number;
  /** Everything takes this many times as long. */
  slowness: number;
}

/** Typical times of a solid-state disk, ms. */
const readMs = [0.02, 0.3] as const;
const writeMs = [0.02, 0.2] as const;
const syncMs = [0.2, 2] as const;

export interface DiskListener {
  /** These rows are in the engine now; `synced` may follow. over `before`. `revived`: their batch was rejected. */
  written(operations: readonly StorageOperation[], revived: boolean, before: readonly (Uint8Array | undefined)[]): void;
  /** A batch with this was rejected. Call what it gives just before the row is there all the same, at the next opening. */
  doubted(operation: StorageOperation, before: Uint8Array | undefined): () => void;
  /** Takes a range of rows off the disk; it does once `clear` is called. */
  clearing(clear: () => void): void;
}

export class SimDisk {
  readonly mood: DiskMood = { full: false, writeErrors: 0, readErrors: 0, slowness: 1 };
  readonly #chance: Chance;
  readonly #listener: DiskListener;
  /** As a process sees it. */
  view = new DiskImage();
  /** As a power cut leaves it at worst. */
  synced = new DiskImage();
  #opened: object | undefined;
  #unsynced: (readonly StorageOperation[])[] = [];
  /** Rejected, yet in the engine's log: they come back when it is opened again, unless something newer lies on top. */
  #limbo: {
    readonly operation: StorageOperation;
    readonly over: Uint8Array | undefined;
    readonly comesBack: () => void;
  }[] = [];
  batches = 0;
  /** A record was damaged since the last wipe. */
  damaged = false;
  /** Called before the next batch is written, after it is written, or after it is synced: for crashes at these points. */
  onNextBatch: ((point: "before" | "written" | "synced") => void) | undefined;

  constructor(chance: Chance, listener: DiskListener) {
    this.#chance = chance;
    this.#listener = listener;
  }

  /** The port of one process; a second one of it replaces the first. */
  open(process: Process): Storage {
    this.#replay();
    const opened = {};
    this.#opened = opened;
    let closed = false;
    const whenOpen = <T>(work: () => Promise<T>): Promise<T> =>
      closed || this.#opened !== opened ? Promise.reject(new StorageError("closed", "simulated: closed")) : work();
    const later = <T>([min, max]: readonly [number, number], label: string, work: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        const ms = this.#chance.between(min, max) * this.mood.slowness;
        process.after(ms, label, () => {
          try {
            if (this.#opened !== opened) throw new StorageError("closed", "simulated: opened anew");
            resolve(work());
          } catch (error: unknown) {
            reject(error);
          }
        });
      });
    const read = <T>(work: () => T): Promise<T> =>
      later(readMs, "disk read", () => {
        if (this.#chance.is(this.mood.readErrors)) throw new StorageError("io", "simulated read error");
        return work();
      });
    let last: Promise<unknown> = Promise.resolve();
    const inOrder = <T>(work: () => Promise<T>): Promise<T> => {
      const done = last.then(work, work);
      last = done;
      return done;
    };
    return {
      get: (ns, key) => whenOpen(() => read(() => this.#copyOf(ns, key))),
      getMany: (ns, keys) => whenOpen(() => read(() => keys.map((key) => this.#copyOf(ns, key)))),
      page: (ns: Namespace, request: PageRequest): Promise<Page> =>
        whenOpen(() => read(() => this.view.page(ns, request))),
      batch: (operations, durability) => {
        const copied = operations.map(copyOfOperation);
        return whenOpen(() => inOrder(() => this.#batch(copied, durability, later)));
      },
      clear: (ns: Namespace, range: KeyRange) =>
        whenOpen(() =>
          inOrder(() =>
            later(writeMs, "disk clear", () => {
              this.#sync();
              this.#listener.clearing(() => {
                this.view.clear(ns, range);
                this.synced.clear(ns, range);
              });
            }),
          ),
        ),
      usage: () => whenOpen(() => read(() => ({ bytes: this.view.bytes }))),
      close: () => {
        closed = true;
        return inOrder(async () => {});
      },
    };
  }

  #copyOf(ns: Namespace, key: Uint8Array): Uint8Array | undefined {
    const record = this.view.get(ns, key);
    return record && copyOf(record);
  }

  async #batch(
    operations: readonly StorageOperation[],
    durability: Durability,
    later: <T>(times: readonly [number, number], label: string, work: () => T) => Promise<T>,
  ): Promise<void> {
    this.#reached("before");
    await later(writeMs, "disk write", () => {
      if (this.mood.full === "headroom" && !operations.every(isEssential))
        throw new StorageError("full", "simulated: no space left but the headroom", { nothingWritten: true });
      const isFull = this.mood.full === "engine";
      if (!isFull && !this.#chance.is(this.mood.writeErrors)) return this.#write(operations);
      if (this.#chance.is(0.5)) {
        for (const operation of operations) {
          const over = this.view.get(operation.ns, operation.key);
          this.#limbo.push({ operation, over, comesBack: this.#listener.doubted(operation, over) });
        }
      }
      throw isFull
        ? new StorageError("full", "simulated: no space left")
        : new StorageError("io", "simulated write error");
    });
    this.#reached("written");
    if (durability === "buffered") return;
    await later(syncMs, "disk sync", () => this.#sync());
    this.#reached("synced");
  }

  #write(operations: readonly StorageOperation[], revived = false): void {
    this.batches += 1;
    const before = operations.map(({ ns, key }) => this.view.get(ns, key));
    this.view.apply(operations);
    this.#unsynced.push(operations);
    // In a log what was written later is replayed later, deletions too.
    this.#limbo = this.#limbo.filter(({ operation }) => !operations.some((later) => isSameRow(operation, later)));
    this.#listener.written(operations, revived, before);
  }

  #sync(): void {
    for (const operations of this.#unsynced) this.synced.apply(operations);
    this.#unsynced = [];
  }

  #replay(): void {
    for (const { operation, over, comesBack } of this.#limbo.splice(0)) {
      if (this.view.get(operation.ns, operation.key) !== over) continue;
      comesBack();
      this.#write([operation], true);
    }
    this.#sync();
  }

  #reached(point: "before" | "written" | "synced"): void {
    this.onNextBatch?.(point);
  }

  // -- Faults -------------------------------------------------------------------------------------------------------

  /** Call with no process running: what was not synced may be gone, the newest first. */
  powerCut(): void {
    const kept = this.#chance.whole(0, this.#unsynced.length);
    for (const operations of this.#unsynced.slice(0, kept)) this.synced.apply(operations);
    this.#unsynced = [];
    this.#limbo = [];
    this.view = this.synced.copy();
  }

  wipe(): void {
    this.restore(new DiskImage());
  }

  restore(image: DiskImage): void {
    this.#unsynced = [];
    this.#limbo = [];
    this.damaged = false;
    this.view = image.copy();
    this.synced = image.copy();
  }

  /** One record is gone, as if it had never been written. */
  lose(ns: Namespace): void {
    const rows = [...this.view.rows(ns)];
    if (rows.length === 0) return;
    const { key } = this.#chance.pick(rows);
    this.#unsynced.push([{ kind: "delete", ns, key }]);
    this.view.apply(this.#unsynced.at(-1)!);
    this.#sync();
  }

  /** Flips one bit of a record. Returns its key, which stays readable; undefined when there is no record. */
  damage(
    ns: Namespace,
    at = (record: Uint8Array): number => this.#chance.whole(0, record.length - 1),
  ): Uint8Array | undefined {
    const rows = [...this.view.rows(ns)];
    if (rows.length === 0) return undefined;
    this.damaged = true;
    const { key, value } = this.#chance.pick(rows);
    const damaged = value.slice();
    damaged[at(damaged)]! ^= 1 << this.#chance.whole(0, 7);
    this.#unsynced.push([{ kind: "put", ns, key, value: damaged }]);
    this.view.apply(this.#unsynced.at(-1)!);
    this.#sync();
    return key;
  }
}

function isSameRow(a: StorageOperation, b: StorageOperation): boolean {
  return a.ns === b.ns && equalBytes(a.key, b.key);
}

function copyOfOperation(operation: StorageOperation): StorageOperation {
  const key = copyOf(operation.key);
  return operation.kind === "put" ? { ...operation, key, value: copyOf(operation.value) } : { ...operation, key };
}
