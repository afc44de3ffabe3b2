/**
 * What LevelDB's write-ahead logs have in memory goes to the disk.
 *
 * LevelDB's own sync is of the log that it writes now: when its buffer is full it begins another one, and lets go of the
 * former without a sync (`MakeRoomForWrite`). What stands at the end of that one is safe only when its table is written. So a
 * power cut in between could keep a batch that was synced, and take unsynced ones before it.
 */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./classic-errors.ts";

/** Oldest first: whatever is kept, nothing before it is missing. At most two are there, but for moments. */
export async function syncLogs(directory: string): Promise<void> {
  const names = (await readdir(directory)).filter((name) => /^\d+\.log$/.test(name));
  for (const name of names.toSorted((a, b) => parseInt(a) - parseInt(b))) await sync(join(directory, name));
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r+").catch((error: unknown) => {
    // LevelDB has deleted it since: its table is on the disk.
    if (codeOf(error) !== "ENOENT") throw error;
    return undefined;
  });
  if (file === undefined) return;
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
}
