/**
 * What LevelDB says, in the words of the storage port. It has few codes, so a full disk is known by its text.
 */
import type { StorageErrorKind } from "../core/ports.ts";
import { StorageError } from "../core/ports.ts";

/** `doing` completes the sentence "cannot …"; `directory` is named because people fix directories, not databases. */
export function storageError(error: unknown, doing: string, directory: string): StorageError {
  if (error instanceof StorageError) return error;
  // A bug, not a failure of storage.
  if (error instanceof TypeError || error instanceof RangeError) throw error;
  const kind = kindOf(error);
  const reason = kind === "locked" ? heldElsewhere : textOf(error);
  return new StorageError(kind, `cannot ${doing} ${directory}: ${reason}`, { cause: error });
}

const heldElsewhere =
  "another process (or another store of this one) has it open: end that one, or use another directory";

export function kindOf(error: unknown): StorageErrorKind {
  const code = codeOf(error);
  // A failed open wraps the reason; `NOT_OPEN` without one means closed.
  if (code === "LEVEL_DATABASE_NOT_OPEN") return causeOf(error) === undefined ? "closed" : kindOf(causeOf(error));
  if (code === "LEVEL_ITERATOR_NOT_OPEN") return "closed";
  if (code === "LEVEL_LOCKED") return "locked";
  if (code === "LEVEL_CORRUPTION") return "corrupt";
  if (code === "ENOSPC" || code === "EDQUOT") return "full";
  return /no space left|quota exceeded/i.test(textOf(error)) ? "full" : "io";
}

export function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return causeOf(error) === undefined ? error.message : textOf(causeOf(error));
}

export function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}
