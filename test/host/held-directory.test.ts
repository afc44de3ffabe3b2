/** A directory of the storage has one holder: one process, and one thread of it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, symlinkSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { hex, isKind, put, text } from "../conformance/storage.ts";
import { runChild } from "./storage-child.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const setAsideIn = (directory: string) =>
  readdirSync(join(directory, "..")).filter((name) => name.includes(".damaged-"));

test("a second process is refused as locked, told why, and the first goes on", { timeout: 60_000 }, async () => {
  const directory = temporaryDirectory();
  const storage = await openClassicStorage({ directory });
  for (let round = 0; round < 5; round++) {
    const answer = runChild("open", directory) as { kind: string; message: string };
    assert.equal(answer.kind, "locked");
    assert.ok(answer.message.includes(directory) && /another process/.test(answer.message), answer.message);
  }
  await assert.rejects(openClassicStorage({ directory }), isKind("locked"));
  await storage.batch([put(text("a"), text("1"))], "synced");
  await storage.close();
  assert.deepEqual(runChild("open", directory), { opened: true });
  assert.deepEqual(setAsideIn(directory), []);
});

test(
  "one thread of a process has it, whichever comes first, until it ends; no other process gets in meanwhile",
  { timeout: 60_000 },
  async () => {
    const directory = temporaryDirectory();
    const open = async (): Promise<{ readonly thread: Worker; readonly answer: string }> => {
      const thread = new Worker(new URL("./storage-thread.js", import.meta.url), { workerData: directory });
      const [answer] = (await once(thread, "message")) as [string];
      return { thread, answer };
    };
    const both = await Promise.all([open(), open()]);
    assert.deepEqual(both.map(({ answer }) => answer).toSorted(), ["locked", "opened"]);
    await assert.rejects(openClassicStorage({ directory }), isKind("locked"));
    if (process.platform === "linux") assert.equal((runChild("open", directory) as { kind: string }).kind, "locked");
    for (const { thread } of both) await thread.terminate();
    await (await openClassicStorage({ directory })).close();
    assert.deepEqual(setAsideIn(directory), []);
  },
);

test(
  "the process itself is refused too, by whatever name it calls the directory, and locks others out all the while",
  { timeout: 60_000 },
  async () => {
    const directory = temporaryDirectory();
    const link = `${directory}-link`;
    symlinkSync(directory, link);
    const storage = await openClassicStorage({ directory });
    for (const name of [
      directory,
      relative(process.cwd(), directory),
      `${directory}/../${basename(directory)}/`,
      link,
    ]) {
      await assert.rejects(openClassicStorage({ directory: name }), isKind("locked"), name);
      assert.equal((runChild("open", directory) as { kind: string }).kind, "locked", name);
    }
    await storage.batch([put(text("a"), text("1"))], "synced");
    await storage.close();

    const again = await openClassicStorage({ directory: link });
    await storage.close(); // closing twice gives up nothing of the next one
    await assert.rejects(openClassicStorage({ directory }), isKind("locked"));
    assert.equal(hex(await again.get("objects", text("a"))), hex(text("1")));
    await again.close();
  },
);
