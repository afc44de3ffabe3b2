/**
 * Group commit: while one flush is under way its successors gather, and the next flush takes them together.
 * A flush costs about the same for one record as for a hundred, so this is what makes durable writes cheap under load.
 * Invariants: commits reach storage in the order of the calls; one caller's operations lie in one batch;
 * each caller is answered exactly once, after its own batch, or with a StoreError.
 */
import { StoreError } from "../errors.ts";
import type { Durability, Storage, StorageOperation } from "../ports.ts";
import { StorageError } from "../ports.ts";
import { sealBytes, sealRecord } from "./record.ts";
import { failedWrite } from "./store-error.ts";

export interface CommitLimits {
  /** Bytes of keys and values in one flush; a caller with more goes alone. */
  readonly flushBytesMax: number;
  /** Operations in one flush; a caller with more goes alone. */
  readonly flushOperationsMax: number;
  /** Bytes sealed and waiting or in flight; above it callers wait their turn unsealed, so that no copies pile up. */
  readonly waitingBytesMax: number;
}

interface Commit {
  operations: readonly StorageOperation[];
  readonly bytes: number;
  readonly durability: Durability;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class CommitQueue {
  readonly #storage: Storage;
  readonly #limits: CommitLimits;
  /** Sealed, in order of their calls. */
  #waiting: Commit[] = [];
  /** Behind `#waiting`, not sealed yet. */
  #parked: Commit[] = [];
  #waitingBytes = 0;
  #flushing: Promise<void> | undefined;
  #closed = false;

  constructor(storage: Storage, limits: CommitLimits) {
    this.#storage = storage;
    this.#limits = limits;
  }

  /** Bytes sealed and not yet flushed. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  commit(operations: readonly StorageOperation[], durability: Durability): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new StoreError("closed", "the store was closed before this write"));
        return;
      }
      this.#parked.push({ operations, bytes: bytesOf(operations), durability, resolve, reject });
      this.#admit();
      this.#flushing ??= this.#flush();
    });
  }

  /** Refuses further commits and resolves once all accepted ones are answered. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#flushing;
  }

  /** Seals here, not in the flush: the processor sums while the disk writes the batch before. */
  #admit(): void {
    let admitted = 0;
    for (const commit of this.#parked) {
      const fits = this.#waitingBytes === 0 || this.#waitingBytes + commit.bytes <= this.#limits.waitingBytesMax;
      if (!fits) break;
      commit.operations = commit.operations.map(sealed);
      this.#waitingBytes += commit.bytes;
      this.#waiting.push(commit);
      admitted += 1;
    }
    if (admitted > 0) this.#parked.splice(0, admitted);
  }

  async #flush(): Promise<void> {
    for (;;) {
      // One microtask: callers of one burst, and those whom the last flush has just answered, share the next.
      await Promise.resolve();
      const group = this.#takeGroup();
      if (group.length === 0) break;
      await this.#write(group);
      for (const commit of group) this.#waitingBytes -= commit.bytes;
      this.#admit();
    }
    this.#flushing = undefined;
  }

  async #write(group: readonly Commit[]): Promise<void> {
    // One batch has one durability: the strictest caller decides, the others only wait a little longer.
    const durability = group.some((commit) => commit.durability === "synced") ? "synced" : "buffered";
    try {
      await this.#storage.batch(operationsOf(group), durability);
      for (const commit of group) commit.resolve();
    } catch (error: unknown) {
      // A full disk still takes deletes: they must not fail for the puts that they share a flush with.
      const deletes = error instanceof StorageError && error.kind === "full" ? group.filter(onlyDeletes) : [];
      const again = deletes.length < group.length ? deletes : [];
      for (const commit of group) if (!again.includes(commit)) commit.reject(failedWrite(error));
      if (again.length > 0) await this.#write(again);
    }
  }

  #takeGroup(): Commit[] {
    const { flushBytesMax, flushOperationsMax } = this.#limits;
    let bytes = 0;
    let operations = 0;
    let taken = 0;
    for (const commit of this.#waiting) {
      bytes += commit.bytes;
      operations += commit.operations.length;
      if (taken > 0 && (bytes > flushBytesMax || operations > flushOperationsMax)) break;
      taken += 1;
    }
    return this.#waiting.splice(0, taken);
  }
}

function operationsOf(group: readonly Commit[]): readonly StorageOperation[] {
  return group.length === 1 ? group[0]!.operations : group.flatMap((commit) => commit.operations);
}

function onlyDeletes({ operations }: Commit): boolean {
  return operations.every(({ kind }) => kind === "delete");
}

function bytesOf(operations: readonly StorageOperation[]): number {
  let bytes = 0;
  for (const operation of operations) {
    bytes += operation.key.length;
    if (operation.kind === "put") bytes += operation.value.length + sealBytes;
  }
  return bytes;
}

function sealed(operation: StorageOperation): StorageOperation {
  if (operation.kind === "delete") return operation;
  const { kind, ns, key, value } = operation;
  return { kind, ns, key, value: sealRecord(ns, key, value) };
}
