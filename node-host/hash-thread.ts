/**
 * A thread that reads pages of objects and hashes them, for the scan of a start (`hash-threads.ts`): each message is the request
 * of a page, or that it is to end.
 * Invariant: the LevelDB is open in the thread that started this one, until this one has ended.
 */
import { parentPort, workerData } from "node:worker_threads";
import { ClassicLevel } from "classic-level";
import type { PageRequest } from "../core/ports.ts";
import { hashedPage } from "../core/replica/hashed-page.ts";
import { sharedOptions } from "./classic-directory.ts";
import type { Database } from "./classic-format.ts";
import { readPage } from "./classic-page.ts";
import { packPage, type PackedPage } from "./packed-page.ts";

/** "end": no page is asked for after it. */
export type ToThread = { readonly id: number; readonly request: PageRequest } | "end";

/** Without a page: it could not be read here. */
export interface FromThread {
  readonly id: number;
  readonly page?: PackedPage;
}

const port = parentPort!;
const database: Database = new ClassicLevel(workerData as string, { ...sharedOptions, createIfMissing: false });
await database.open();
port.on("message", (message: ToThread) => void (message === "end" ? end() : answer(message)));

async function answer({ id, request }: Exclude<ToThread, "end">): Promise<void> {
  let page: PackedPage;
  try {
    page = packPage(hashedPage(await readPage(database, "objects", request)));
  } catch {
    // Who asked reads it without us, and meets the reason.
    return port.postMessage({ id } satisfies FromThread);
  }
  port.postMessage({ id, page } satisfies FromThread, [page.keys.buffer, page.rows.buffer]);
}

/** A page under way is not read to its end. */
async function end(): Promise<void> {
  await database.close();
  port.close();
}
