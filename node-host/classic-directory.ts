/**
 * The life of one LevelDB directory around its opening: what damages it, and what is done then.
 * Invariant: data is never deleted and never repaired in place (LevelDB's `repair` can bring deleted keys back):
 * a directory that cannot be opened is renamed, and its owner starts empty and refills from its replicas.
 */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { kindOf, storageError } from "./classic-errors.ts";

export type Database = ClassicLevel<Uint8Array, Uint8Array>;

/**
 * LevelDB checks little when it reads, and calls `abort()` on some damage (a zeroed page): no error, a dead process.
 * So a file counts the openings that began and did not end; a supervisor's third restart in vain is the last.
 */
const crashedOpeningsMax = 3;
const openingFile = "opening";

export interface OpenedDirectory {
  readonly database: Database;
  /** Where the former, damaged directory is now; undefined when the directory was sound. */
  readonly setAsideAs?: string;
}

/** Opens the directory, or sets it aside and opens an empty one. Rejects with `StorageError`. */
export async function openDirectory(directory: string): Promise<OpenedDirectory> {
  if ((await crashedOpenings(directory)) >= crashedOpeningsMax) {
    await refuseIfLocked(directory);
    return openEmpty(directory);
  }
  try {
    return { database: await openDatabase(directory) };
  } catch (error: unknown) {
    if (kindOf(error) !== "corrupt") throw storageError(error, "open", directory);
    return openEmpty(directory);
  }
}

/** Renames a damaged directory to `<directory>.damaged-<time>` and returns the new name. */
export async function setAside(directory: string): Promise<string> {
  // Colons are not allowed in Windows file names.
  const aside = `${directory}.damaged-${new Date().toISOString().replaceAll(":", "-")}`;
  try {
    await rename(directory, aside);
  } catch (error: unknown) {
    throw storageError(error, `set aside (it is damaged; is it a mount point?)`, directory);
  }
  return aside;
}

/** Opens without the rescue above. Rejects with what LevelDB said. */
export async function openDatabase(directory: string): Promise<Database> {
  await mkdir(directory, { recursive: true });
  const crashed = await crashedOpenings(directory);
  await writeCrashedOpenings(directory, crashed + 1);
  const database: Database = new ClassicLevel(directory, engineOptions);
  try {
    await database.open();
  } catch (error: unknown) {
    // We are alive, so this opening did not crash: locked or full is no reason to set anything aside.
    await writeCrashedOpenings(directory, crashed);
    throw error;
  }
  await writeCrashedOpenings(directory, 0);
  return database;
}

/**
 * Bytes of the write-ahead log that LevelDB skipped as damaged when it opened: it only says so in its own log file.
 * They may have held acknowledged writes, so the host has to refill from its replicas.
 */
export async function droppedLogBytes(directory: string): Promise<number> {
  const log = await readFile(join(directory, "LOG"), "utf8");
  let bytes = 0;
  for (const match of log.matchAll(/: dropping (\d+) bytes;/g)) bytes += Number(match[1]);
  return bytes;
}

/**
 * Measured with 200-byte values, see `test/bench/storage.ts`.
 */
const engineOptions = {
  keyEncoding: "view",
  valueEncoding: "view",
  compression: false,
} as const;

async function openEmpty(directory: string): Promise<OpenedDirectory> {
  const setAsideAs = await setAside(directory);
  try {
    return { database: await openDatabase(directory), setAsideAs };
  } catch (error: unknown) {
    throw storageError(error, "open", directory);
  }
}

/** Takes LevelDB's lock without reading any data, which may be what crashes: asking for a new database fails after the lock. */
async function refuseIfLocked(directory: string): Promise<void> {
  const probe = new ClassicLevel(directory, { errorIfExists: true });
  try {
    await probe.open();
    await probe.close();
  } catch (error: unknown) {
    if (kindOf(error) === "locked") throw storageError(error, "open", directory);
  }
}

async function crashedOpenings(directory: string): Promise<number> {
  try {
    return Number(await readFile(join(directory, openingFile), "utf8")) || 0;
  } catch (error: unknown) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return 0;
    throw storageError(error, "open", directory);
  }
}

async function writeCrashedOpenings(directory: string, count: number): Promise<void> {
  const path = join(directory, openingFile);
  if (count === 0) await rm(path, { force: true });
  else await writeFile(path, String(count));
}
