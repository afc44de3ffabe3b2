/** A page that writes until its disk is full: through a store, or as plain code over IndexedDB does. */
import { openStore } from "../../../core/browser/index.ts";
import type { StoreError } from "../../../core/errors.ts";
import { expose } from "../expose.ts";

/** What a page can keep texts in. */
export type Keeper = "store" | "plain";

interface Kept {
  put(key: string, value: string): Promise<unknown>;
  get(key: string): Promise<unknown>;
}

let kept: Kept;

const functions = {
  /** Also after the browser has ended the connection of plain code. */
  async open(keeper: Keeper): Promise<void> {
    kept = keeper === "store" ? await storeOf("full-disk") : await plain("full-disk");
  },
  /** `written`, or what it was refused with. */
  put: (key: string, value: string): Promise<string> =>
    kept.put(key, value).then(
      () => "written",
      ({ code, message }: StoreError) => `${code}: ${message}`,
    ),
  /** Of these keys, whose value follows from them, those that are not what was written. */
  async lost(keys: readonly string[], values: readonly string[]): Promise<string[]> {
    const read = await Promise.all(keys.map((key) => kept.get(key)));
    return keys.filter((_key, i) => read[i] !== values[i]);
  },
};

export type Functions = typeof functions;

expose(functions);

async function storeOf(name: string): Promise<Kept> {
  const store = await openStore<{ notes: string }>({ name });
  const notes = store.bucket("notes");
  return {
    put: (key, value) => notes.put(key, value),
    get: async (key) => (await notes.get(key, { r: "local" })).value,
  };
}

async function plain(name: string): Promise<Kept> {
  const opening = indexedDB.open(name, 1);
  opening.addEventListener("upgradeneeded", () => opening.result.createObjectStore("notes"));
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    opening.addEventListener("success", () => resolve(opening.result));
    opening.addEventListener("error", () => reject(opening.error));
  });
  return {
    put: (key, value) =>
      new Promise((resolve, reject) => {
        const writing = database.transaction("notes", "readwrite", { durability: "strict" });
        writing.objectStore("notes").put(value, key);
        writing.addEventListener("complete", resolve);
        writing.addEventListener("abort", () => reject(writing.error));
      }),
    get: (key) =>
      new Promise((resolve, reject) => {
        const reading = database.transaction("notes").objectStore("notes").get(key);
        reading.addEventListener("success", () => resolve(reading.result));
        reading.addEventListener("error", () => reject(reading.error));
      }),
  };
}
