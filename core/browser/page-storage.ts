/**
 * Where a page keeps a store: in IndexedDB, or in memory where the browser has none to give. Data that is there is never
 * passed over: only a browser that refuses IndexedDB as a whole leads to memory, not a full or a newer database.
 */
import type { Storage } from "../ports.ts";
import { StorageError } from "../ports.ts";
import { MemoryStorage } from "../storage/memory-storage.ts";
import { openIndexedDbStorage } from "./indexeddb-storage.ts";

export interface PageStorage {
  readonly storage: Storage;
  /** Why it is in memory only. */
  readonly memoryBecause?: string;
}

/** What browsers say where site data is forbidden, and some in private windows (not Chromium): of all databases (and locks, and channels), not of this one. */
const refusals = new Set(["SecurityError", "InvalidStateError", "NotSupportedError"]);
/** Chromium has no name for it where its user forbids site data: "The user denied permission to access the database." */
const denied = /denied permission/;

/** @throws StorageError `full`, `version`, `io` */
export async function openPageStorage(name: string): Promise<PageStorage> {
  const missing = missingIndexedDb();
  if (missing !== undefined) return { storage: new MemoryStorage(), memoryBecause: missing };
  try {
    return { storage: await openIndexedDbStorage({ name }) };
  } catch (error: unknown) {
    if (!isRefused(error)) throw error;
    return { storage: new MemoryStorage(), memoryBecause: error.message };
  }
}

/** Where site data is forbidden the mere look at it throws in some browsers. */
export function missingIndexedDb(): string | undefined {
  try {
    const { indexedDB } = globalThis as { readonly indexedDB?: IDBFactory };
    return indexedDB === undefined || indexedDB === null ? "this browser has no IndexedDB" : undefined;
  } catch (error: unknown) {
    return String(error);
  }
}

/** The browser gives no storage to this origin, whoever asks; or no locks, or no channels, to those that would share it. */
export function isRefused(error: unknown): error is Error {
  // Of one that is closed the database alone was lost, not the right to have one.
  const cause = error instanceof StorageError && error.kind !== "closed" ? error.cause : error;
  return cause instanceof DOMException && (refusals.has(cause.name) || denied.test(cause.message));
}

/** Asks that the browser keep what this origin stores though room gets short; some ask the user. False: it may delete it. */
export async function askToPersist(): Promise<boolean> {
  // Only a page from https or this machine has it.
  const manager = (navigator as { readonly storage?: StorageManager }).storage;
  if (manager?.persist === undefined) return false;
  return (await manager.persisted()) || (await manager.persist());
}
