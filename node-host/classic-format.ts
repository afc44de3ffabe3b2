/**
 * What the keys of our LevelDB look like: one byte for the namespace, then the key; and the `format` record that says so.
 * Invariant: a directory of a newer format, or of another program, is refused before anything is written to it.
 */
import type { ClassicLevel } from "classic-level";
import type { Namespace } from "../core/ports.ts";
import { StorageError } from "../core/ports.ts";
import { kindOf } from "./classic-errors.ts";
import { damagedTables } from "./classic-tables.ts";

export type Database = ClassicLevel<Uint8Array, Uint8Array>;

const format = 1;

/**
 * The record lies twice, before and behind all namespaces: in different blocks of a table, so that one damaged block
 * does not make the whole directory unreadable.
 */
const formatKeys = [Buffer.of(0x00, ...Buffer.from("format")), Buffer.of(0xff, ...Buffer.from("format"))];

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
  const found = await Promise.all(formatKeys.map((key) => readFormat(database, key)));
  const newest = Math.max(...found.map((one) => one ?? 0));
  if (newest > format) {
    throw new StorageError(
      "version",
      `${database.location} has storage format ${newest}, this version of Everwrite knows ${format}: use a newer one`,
    );
  }
  if (newest === 0) await refuseIfUsed(database);
  if (found.includes(undefined)) {
    const value = Buffer.from(String(format));
    await database.batch(
      formatKeys.map((key) => ({ type: "put", key, value })),
      { sync: true },
    );
  }
}

/** Undefined when it is absent or damaged. */
async function readFormat(database: Database, key: Uint8Array): Promise<number | undefined> {
  try {
    const stored = await database.get(key);
    return stored === undefined ? undefined : Number(Buffer.from(stored).toString()) || undefined;
  } catch (error: unknown) {
    if (kindOf(error) === "corrupt") return undefined;
    throw error;
  }
}

async function refuseIfUsed(database: Database): Promise<void> {
  const first = await database.keys({ limit: 1 }).all();
  if (first.length === 0) return;
  const { location } = database;
  const damaged = await damagedTables(location);
  if (damaged.length > 0) throw new StorageError("corrupt", `${location} is damaged: ${damaged.join(", ")}`);
  throw new StorageError("version", `${location} is a LevelDB, but not of Everwrite`);
}
