/** Storage in a page: the suite of the port, and one store that the test opens, writes, reads and fills. */
import { openIndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { StoreError } from "../../../core/errors.ts";
import { StorageError } from "../../../core/ports.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { del, put, storageSuite, text } from "../../conformance/storage.ts";
import { expose } from "../expose.ts";
import { badTransactions, seenTransactions } from "../transactions.ts";

/** `done`, or the kind or code of the error that it was refused with. */
type Outcome = string;

let stores = 0;
let store: RecordStore;

const suite = storageSuite(async () => {
  const name = `suite ${stores++}`;
  const storage = await openIndexedDbStorage({ name });
  const reopen = async () => {
    await storage.close();
    return openIndexedDbStorage({ name });
  };
  return { storage, reopen };
});

const functions = {
  openSuite: suite.open,
  closeSuite: suite.close,
  check: (name: string) => suite.rules.find((rule) => rule.name === name)?.check(),
  transactions: () => ({ seen: seenTransactions().length, bad: badTransactions(seenTransactions()) }),

  open: (name: string) =>
    outcomeOf(async () => {
      store = new RecordStore(await openIndexedDbStorage({ name }));
    }),
  close: () => store.close(),
  put: (name: string, bytes: number) => outcomeOf(() => store.commit([put(text(name), valueOf(name, bytes))])),
  remove: (name: string) => outcomeOf(() => store.commit([del(text(name))])),
  has: async (name: string, bytes: number): Promise<boolean | Outcome> => {
    let found: Uint8Array | undefined;
    const outcome = await outcomeOf(async () => {
      found = await store.get("objects", text(name));
    });
    if (outcome !== "done") return outcome;
    return found !== undefined && isEqual(found, valueOf(name, bytes));
  },
  /** `true`, `false` or `damaged` for each row. */
  scan: async (bytes: number) => {
    const { rows } = await store.page("objects", { limit: 1_000 });
    return rows.map((row) => {
      const name = new TextDecoder().decode(row.key);
      return { name, whole: "value" in row ? isEqual(row.value, valueOf(name, bytes)) : "damaged" };
    });
  },
  freeBytes: async () => (await store.usage()).freeBytes,

  /** What another tab with other code may do. */
  openRaw: (database: string, version: number) => settled(indexedDB.open(database, version)),
  deleteRaw: (database: string) => settled(indexedDB.deleteDatabase(database)),
};

export type Functions = typeof functions;

expose(functions);

async function outcomeOf(work: () => Promise<void>): Promise<Outcome> {
  try {
    await work();
    return "done";
  } catch (error: unknown) {
    if (error instanceof StoreError) return error.code;
    if (error instanceof StorageError) return error.kind;
    throw error;
  }
}

function settled(request: IDBOpenDBRequest): Promise<Outcome> {
  return new Promise((resolve) => {
    request.addEventListener("success", () => resolve("done"));
    request.addEventListener("error", () => resolve(request.error?.name ?? "error"));
  });
}

/** Differs from name to name, and does not compress to nothing. */
function valueOf(name: string, bytes: number): Uint8Array {
  const seed = text(name).reduce((sum, byte) => (sum * 31 + byte) >>> 0, 7);
  let state = seed;
  return new Uint8Array(bytes).map(() => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 24);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
