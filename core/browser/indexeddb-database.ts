/**
 * The database behind one store: named after it, with an object store for each namespace; its version is our format.
 * Rows: the key is the key's bytes, which IndexedDB orders byte by byte, shorter first; the value is a `Uint8Array`.
 */
import { deleteDB, openDB, unwrap } from "idb";
import { toHex } from "../bytes/hex.ts";
import { systemRandom } from "../libp2p/system-ports.ts";
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

/** Of no store: their names begin with `everwrite/`. */
const passing = "everwrite-passing/";

/**
 * A database made and deleted, for what that does below, in Chromium: LevelDB ends its log and begins another. A full disk
 * cuts off the last record of a log, and so does the end of a browser, or of power, in the middle of a write. Whoever opens
 * the database next writes on behind what is left of the record (google/leveldb#1287); the one after that takes the log for
 * damaged, and Chromium 156 deletes all databases of the origin. (`npm run trials -- browser-full-disk` shows it.) Nobody can
 * tell from here, so it is done at each opening. It takes some milliseconds, for which nobody waits: if the browser ends
 * once more within them, its log is still the torn one. Each has a name of its own: behind one of a tab that is frozen in
 * between, the others would wait for as long as it is.
 * @throws DOMException
 */
export async function endTornLog(): Promise<void> {
  const name = `${passing}${toHex(systemRandom.bytes(8))}`;
  (await openDB(name)).close();
  await deleteDB(name);
  // What pages have left that ended in between. Where another makes and deletes its own just now, two delete it.
  const left = (await presentNames())?.filter((each) => each.startsWith(passing)) ?? [];
  for (const each of left) deleteDB(each).catch(() => undefined);
}

/** Names of the stores that have a database; undefined where the browser does not tell. */
export async function presentStores(): Promise<readonly string[] | undefined> {
  const prefix = databaseName("");
  const names = await presentNames();
  return names?.flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
}

async function presentNames(): Promise<readonly string[] | undefined> {
  const { databases } = indexedDB as { readonly databases?: IDBFactory["databases"] };
  const all = await databases?.call(indexedDB);
  return all?.flatMap(({ name }) => (name === undefined ? [] : [name]));
}
