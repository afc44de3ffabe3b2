/**
 * What other libraries make of the same puts and gets over IndexedDB. None of them is as strict: they are content when
 * the browser has taken a write, where ours waits for the disk.
 */
import { wrap } from "idb";
import { get, set } from "idb-keyval";
// @ts-expect-error -- it comes without types
import PouchDB from "pouchdb-browser";
import { IndexeddbPersistence } from "y-indexeddb";
import { Doc } from "yjs";
import { expose } from "../expose.ts";
import { measure, openRaw } from "../speed.ts";

interface Library {
  put(key: string, value: string): Promise<unknown>;
  get(key: string): Promise<unknown>;
}

interface PouchDatabase {
  put(document: { readonly _id: string; readonly text: string }): Promise<unknown>;
  get(id: string): Promise<unknown>;
}

const value = "v".repeat(200);

const libraries = {
  "raw IndexedDB, relaxed": async (): Promise<Library> => {
    const database = wrap(await openRaw());
    return {
      async put(key, text) {
        const transaction = database.transaction("rows", "readwrite", { durability: "relaxed" });
        await Promise.all([transaction.store.put(text, key), transaction.done]);
      },
      get: (key) => database.get("rows", key),
    };
  },
  "idb-keyval": async (): Promise<Library> => ({ put: set, get }),
  PouchDB: async (): Promise<Library> => {
    const database = new (PouchDB as new (name: string) => PouchDatabase)("pouch");
    return { put: (key, text) => database.put({ _id: key, text }), get: (key) => database.get(key) };
  },
  "y-indexeddb": yjs,
};

export type LibraryName = keyof typeof libraries;
const opened = new Map<LibraryName, { readonly library: Library; keys: number }>();

const functions = {
  names: () => Object.keys(libraries) as LibraryName[],
  /** Each to a key of its own. */
  async puts(name: LibraryName, inFlight: number, ms: number) {
    const of = opened.get(name) ?? { library: await libraries[name](), keys: 0 };
    opened.set(name, of);
    return measure(inFlight, ms, () => of.library.put(`k${of.keys++}`, value));
  },
  /** Of what `puts` put. */
  gets(name: LibraryName, inFlight: number, ms: number) {
    const { library, keys } = opened.get(name)!;
    let at = 0;
    return measure(inFlight, ms, () => library.get(`k${at++ % keys}`));
  },
};

export type Functions = typeof functions;

expose(functions);

/**
 * A map of a document, whose gets are answered from memory. A put is acknowledged by nobody: what tells that it is stored
 * is a read that is asked for after it, one for all puts of a moment.
 */
async function yjs(): Promise<Library> {
  const document = new Doc();
  const persistence = new IndexeddbPersistence("y", document);
  await persistence.whenSynced;
  const database = wrap(persistence.db!);
  const map = document.getMap<string>("kv");
  let stored: Promise<unknown> | undefined;
  return {
    async put(key, text) {
      map.set(key, text);
      stored ??= Promise.resolve().then(() => {
        stored = undefined;
        return database.get("updates", 0);
      });
      await stored;
    },
    get: async (key) => map.get(key),
  };
}
