/**
 * A disk that fails on command: refuses, lies, hangs, rots, or forgets what was not synced.
 * Invariant: without a fault set it is the storage inside; a refused batch leaves no trace unless told to.
 */
import { equalBytes } from "../../core/bytes/compare.ts";
import {
  type Durability,
  type KeyRange,
  type Namespace,
  type Page,
  type PageRequest,
  type Storage,
  StorageError,
  type StorageErrorKind,
  type StorageOperation,
} from "../../core/ports.ts";

export class FaultyStorage implements Storage {
  readonly #inner: Storage;
  /** Every batch is refused like this. */
  refusesWrites: StorageErrorKind | undefined;
  /** There is no room for rows of this kind; deletes go on. */
  fullFor: Namespace | "all" | undefined;
  /** A refused batch is on the disk all the same: what failed may come back. */
  writesWhatItRefuses = false;
  /** Every read is refused like this. */
  refusesReads: StorageErrorKind | undefined;
  /** A scan of objects fails where it comes upon this row. */
  unreadableRow: Uint8Array | undefined;
  /** Part of the disk is unreadable for good: scans of objects say so. */
  hasUnreadablePart = false;
  /** Flushes asked for since the start. */
  batches = 0;
  /** Rows of objects that were to be written or deleted since the start. */
  objectsWritten = 0;
  #heldReads: Gate | undefined;
  #heldWrites: Gate | undefined;
  /** Undoes what was written since the last synced batch, newest first. */
  readonly #unsynced: StorageOperation[][] = [];

  constructor(inner: Storage) {
    this.#inner = inner;
  }

  /** Reads and writes from now on wait for the returned function. */
  hold(what: "reads" | "writes"): () => void {
    const gate = new Gate();
    if (what === "reads") this.#heldReads = gate;
    else this.#heldWrites = gate;
    return () => {
      if (this.#heldReads === gate) this.#heldReads = undefined;
      if (this.#heldWrites === gate) this.#heldWrites = undefined;
      gate.open();
    };
  }

  /** One bit of a stored value is wrong from now on. */
  async rot(ns: Namespace, key: Uint8Array): Promise<void> {
    const value = (await this.#inner.get(ns, key))?.slice();
    if (value === undefined) throw new Error(`nothing to rot in ${ns}`);
    value[value.length >> 1]! ^= 4;
    await this.#inner.batch([{ kind: "put", ns, key, value }], "synced");
  }

  /** Bits of a record's key flip: `bits` of the byte at `index`, from the end where that is below 0. */
  async rotKey(ns: Namespace, key: Uint8Array, index: number, bits: number): Promise<void> {
    const value = (await this.#inner.get(ns, key))?.slice();
    if (value === undefined) throw new Error(`nothing to rot in ${ns}`);
    const rotten = key.slice();
    rotten[index < 0 ? key.length + index : index]! ^= bits;
    const put = { kind: "put", ns, key: rotten, value } as const;
    await this.#inner.batch([{ kind: "delete", ns, key }, put], "synced");
  }

  /** The engine cannot read these rows any more, nor tell which they were. */
  async loseRows(keys: readonly Uint8Array[]): Promise<void> {
    this.hasUnreadablePart = true;
    await this.#inner.batch(
      keys.map((key) => ({ kind: "delete", ns: "objects", key })),
      "synced",
    );
  }

  /** What was only buffered is gone. */
  async powerCut(): Promise<void> {
    for (const undo of this.#unsynced.splice(0).toReversed()) await this.#inner.batch(undo, "synced");
  }

  async get(ns: Namespace, key: Uint8Array): Promise<Uint8Array | undefined> {
    await this.#readable();
    return this.#inner.get(ns, key);
  }

  async getMany(ns: Namespace, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    await this.#readable();
    return this.#inner.getMany(ns, keys);
  }

  async batch(operations: readonly StorageOperation[], durability: Durability): Promise<void> {
    this.batches += 1;
    this.objectsWritten += operations.filter(({ ns }) => ns === "objects").length;
    await this.#heldWrites?.opened;
    const isFull = operations.some(({ kind, ns }) => kind === "put" && (this.fullFor === "all" || ns === this.fullFor));
    const refusal = isFull ? "full" : this.refusesWrites;
    if (refusal === undefined || this.writesWhatItRefuses) await this.#write(operations, durability);
    const nothingWritten = !this.writesWhatItRefuses;
    if (refusal !== undefined)
      throw new StorageError(refusal, `the disk refuses to write: ${refusal}`, { nothingWritten });
  }

  async page(ns: Namespace, request: PageRequest): Promise<Page> {
    await this.#readable();
    const page = await this.#inner.page(ns, request);
    const { unreadableRow } = this;
    if (ns === "objects" && unreadableRow && page.rows.some(({ key }) => equalBytes(key, unreadableRow)))
      throw new StorageError("io", "the disk cannot read a row");
    return this.hasUnreadablePart && ns === "objects" ? { ...page, damaged: true } : page;
  }

  clear(ns: Namespace, range: KeyRange): Promise<void> {
    return this.#inner.clear(ns, range);
  }

  usage(): Promise<{ readonly bytes: number; readonly freeBytes?: number }> {
    return this.#inner.usage();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #readable(): Promise<void> {
    await this.#heldReads?.opened;
    if (this.refusesReads !== undefined) throw new StorageError(this.refusesReads, "the disk refuses to read");
  }

  async #write(operations: readonly StorageOperation[], durability: Durability): Promise<void> {
    if (durability === "synced") this.#unsynced.length = 0;
    else this.#unsynced.push(await this.#undoOf(operations));
    await this.#inner.batch(operations, durability);
  }

  #undoOf(operations: readonly StorageOperation[]): Promise<StorageOperation[]> {
    return Promise.all(
      operations.map(async ({ ns, key }): Promise<StorageOperation> => {
        const value = await this.#inner.get(ns, key);
        return value === undefined ? { kind: "delete", ns, key } : { kind: "put", ns, key, value: value.slice() };
      }),
    );
  }
}

class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}
