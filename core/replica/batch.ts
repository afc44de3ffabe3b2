/** Operations that go to the disk together, and what memory does when they are there, or may be. */
import type { StorageOperation } from "../ports.ts";

export interface Batch {
  readonly operations: readonly StorageOperation[];
  readonly committed: () => void;
  /** The outcome is open: the batch may come back after a restart. */
  readonly failed?: () => void;
}

export const nothingMore: Batch = { operations: [], committed: () => {} };

export function together(batches: readonly Batch[]): Batch {
  return {
    operations: batches.flatMap(({ operations }) => operations),
    committed: () => batches.forEach(({ committed }) => committed()),
    failed: () => batches.forEach(({ failed }) => failed?.()),
  };
}
