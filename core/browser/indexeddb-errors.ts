/**
 * What IndexedDB says, in the words of the storage port.
 */
import type { StorageErrorKind } from "../ports.ts";
import { StorageError } from "../ports.ts";

/** What was tried; completes the sentence "cannot …". */
export type Doing = "open" | "read" | "write";

export function storageError(error: unknown, doing: Doing, database: string): StorageError {
  if (error instanceof StorageError) return error;
  // A bug, not a failure of storage.
  if (!(error instanceof DOMException)) throw error;
  return new StorageError(kindOf(error, doing), `cannot ${doing} ${database}: ${error.name}: ${error.message}`, {
    cause: error,
  });
}

/**
 * The connection is gone, or the browser's process behind it stumbled (Safari in the background): another may serve.
 * `AbortError`: nobody here aborts a transaction, so the browser did.
 */
export function isLost(error: unknown): boolean {
  return error instanceof DOMException && lost.has(error.name);
}

/** Another tab has claimed the store: only that can be in the way of what is added. */
export function isOutdated(error: unknown): boolean {
  return error instanceof DOMException && error.name === "ConstraintError";
}

/** A large value has a file of its own in Chromium; this is said when it is gone. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof DOMException && unreadable.has(error.name);
}

/** Said when writing. Our keys and values are sound, so `DataError` is of a disk without room. */
export function isFull(error: unknown): boolean {
  return error instanceof DOMException && full.has(error.name);
}

const full = new Set(["DataError", "NotReadableError", "QuotaExceededError"]);
const unreadable = new Set(["DataError", "NotReadableError"]);
const lost = new Set(["AbortError", "InvalidStateError", "UnknownError"]);

function kindOf({ name }: DOMException, doing: Doing): StorageErrorKind {
  switch (name) {
    case "QuotaExceededError":
      return "full";
    case "DataError":
    case "NotReadableError":
      return doing === "read" ? "corrupt" : "full";
    case "VersionError":
      return "version";
    case "AbortError":
    case "ConstraintError":
    case "InvalidStateError":
      return "closed";
    default:
      return "io";
  }
}
