/**
 * A process of its own for the storage tests: one that is killed, refused, or that LevelDB may abort.
 *   open <directory>           prints how opening went
 *   write <directory> <from>   writes numbered records until killed, and prints each number once it is acknowledged
 *   check <directory> <count>  prints how many of the records 0..count-1 are right, wrong, missing and corrupt
 */
import { spawnSync } from "node:child_process";
import { writeSync } from "node:fs";
import { StoreError } from "../../core/errors.ts";
import { StorageError } from "../../core/ports.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";

export const childFile = import.meta.filename;

/** Runs this file to its end; undefined when it died, or LevelDB went round in circles. */
export function runChild(...args: string[]): unknown {
  const { stdout, status } = spawnSync(process.execPath, [childFile, ...args], {
    encoding: "utf8",
    timeout: 20_000,
    killSignal: "SIGKILL",
  });
  return status === 0 ? JSON.parse(stdout) : undefined;
}

export interface Verdict {
  readonly setAside: boolean;
  readonly droppedLogBytes: number;
  readonly right: number;
  readonly wrong: number;
  readonly missing: number;
  readonly corrupt: number;
  /** The same by scanning; what is missing from the scan is not in it. */
  readonly scan: {
    readonly right: number;
    readonly wrong: number;
    readonly corrupt: number;
    readonly damaged: boolean;
  };
}

/** Spread over the key space, so that every table holds some of all. */
export function recordKey(index: number): Uint8Array {
  const key = Buffer.alloc(20);
  key.writeUInt32BE(Math.imul(index + 1, 2654435761) >>> 0, 0);
  key.writeUInt32BE(index, 16);
  return key;
}

function recordValue(index: number): Uint8Array {
  return Buffer.alloc(200, `${index}|${Math.imul(index, 40503)}|`);
}

/** Three rows a caller, so that a divided batch shows. */
export function recordBatch(index: number) {
  return [index * 3, index * 3 + 1, index * 3 + 2].map(
    (at) => ({ kind: "put", ns: "objects", key: recordKey(at), value: recordValue(at) }) as const,
  );
}

async function write(directory: string, from: number): Promise<void> {
  const store = new RecordStore(await openClassicStorage({ directory }));
  let next = from;
  const client = async () => {
    for (;;) {
      const index = next++;
      await store.commit(recordBatch(index));
      writeSync(1, `${index}\n`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
}

export async function check(directory: string, count: number): Promise<Verdict> {
  const storage = await openClassicStorage({ directory });
  const store = new RecordStore(storage);
  const verdict = { right: 0, wrong: 0, missing: 0, corrupt: 0 };
  for (let index = 0; index < count; index++) {
    const value = await store.get("objects", recordKey(index)).catch(corruptOnly);
    if (value === undefined) verdict.missing += 1;
    else if (value === "corrupt") verdict.corrupt += 1;
    else verdict[Buffer.compare(value, recordValue(index)) === 0 ? "right" : "wrong"] += 1;
  }
  const scan = { right: 0, wrong: 0, corrupt: 0, damaged: false };
  for (let from: Uint8Array | null = new Uint8Array(); from !== null;) {
    const page = await store.page("objects", { gte: from, limit: 100 });
    scan.damaged ||= page.damaged === true;
    for (const row of page.rows) {
      if ("corrupt" in row) scan.corrupt += 1;
      else scan[isRight(row.key, row.value) ? "right" : "wrong"] += 1;
    }
    from = page.next;
  }
  await store.close();
  return { setAside: storage.setAsideAs !== undefined, droppedLogBytes: storage.droppedLogBytes, ...verdict, scan };
}

function isRight(key: Uint8Array, value: Uint8Array): boolean {
  const index = Buffer.from(key).readUInt32BE(16);
  return Buffer.compare(key, recordKey(index)) === 0 && Buffer.compare(value, recordValue(index)) === 0;
}

function corruptOnly(error: unknown): "corrupt" {
  if (error instanceof StoreError && error.code === "corrupt") return "corrupt";
  throw error;
}

async function main(mode: string, directory: string, count: number): Promise<unknown> {
  if (mode === "write") return write(directory, count);
  if (mode === "check") return check(directory, count);
  const storage = await openClassicStorage({ directory });
  await storage.close();
  return { opened: true };
}

if (process.argv[1] === import.meta.filename) {
  const [mode = "open", directory = "", count = "0"] = process.argv.slice(2);
  try {
    writeSync(1, `${JSON.stringify(await main(mode, directory, Number(count)))}\n`);
  } catch (error: unknown) {
    if (!(error instanceof StorageError)) throw error;
    writeSync(1, `${JSON.stringify({ kind: error.kind, message: error.message })}\n`);
  }
}
