/**
 * The database behind one store: named after it, with an object store for each namespace; its version is our format.
 * Rows: the key is the key's bytes, which IndexedDB orders byte by byte, shorter first; the value is a `Uint8Array`.
 */
import { deleteDB, openDB, unwrap } from "idb";
import type { Namespace } from "../ports.ts";
import { StorageError } from "../ports.ts";

const format = 1;
const namespaces: readonly Namespace[] = ["objects", "hints", "meta", "merkle"];

/** Each is called at most once, and the connection is of no use afterwards. */
export interface ConnectionEnd {
  /** Another tab deletes the database or brings a newer format, and waits until this connection is closed. */
  readonly unwanted: () => void;
  /** The browser has ended the connection. */
  readonly lost: () => void;
}

export const databaseName = (store: string): string => `everwrite/${store}`;

/**
 * `create: false` goes on with a database that was there: one that is gone meanwhile, its data deleted, must not come
 * back empty under a running node, which remembers what it wrote.
 * @throws StorageError `closed` when it is gone, `version` when it is not ours; DOMException
 */
export async function openDatabase(name: string, create: boolean, ended: ConnectionEnd): Promise<IDBDatabase> {
  let isGone = false;
  const opening = openDB(name, format, {
    upgrade(database, _oldVersion, _newVersion, transaction) {
      isGone = !create;
      if (isGone) transaction.abort();
      else for (const ns of namespaces) database.createObjectStore(ns);
    },
    blocking: ended.unwanted,
    terminated: ended.lost,
  });
  const database = unwrap(
    await opening.catch((error: unknown) => {
      throw isGone ? new StorageError("closed", `the data of ${name} was deleted`, { cause: error }) : error;
    }),
  );
  if (namespaces.every((ns) => database.objectStoreNames.contains(ns))) return database;
  database.close();
  throw new StorageError("version", `the database ${name} is not of Everwrite`);
}

/** Resolves when the database of a store is gone. @throws DOMException */
export function deleteDatabase(store: string): Promise<void> {
  return deleteDB(databaseName(store));
}

/** Names of the stores that have a database; undefined where the browser does not tell. */
export async function presentStores(): Promise<readonly string[] | undefined> {
  const { databases } = indexedDB as { readonly databases?: IDBFactory["databases"] };
  const all = await databases?.call(indexedDB);
  const prefix = databaseName("");
  return all?.flatMap(({ name }) => (name?.startsWith(prefix) ? [name.slice(prefix.length)] : []));
}
