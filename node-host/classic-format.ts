/**
 * What the keys of our LevelDB look like: one byte for the namespace, then the key; and the `format` record that says so.
 * Invariant: a directory of a newer format, or of another program, is refused before anything is written to it.
 */
import type { Namespace } from "../core/ports.ts";
import { StorageError } from "../core/ports.ts";
import type { Database } from "./classic-directory.ts";

const format = 1;

/** 0 is below all namespaces, so no scan of one meets it. */
const formatKey = Buffer.from("\0format");

const prefixOf: Readonly<Record<Namespace, number>> = {
  hints: 0x68, // h
  merkle: 0x6b, // k
  meta: 0x6d, // m
  objects: 0x6f, // o
};

export function prefixed(ns: Namespace, key: Uint8Array): Uint8Array {
  // From Node's pool: not zeroed, no allocation of its own.
  const joined = Buffer.allocUnsafe(1 + key.length);
  joined[0] = prefixOf[ns];
  joined.set(key, 1);
  return joined;
}

export function unprefixed(stored: Uint8Array): Uint8Array {
  return new Uint8Array(stored.buffer, stored.byteOffset + 1, stored.byteLength - 1);
}

/** First stored key behind the namespace. */
export function endOf(ns: Namespace): Uint8Array {
  return Uint8Array.of(prefixOf[ns] + 1);
}

/** Writes the record into an empty database, reads it in any other. */
export async function checkFormat(database: Database): Promise<void> {
  const stored = await database.get(formatKey);
  if (stored === undefined) {
    const first = await database.keys({ limit: 1 }).all();
    if (first.length > 0) throw new StorageError("version", `${database.location} is a LevelDB, but not of Everwrite`);
    return database.put(formatKey, Buffer.from(String(format)), { sync: true });
  }
  const found = Number(Buffer.from(stored).toString());
  if (found === format) return;
  throw new StorageError(
    "version",
    `${database.location} has storage format ${found}, this version of Everwrite knows ${format}: use a newer one`,
  );
}
