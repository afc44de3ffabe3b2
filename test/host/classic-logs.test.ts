/** What a synced batch takes to the disk with it: LevelDB's logs, as they are asked to be synced. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { basename, join } from "node:path";
import { mock, test } from "node:test";
import { syncLogs } from "../../node-host/classic-logs.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { bytes, put } from "../conformance/storage.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** Calls `body` with the names of the logs that are opened to be synced, as they come. */
async function withOpened(body: (opened: string[]) => Promise<void>): Promise<void> {
  const opened: string[] = [];
  const open = fs.promises.open.bind(fs.promises);
  const spy = mock.method(fs.promises, "open", (path: string, flags: string) => {
    if (path.endsWith(".log")) opened.push(basename(path));
    return open(path, flags);
  });
  syncBuiltinESMExports();
  try {
    await body(opened);
  } finally {
    spy.mock.restore();
    syncBuiltinESMExports();
  }
}

test("a synced batch behind buffered ones syncs the log that LevelDB let go of, before the one that has the batch", () =>
  withOpened(async (opened) => {
    const mebibyte = 1024 * 1024;
    const storage = await openClassicStorage({ directory: temporaryDirectory(), headroomBytes: 16 * mebibyte });
    await storage.batch([put(bytes(1), bytes(1))], "synced");
    await storage.batch([put(bytes(2), bytes(1))], "buffered");
    assert.deepEqual(opened, [], "neither needs it");
    await storage.batch([put(bytes(3), bytes(1))], "synced");
    assert.equal(opened.splice(0).length, 1);
    await storage.batch([put(bytes(4), bytes(1))], "synced");
    assert.deepEqual(opened, [], "nothing was buffered in between");
    // Each fills the buffer, so the next batch begins a log; and the one before it goes as soon as its table is written.
    for (let tries = 0; opened.length < 2; tries++) {
      assert.ok(tries < 100, "the former log is never there any more");
      opened.length = 0;
      await storage.batch([put(bytes(5), new Uint8Array(mebibyte))], "buffered");
      await storage.batch([put(bytes(6), bytes(1))], "synced");
    }
    assert.deepEqual(
      opened,
      opened.toSorted((a, b) => parseInt(a) - parseInt(b)),
    );
    await storage.close();
  }));

test("logs are synced oldest first; one that goes meanwhile is not missed, and one that cannot be synced is told", () =>
  withOpened(async (opened) => {
    const directory = temporaryDirectory();
    fs.mkdirSync(directory, { recursive: true });
    for (const name of ["000010.log", "000009.log", "1000000.log", "000011.ldb", "LOG"])
      fs.writeFileSync(join(directory, name), "");
    fs.symlinkSync(join(directory, "gone"), join(directory, "000008.log"));
    await syncLogs(directory);
    assert.deepEqual(opened, ["000008.log", "000009.log", "000010.log", "1000000.log"]);
    fs.mkdirSync(join(directory, "000012.log"));
    await assert.rejects(syncLogs(directory), { code: "EISDIR" });
  }));
