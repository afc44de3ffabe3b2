/**
 * What a storage rejects with, as the core and its clients see it. `RecordStore` lets nothing else out, so that no way to
 * the disk can forget it.
 */
import { StoreError } from "../errors.ts";
import { StorageError } from "../ports.ts";

/** Nothing was done: whoever waits for it may ask another host. */
export function failedRead(error: unknown): unknown {
  if (!(error instanceof StorageError)) return error;
  if (error.kind === "closed") return new StoreError("closed", error.message, { cause: error });
  return new StoreError("not-ready", `this host cannot read its disk: ${error.message}`, { cause: error });
}

/**
 * The batch may be on the disk, unless the error says otherwise, and no try before it was in doubt. (`corrupt` is said of one
 * record, which reads find out.)
 */
export function failedWrite(error: unknown, isInDoubt = false): unknown {
  if (!(error instanceof StorageError)) return error;
  const detail = { ...(error.nothingWritten && !isInDoubt ? { nothingWritten: true } : {}), cause: error };
  if (error.kind === "full") return new StoreError("storage-full", error.message, detail);
  if (error.kind === "closed") return new StoreError("closed", error.message, { cause: error });
  return new StoreError("internal", `storage failed: ${error.message}`, { cause: error });
}
