/**
 * What IndexedDB says, in the words of the storage port.
 */
import type { StorageErrorKind } from "../ports.ts";
import { StorageError } from "../ports.ts";

/** What was tried; completes the sentence "cannot …". */
export type Doing = "open" | "claim" | "read" | "write";

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

/**
 * Said when writing: the disk has no byte left, the write was cut off, and the browser ends the connection. That it is the
 * disk is in the text only: of Chromium's many unknown errors, or of that which it has also for its quota ("Encountered disk
 * full while committing transaction."), and of SQLite's below other browsers.
 */
export function isDiskFull(error: unknown): boolean {
  return error instanceof DOMException && noSpace.test(error.message);
}

const noSpace = /NO_SPACE|disk (?:is )?full/;
const full = new Set(["DataError", "NotReadableError", "QuotaExceededError"]);
const unreadable = new Set(["DataError", "NotReadableError"]);
const lost = new Set(["AbortError", "InvalidStateError", "UnknownError"]);

function kindOf(error: DOMException, doing: Doing): StorageErrorKind {
  if (isDiskFull(error)) return "full";
  switch (error.name) {
    case "QuotaExceededError":
      return "full";
    case "DataError":
    case "NotReadableError":
      return doing === "read" ? "corrupt" : "full";
    case "VersionError":
      return "version";
    case "InvalidStateError":
      // Of a connection, that it is closed; without one, that the browser gives none (private windows of older Firefox).
      return doing === "open" ? "io" : "closed";
    case "AbortError":
    case "ConstraintError":
      return "closed";
    default:
      return "io";
  }
}
