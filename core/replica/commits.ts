/**
 * The last step of the one door: a batch goes to the disk, and what follows from it happens when it is durable.
 * Invariant: what follows happens after the batch is on the disk, or not at all.
 */
import { encodeUtf8 } from "lib0/string";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { PartitionIndex } from "../identity.ts";
import { isEssential, type StorageOperation } from "../ports.ts";
import type { CommitOptions } from "../storage/commit-queue.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { reasonOf } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

/** Operations that go together, and what to do when they are durable. */
export interface Batch {
  readonly operations: readonly StorageOperation[];
  readonly committed: () => void;
  /** The outcome is open: the batch may be on the disk, or come back after a restart. Refused: nothing of it was written. */
  readonly failed?: (refused: boolean) => void;
}

/** Nothing of the batch that failed so was written, and all is as it was. */
export function isRefused(error: unknown): boolean {
  return error instanceof StoreError && error.detail.nothingWritten === true;
}

export const nothingMore: Batch = { operations: [], committed: () => {} };

/** A row that nobody reads; a full disk would take it in `meta`. */
const probe: Batch = {
  ...nothingMore,
  operations: [{ kind: "put", ns: "merkle", key: encodeUtf8("probe"), value: new Uint8Array(0) }],
};

export function together(batches: readonly Batch[]): Batch {
  return {
    operations: batches.flatMap(({ operations }) => operations),
    committed: () => batches.forEach(({ committed }) => committed()),
    failed: (refused) => batches.forEach(({ failed }) => failed?.(refused)),
  };
}

export class Commits {
  readonly #records: RecordStore;
  readonly #telemetry: Telemetry;
  readonly #isBuffered: boolean;
  readonly #onDoubtOver: (partition: PartitionIndex) => void;
  readonly #doubtful = new Set<PartitionIndex>();
  #state: "ok" | "full" | "failed" = "ok";

  /** `onDoubtOver`: what failed in the partition shows by now, or never will. */
  constructor(
    { records, telemetry }: { readonly records: RecordStore; readonly telemetry: Telemetry },
    { durability }: Pick<NodeConfig, "durability">,
    onDoubtOver: (partition: PartitionIndex) => void,
  ) {
    this.#records = records;
    this.#telemetry = telemetry;
    this.#isBuffered = durability === "buffered";
    this.#onDoubtOver = onDoubtOver;
  }

  /** How the last write to the disk went. */
  get state(): "ok" | "full" | "failed" {
    return this.#state;
  }

  /** Where writes have failed since the last that succeeded: these may be on the disk, and not show yet. */
  get doubtful(): ReadonlySet<PartitionIndex> {
    return this.#doubtful;
  }

  /** @throws StoreError; then the batch may be on the disk or not, unless it was refused */
  async flush(
    { operations, committed, failed }: Batch,
    partition?: PartitionIndex,
    options?: CommitOptions,
  ): Promise<void> {
    try {
      await this.#records.commit(operations, options);
    } catch (error: unknown) {
      const isFull = error instanceof StoreError && error.code === "storage-full";
      this.#turn(isFull ? "full" : "failed", reasonOf(error));
      failed?.(isRefused(error));
      if (partition !== undefined && !isRefused(error)) this.#doubtful.add(partition);
      throw error;
    }
    // A full disk takes those, too.
    if (!operations.every(isEssential)) this.#turn("ok", "writes succeed again");
    committed();
    // The storage was opened anew in between, if need be.
    for (const each of this.#doubtful) this.#onDoubtOver(each);
    this.#doubtful.clear();
  }

  /**
   * All that was written is on the disk when it resolves: call it before others are told that they may forget what they have,
   * which may be the one copy that is (paper 6.1; seed 10002384). @throws StoreError
   */
  async settle(): Promise<void> {
    if (this.#isBuffered) await this.flush(probe, undefined, { isPatient: true });
  }

  /** Writes something, so that the state is that of now, and nothing stays in doubt. */
  async probe(): Promise<void> {
    try {
      await this.flush(probe);
    } catch (error: unknown) {
      // The state tells it; anything but a refusal of the disk is a bug.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  #turn(state: "ok" | "full" | "failed", reason: string): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#telemetry.event({ kind: "storage", state, reason });
  }
}
