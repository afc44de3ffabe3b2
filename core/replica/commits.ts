/**
 * The last step of the one door: a batch goes to the disk, and what follows from it happens when it is durable.
 * Invariant: what follows happens after the batch is on the disk, or not at all.
 */
import { encodeUtf8 } from "lib0/string";
import { StoreError } from "../errors.ts";
import type { StorageOperation } from "../ports.ts";
import type { CommitOptions } from "../storage/commit-queue.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { reasonOf } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

/** Operations that go together, and what to do when they are durable. */
export interface Batch {
  readonly operations: readonly StorageOperation[];
  readonly committed: () => void;
  /** The outcome is open: the batch may be on the disk, or come back after a restart. */
  readonly failed?: () => void;
}

export const nothingMore: Batch = { operations: [], committed: () => {} };

/** A row that nobody reads. */
const probe: Batch = {
  ...nothingMore,
  operations: [{ kind: "put", ns: "meta", key: encodeUtf8("probe"), value: new Uint8Array(0) }],
};

export function together(batches: readonly Batch[]): Batch {
  return {
    operations: batches.flatMap(({ operations }) => operations),
    committed: () => batches.forEach(({ committed }) => committed()),
    failed: () => batches.forEach(({ failed }) => failed?.()),
  };
}

export class Commits {
  readonly #records: RecordStore;
  readonly #telemetry: Telemetry;
  #state: "ok" | "full" | "failed" = "ok";

  constructor({ records, telemetry }: { readonly records: RecordStore; readonly telemetry: Telemetry }) {
    this.#records = records;
    this.#telemetry = telemetry;
  }

  /** How the last write to the disk went. */
  get state(): "ok" | "full" | "failed" {
    return this.#state;
  }

  /** @throws StoreError; then the batch may be on the disk or not */
  async flush({ operations, committed, failed }: Batch, options?: CommitOptions): Promise<void> {
    try {
      await this.#records.commit(operations, options);
    } catch (error: unknown) {
      const isFull = error instanceof StoreError && error.code === "storage-full";
      this.#turn(isFull ? "full" : "failed", reasonOf(error));
      failed?.();
      throw error;
    }
    this.#turn("ok", "writes succeed again");
    committed();
  }

  /** Writes something, so that the state is that of now. */
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
