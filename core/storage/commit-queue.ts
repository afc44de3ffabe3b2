/**
 * Group commit: while one flush is under way its successors gather, and the next flush takes them together.
 * A flush costs about the same for one record as for a hundred, so this is what makes durable writes cheap under load.
 * And a flush delays those after it, on all hosts of one disk: so what nobody waits for goes with the next flush of others.
 * Invariants: commits reach storage in the order of the calls; one caller's operations lie in one batch;
 * each caller is answered exactly once, after its own batch, or with a StoreError.
 */
import { StoreError } from "../errors.ts";
import type { Clock, Durability, Stop, Storage, StorageOperation } from "../ports.ts";
import { isEssential, StorageError } from "../ports.ts";
import { Halves } from "./halves.ts";
import { sealBytes, sealRecord } from "./record.ts";
import { failedWrite } from "./store-error.ts";

export interface CommitLimits {
  /** Bytes of keys and values in one flush; a caller with more goes alone. */
  readonly flushBytesMax: number;
  /** Operations in one flush; a caller with more goes alone. */
  readonly flushOperationsMax: number;
  /** Bytes sealed and waiting or in flight; above it callers wait their turn unsealed, so that no copies pile up. */
  readonly waitingBytesMax: number;
  /** A patient commit waits so long for the flush of another, ms; the queue needs a clock for it. */
  readonly patienceMs: number;
  /** So many commits at once may be flushed in halves: for writers that are one thread (`halves.ts`); needs a clock. `Infinity`: never. */
  readonly halvesFrom: number;
}

/** How a commit is to be written. */
export interface CommitOptions {
  /** Default: `synced`. */
  readonly durability?: Durability;
  /** Nobody waits for it: while others keep writing, it goes with their next flush instead of causing one. */
  readonly isPatient?: boolean;
}

/** Others keep writing where one of them did within so many times `patienceMs`. */
const companyTimes = 4;

interface Commit {
  operations: readonly StorageOperation[];
  readonly bytes: number;
  readonly durability: Durability;
  isPatient: boolean;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

export class CommitQueue {
  readonly #storage: Storage;
  readonly #limits: CommitLimits;
  readonly #clock: Clock | undefined;
  readonly #halves: Halves;
  /** Sealed, in order of their calls. */
  #waiting: Commit[] = [];
  /** Behind `#waiting`, not sealed yet. */
  #parked: Commit[] = [];
  #waitingBytes = 0;
  #flushing: Promise<void> | undefined;
  /** Of all that wait, those that are not patient, or whose patience has ended. */
  #urgent = 0;
  #lastUrgentMs = -Infinity;
  #stopWaiting: Stop | undefined;
  #closed = false;

  /** Without a clock no commit is patient, and none halved. */
  constructor(storage: Storage, limits: CommitLimits, clock?: Clock) {
    this.#storage = storage;
    this.#limits = limits;
    this.#clock = clock;
    this.#halves = new Halves(clock === undefined ? Infinity : limits.halvesFrom);
  }

  /** Bytes sealed and not yet flushed. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  commit(
    operations: readonly StorageOperation[],
    { durability = "synced", isPatient = false }: CommitOptions = {},
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(new StoreError("closed", "the store was closed before this write"));
        return;
      }
      const waits = isPatient && this.#hasCompany();
      this.#parked.push({ operations, bytes: bytesOf(operations), durability, isPatient: waits, resolve, reject });
      this.#admit();
      if (waits) this.#stopWaiting ??= this.#clock?.after(this.#limits.patienceMs, () => this.#hurry());
      else this.#urgent += 1;
      if (!isPatient && this.#clock !== undefined) this.#lastUrgentMs = this.#clock.now();
      if (this.#isDue()) this.#flushing ??= this.#flush();
    });
  }

  /** Refuses further commits and resolves once all accepted ones are answered. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#hurry();
    await this.#flushing;
  }

  #hasCompany(): boolean {
    const { patienceMs } = this.#limits;
    return this.#clock !== undefined && this.#clock.now() - this.#lastUrgentMs < companyTimes * patienceMs;
  }

  /** Whether there is a flush to be made now: somebody waits for one, or what waits fills one. */
  #isDue(): boolean {
    const { flushBytesMax, flushOperationsMax } = this.#limits;
    return this.#urgent > 0 || this.#waitingBytes >= flushBytesMax || this.#waiting.length >= flushOperationsMax;
  }

  /** The patience of all that wait has ended. */
  #hurry(): void {
    this.#stopWaiting?.();
    this.#stopWaiting = undefined;
    for (const commit of [...this.#waiting, ...this.#parked]) {
      if (commit.isPatient) this.#urgent += 1;
      commit.isPatient = false;
    }
    if (this.#isDue()) this.#flushing ??= this.#flush();
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
    const nowMs = (): number => this.#clock?.now() ?? 0;
    for (let isFirst = true; ; isFirst = false) {
      // One microtask: callers of one burst, and those whom the last flush has just answered, share the next.
      await Promise.resolve();
      const joinMs = isFirst ? undefined : this.#halves.takeJoin();
      if (joinMs !== undefined) await new Promise<void>((resolve) => this.#clock?.after(joinMs, resolve));
      const beganMs = nowMs();
      const group = this.#takeGroup(isFirst ? this.#halves.ofBurst(this.#waiting.length, beganMs) : Infinity);
      if (group.length === 0) break;
      await this.#write(group);
      this.#halves.flushed(beganMs, nowMs());
      for (const commit of group) this.#waitingBytes -= commit.bytes;
      this.#admit();
    }
    this.#flushing = undefined;
  }

  /** `isInDoubt`: a batch with all of these has failed, and may be on the disk. */
  async #write(group: readonly Commit[], isInDoubt = false): Promise<void> {
    // One batch has one durability: the strictest caller decides, the others only wait a little longer.
    const durability = group.some((commit) => commit.durability === "synced") ? "synced" : "buffered";
    try {
      await this.#storage.batch(operationsOf(group), durability);
      for (const commit of group) commit.resolve();
    } catch (error: unknown) {
      // What a full disk still takes must not fail for what it shares a flush with.
      const isFull = error instanceof StorageError && error.kind === "full";
      const taken = isFull ? group.filter(({ operations }) => operations.every(isEssential)) : [];
      const again = taken.length < group.length ? taken : [];
      for (const commit of group) if (!again.includes(commit)) commit.reject(failedWrite(error, isInDoubt));
      if (again.length > 0) await this.#write(again, isInDoubt || !(error as StorageError).nothingWritten);
    }
  }

  #takeGroup(commitsMax: number): Commit[] {
    if (!this.#isDue()) return [];
    const { flushBytesMax, flushOperationsMax } = this.#limits;
    let bytes = 0;
    let operations = 0;
    let taken = 0;
    for (const commit of this.#waiting) {
      bytes += commit.bytes;
      operations += commit.operations.length;
      if (taken > 0 && (bytes > flushBytesMax || operations > flushOperationsMax || taken === commitsMax)) break;
      taken += 1;
    }
    const group = this.#waiting.splice(0, taken);
    for (const { isPatient } of group) if (!isPatient) this.#urgent -= 1;
    return group;
  }
}

function operationsOf(group: readonly Commit[]): readonly StorageOperation[] {
  return group.length === 1 ? group[0]!.operations : group.flatMap((commit) => commit.operations);
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
