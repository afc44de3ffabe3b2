/**
 * The life of one LevelDB directory around its opening: what damages it, and what is done then.
 * Invariant: data is never deleted and never repaired in place (LevelDB's `repair` can bring deleted keys back):
 * a directory that cannot be opened is renamed, and its owner starts empty and refills from its replicas.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { StorageError } from "../core/ports.ts";
import { codeOf, kindOf, storageError, textOf } from "./classic-errors.ts";
import type { Database } from "./classic-format.ts";
import { checkFormat } from "./classic-format.ts";
import { damagedTables } from "./classic-tables.ts";

/**
 * LevelDB checks little when it reads, and calls `abort()` on some damage (a zeroed page), while opening or at any later
 * read: no error, a dead process. A file counts what began and did not end well, so that a supervisor's restarts get
 * somewhere: after two runs in a row without `close`, the checksums of all tables are verified before LevelDB reads
 * them; after five openings in a row that did not end, the directory is given up unread.
 */
interface Unfinished {
  readonly openings: number;
  readonly runs: number;
}
const unfinishedFile = "unfinished";
const unfinishedOpeningsMax = 5;
const unfinishedRunsBeforeCheck = 2;

export interface EngineNeeds {
  readonly headroomBytes: number;
  /** Other threads of this process may open the instance too: LevelDB then refuses none of them. */
  readonly isShared: boolean;
}

export interface OpenedDirectory {
  readonly database: Database;
  /** Where the former, damaged directory is now; undefined when the directory was sound. */
  readonly setAsideAs?: string;
}

/** Opens the directory, or sets it aside and opens an empty one. Rejects with `StorageError`. */
export async function openDirectory(directory: string, needs: EngineNeeds): Promise<OpenedDirectory> {
  try {
    await mkdir(directory, { recursive: true });
    if (!(await mustBeSetAside(directory))) return { database: await openChecked(directory, needs) };
  } catch (error: unknown) {
    if (!isDamage(error)) throw storageError(error, "open", directory);
  }
  const setAsideAs = await setAside(directory, "damaged");
  try {
    await mkdir(directory);
    return { database: await openChecked(directory, needs), setAsideAs };
  } catch (error: unknown) {
    throw storageError(error, "open", directory);
  }
}

/**
 * Opens what was set aside, to read what can be read of it: it stays where it is, damaged or not. Rejects with `StorageError`,
 * also where it has never opened: then LevelDB may end the process, as it did before.
 */
export async function openAside(directory: string, needs: EngineNeeds): Promise<OpenedDirectory> {
  try {
    const { openings } = await readUnfinished(directory);
    if (openings >= unfinishedOpeningsMax) {
      throw new StorageError("corrupt", `${directory} ended the process in each of ${openings} openings`);
    }
    // Not made where it is missing: it would pass for one without keys.
    return { database: await openChecked(directory, needs, { createIfMissing: false }) };
  } catch (error: unknown) {
    throw storageError(error, "open", directory);
  }
}

async function openChecked(
  directory: string,
  needs: EngineNeeds,
  { createIfMissing } = { createIfMissing: true },
): Promise<Database> {
  const database = await openDatabase(directory, needs, { createIfMissing });
  try {
    await checkFormat(database);
    return database;
  } catch (error: unknown) {
    await closeDatabase(database);
    throw error;
  }
}

/** Renames a directory that nobody has open to `<directory>.<why>-<time>` and returns the new name. @throws StorageError */
export async function setAside(directory: string, why: "damaged" | "old"): Promise<string> {
  const aside = asideName(directory, why);
  try {
    await rename(directory, aside);
  } catch (error: unknown) {
    throw new StorageError("corrupt", `${directory} is ${why} and cannot be renamed (a mount point?)`, {
      cause: error,
    });
  }
  return aside;
}

export function asideName(directory: string, why: "damaged" | "old"): string {
  // Colons are not allowed in Windows file names.
  return `${directory}.${why}-${new Date().toISOString().replaceAll(":", "-")}`;
}

/** What was ever set aside of this directory, oldest first within each reason. */
export async function setAsideOf(directory: string): Promise<string[]> {
  const names = await readdir(dirname(directory));
  const isAside = (name: string): boolean =>
    ["damaged", "old"].some((why) => name.startsWith(`${basename(directory)}.${why}-`));
  return names
    .filter(isAside)
    .toSorted()
    .map((name) => join(dirname(directory), name));
}

/** Opens without the rescue above. Rejects with what LevelDB said. */
export async function openDatabase(
  directory: string,
  needs: EngineNeeds,
  /** False while running: if the directory has vanished under us, an empty one would pass for our data. */
  { createIfMissing }: { createIfMissing: boolean },
): Promise<Database> {
  const before = await readUnfinished(directory);
  await writeUnfinished(directory, { openings: before.openings + 1, runs: before.runs + 1 });
  const database: Database = new ClassicLevel(directory, { ...engineOptions(needs), createIfMissing });
  try {
    await database.open();
  } catch (error: unknown) {
    // We are alive, so this opening did end: locked or full is no reason to give the directory up.
    await writeUnfinished(directory, before);
    throw error;
  }
  await writeUnfinished(directory, { openings: 0, runs: before.runs + 1 });
  return database;
}

/** After damage was met the next opening verifies all tables, however well this run ends. */
export async function closeDatabase(database: Database, { damaged = false } = {}): Promise<void> {
  await database.close();
  if (damaged) await writeUnfinished(database.location, { openings: 0, runs: unfinishedRunsBeforeCheck });
  else await rm(join(database.location, unfinishedFile), { force: true });
}

/**
 * Bytes of the write-ahead log that LevelDB skipped as damaged when it opened: it only says so in its own log file.
 * They may have held acknowledged writes, so the host has to refill from its replicas. What was skipped when the run
 * before opened counts too if that run did not end well: it may have ended before the host had taken note.
 */
export async function droppedLogBytes(directory: string): Promise<number> {
  const { runs } = await readUnfinished(directory);
  const logs = await Promise.all(
    (runs > 1 ? ["LOG", "LOG.old"] : ["LOG"]).map((name) => readIfThere(join(directory, name))),
  );
  let bytes = 0;
  for (const match of logs.join("\n").matchAll(/: dropping (\d+) bytes;/g)) bytes += Number(match[1]);
  return bytes;
}

/**
 * One compaction writes its output before it deletes its input: about 12 write buffers (level 0) and the 10 MiB of
 * level 1. On a full disk LevelDB leaves the half-made output lying, so the headroom must hold all of it.
 */
const largeHeadroomBytes = 64 * 1024 * 1024;
const smallHeadroomBytes = 16 * 1024 * 1024;
const largeDiskBytes = 1024 * 1024 * 1024;

/** What is kept free on a disk of this size, unless the operator says otherwise. */
export function headroomFor(diskBytes: number): number {
  return diskBytes >= largeDiskBytes ? largeHeadroomBytes : smallHeadroomBytes;
}

/** For who opens an instance that this process has already: the others are those of whom opened it first. */
export const sharedOptions = { keyEncoding: "view", valueEncoding: "view", multithreading: true } as const;

/**
 * Speed does not decide: compression, larger buffers and caches all lay within the noise at 200-byte values.
 * No compression, so that a flipped byte damages one record and not the block around it.
 */
function engineOptions({ headroomBytes, isShared }: EngineNeeds) {
  const small = headroomBytes < largeHeadroomBytes;
  return {
    ...sharedOptions,
    multithreading: isShared,
    compression: false,
    writeBufferSize: small ? 512 * 1024 : 4 * 1024 * 1024,
    maxFileSize: small ? 1024 * 1024 : 2 * 1024 * 1024,
  };
}

async function mustBeSetAside(directory: string): Promise<boolean> {
  const { openings, runs } = await readUnfinished(directory);
  const suspect = openings >= unfinishedOpeningsMax || runs >= unfinishedRunsBeforeCheck;
  if (!suspect && !(await isHeadless(directory))) return false;
  await refuseIfLocked(directory);
  if (openings >= unfinishedOpeningsMax || (await isHeadless(directory))) return true;
  return (await damagedTables(directory)).length > 0;
}

/** Without `CURRENT`, LevelDB would take the directory for a new one and delete the tables and logs in it. */
async function isHeadless(directory: string): Promise<boolean> {
  const names = await readdir(directory);
  return !names.includes("CURRENT") && names.some((name) => /\.(ldb|log)$/.test(name));
}

/** A file that LevelDB knows of is not there: it says `io`, but no later opening will find it either. */
function isDamage(error: unknown): boolean {
  const kind = kindOf(error);
  return kind === "corrupt" || (kind === "io" && /no such file/i.test(textOf(error)));
}

/** Takes LevelDB's lock without reading data, which may be what crashes: asking for a new database fails after the lock. */
async function refuseIfLocked(directory: string): Promise<void> {
  const probe = new ClassicLevel(directory, { errorIfExists: true, createIfMissing: false });
  try {
    await probe.open();
    await probe.close();
  } catch (error: unknown) {
    if (kindOf(error) === "locked") throw error;
  }
}

async function readUnfinished(directory: string): Promise<Unfinished> {
  const [openings, runs] = (await readIfThere(join(directory, unfinishedFile))).split(" ");
  return { openings: Number(openings) || 0, runs: Number(runs) || 0 };
}

/** Empty when there is no such file. */
async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error: unknown) {
    if (codeOf(error) === "ENOENT") return "";
    throw error;
  }
}

async function writeUnfinished(directory: string, { openings, runs }: Unfinished): Promise<void> {
  await writeFile(join(directory, unfinishedFile), `${openings} ${runs}`);
}
