/**
 * What happens to the files from outside: other processes, kill -9, damage, a full disk.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { ClassicLevel } from "classic-level";
import fc from "fast-check";
import { RecordStore } from "../../core/storage/record-store.ts";
import { damagedTables } from "../../node-host/classic-tables.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { bytes, del, hex, isKind, put, text } from "../conformance/storage.ts";
import type { Verdict } from "./storage-child.ts";
import { check, childFile, recordBatch, recordKey, runChild } from "./storage-child.ts";
import { endOfBlock } from "./table-blocks.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const isDamagedName = (name: string) => name.includes(".damaged-");
const setAsideIn = (directory: string) => readdirSync(join(directory, "..")).filter(isDamagedName);

describe("kill -9", { timeout: 60_000 }, () => {
  test("kill -9 during writes loses no acknowledged batch and divides none", async () => {
    const directory = temporaryDirectory();
    let from = 0;
    const acknowledged: number[] = [];
    for (let round = 0; round < 5; round++) {
      const writer = spawn(process.execPath, [childFile, "write", directory, String(from)], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const lines = createInterface({ input: writer.stdout });
      const stopAt = acknowledged.length + 100 + round * 150;
      lines.on("line", (line) => {
        acknowledged.push(Number(line));
        if (acknowledged.length === stopAt) writer.kill("SIGKILL");
      });
      await once(lines, "close");
      from = Math.max(...acknowledged) + 100;
    }
    const store = new RecordStore(await openClassicStorage({ directory }));
    for (let index = 0; index < from; index++) {
      const found = await store.getMany(
        "objects",
        recordBatch(index).map(({ key }) => key),
      );
      const present = found.filter((value) => value !== undefined).length;
      assert.ok(present === 0 || present === 3, `batch ${index} was divided`);
      recordBatch(index).forEach(({ value }, at) => {
        if (present > 0) assert.equal(hex(found[at] as Uint8Array), hex(value));
      });
    }
    for (const index of acknowledged) assert.notEqual(await store.get("objects", recordKey(index * 3)), undefined);
    await store.close();
    assert.deepEqual(setAsideIn(directory), [], "being killed is no damage");
  });
});

describe("a directory of another format", { timeout: 60_000 }, () => {
  test("of a newer version is refused as version, naming both versions, and left as it was", async () => {
    const directory = temporaryDirectory();
    await (await openClassicStorage({ directory })).close();
    const level = new ClassicLevel(directory);
    await level.put("\0format", "2");
    await level.close();
    await assert.rejects(openClassicStorage({ directory }), (error: unknown) => {
      return isKind("version")(error) && /format 2.*knows 1/.test((error as Error).message);
    });
    await assert.rejects(openClassicStorage({ directory }), isKind("version"));
    assert.deepEqual(setAsideIn(directory), []);
  });

  test("of another program is refused as version", async () => {
    const directory = temporaryDirectory();
    const level = new ClassicLevel(directory);
    await level.put("theirs", "value");
    await level.close();
    await assert.rejects(openClassicStorage({ directory }), isKind("version"));
  });
});

describe("damaged files", { timeout: 60_000 }, () => {
  const sound = temporaryDirectory();
  const batches = 100;
  before(async () => {
    const store = new RecordStore(await openClassicStorage({ directory: sound }));
    for (let index = 0; index < batches; index++) await store.commit(recordBatch(index));
    await store.close();
    // The next opening turns the log into a table.
    await (await openClassicStorage({ directory: sound })).close();
  });

  /** A copy of the sound directory in which one file has been changed. */
  function damaged(isVictim: (name: string) => boolean, change: (content: Buffer) => Buffer | undefined): string {
    const directory = temporaryDirectory();
    cpSync(sound, directory, { recursive: true });
    const victim = join(directory, readdirSync(directory).find(isVictim)!);
    const content = change(readFileSync(victim));
    if (content === undefined) rmSync(victim);
    else writeFileSync(victim, content);
    return directory;
  }
  const isTable = (name: string) => name.endsWith(".ldb");
  const flip = (at: number) => (content: Buffer) => {
    const bit = at % (content.length * 8);
    content[bit >> 3]! ^= 1 << (bit & 7);
    return content;
  };

  test("a flipped bit in a table is never returned as a value, costs few records, and its file is named", async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (bit) => {
        const directory = damaged(isTable, flip(bit));
        const named = await damagedTables(directory);
        const found = runChild("check", directory, String(batches * 3)) as Verdict | undefined;
        rmSync(directory, { recursive: true });
        // LevelDB may abort on a damaged length: no value either.
        if (found === undefined) return assert.equal(named.length, 1);
        assert.equal(found.wrong + found.scan.wrong, 0);
        if (found.right < batches * 3) assert.equal(named.length, 1, "damage that costs a record is named");
      }),
      { numRuns: 12 },
    );
  });

  test("a record whose value was flipped is corrupt by name, and all others are read", async () => {
    const needle = Buffer.from("77|");
    const directory = damaged(isTable, (content) => flip((content.indexOf(needle) + 50) * 8)(content));
    const found = await check(directory, batches * 3);
    assert.deepEqual({ right: found.right, corrupt: found.corrupt }, { right: batches * 3 - 1, corrupt: 1 });
    assert.deepEqual(found.scan, { right: batches * 3 - 1, wrong: 0, corrupt: 1, damaged: false });
  });

  test("a block that LevelDB cannot decode: its records are corrupt by name, scans say damaged and give the others", async () => {
    const firstBlock = { bytes: 0 };
    const directory = damaged(isTable, (content) => {
      firstBlock.bytes = endOfBlock(content, 0);
      return content.fill(0xff, firstBlock.bytes - 4, firstBlock.bytes);
    });
    const found = await check(directory, batches * 3);
    assert.ok(
      found.corrupt > 5 && found.corrupt < 40,
      `${found.corrupt} records lay in a block of ${firstBlock.bytes} bytes`,
    );
    assert.equal(found.right, batches * 3 - found.corrupt);
    assert.deepEqual(found.scan, { right: found.right, wrong: 0, corrupt: 0, damaged: true });
    const store = new RecordStore(await openClassicStorage({ directory }));
    const keys = Array.from({ length: batches * 3 }, (_, at) => recordKey(at));
    const values = await store.getMany("objects", keys);
    assert.equal(values.filter((value) => value === "corrupt").length, found.corrupt);
    const backwards = await store.page("objects", { limit: 1_000, reverse: true, maxBytes: 10_000_000 });
    assert.deepEqual([backwards.rows.length, backwards.damaged], [found.right, true]);
    await store.close();
  });

  test("a block that cannot be compacted fails writes: told, and set aside at the next start", async () => {
    const directory = damaged(isTable, (content) => {
      const bytes = endOfBlock(content, 0);
      return content.fill(0xff, bytes - 4, bytes);
    });
    const storage = await openClassicStorage({ directory });
    const filling = async (): Promise<void> => {
      const values = Array.from({ length: 50 }, (_, at) => put(recordKey(at * 6), randomBytes(20_000)));
      for (let batch = 0; batch < 400; batch++) await storage.batch(values, "buffered");
    };
    await assert.rejects(filling(), (error) => isKind("corrupt")(error) && /restart/.test((error as Error).message));
    await storage.close();
    const again = await openClassicStorage({ directory });
    assert.ok(again.setAsideAs !== undefined);
    await again.close();
  });

  test("a flipped byte in the log is reported, since acknowledged writes may be gone", async () => {
    const directory = temporaryDirectory();
    const store = new RecordStore(await openClassicStorage({ directory }));
    for (let index = 0; index < batches; index++) await store.commit(recordBatch(index));
    await store.close();
    const log = join(
      directory,
      readdirSync(directory).find((name) => name.endsWith(".log"))!,
    );
    writeFileSync(log, flip(20_000 * 8)(readFileSync(log)));
    // As a crash right after the opening leaves it, and one in the middle of the next.
    const first = await openClassicStorage({ directory });
    const crashed = temporaryDirectory();
    cpSync(directory, crashed, { recursive: true });
    await first.close();
    const second = await openClassicStorage({ directory: crashed });
    assert.deepEqual([first.droppedLogBytes > 0, second.droppedLogBytes], [true, first.droppedLogBytes]);
    await second.close();
    const found = await check(crashed, batches * 3);
    assert.equal(found.droppedLogBytes, 0, "it ended well, so the host knows");
    assert.ok(found.missing > 0);
    assert.equal(found.wrong + found.scan.wrong, 0);
  });

  for (const [what, isVictim, change] of [
    ["a damaged manifest", (name) => name.startsWith("MANIFEST"), flip(100)],
    ["a missing table", isTable, () => undefined],
    ["a missing CURRENT", (name) => name === "CURRENT", () => undefined],
    ["a CURRENT that names another file", (name) => name === "CURRENT", flip(8 * 14)],
  ] satisfies [string, (name: string) => boolean, (content: Buffer) => Buffer | undefined][]) {
    test(`${what}: the directory is set aside whole, an empty store is opened, and the caller is told`, async () => {
      const directory = damaged(isVictim, change);
      const files = readdirSync(directory).filter(isTable);
      const storage = await openClassicStorage({ directory });
      assert.ok(storage.setAsideAs !== undefined && existsSync(storage.setAsideAs));
      assert.ok(storage.setAsideAs.startsWith(`${directory}.damaged-`));
      assert.deepEqual(readdirSync(storage.setAsideAs).filter(isTable), files);
      assert.deepEqual((await storage.page("objects", { limit: 10 })).rows, []);
      await storage.batch([put(text("new"), text("life"))], "synced");
      await storage.close();
      const again = await openClassicStorage({ directory });
      assert.equal(again.setAsideAs, undefined);
      await again.close();
    });
  }

  test("a table on which LevelDB aborts is found after two crashes, and set aside at the third start", () => {
    const directory = damaged(isTable, (content) => content.fill(0, 4_096, 12_288));
    const starts = [1, 2, 3].map(() => runChild("check", directory, String(batches * 3)) as Verdict | undefined);
    assert.deepEqual(
      starts.map((found) => found?.setAside),
      [undefined, undefined, true],
    );
  });

  test("a table that was being written when the process was killed is no damage: nothing is set aside or lost", async () => {
    for (const partBytes of [0, 40, 5_000]) {
      const directory = temporaryDirectory();
      cpSync(sound, directory, { recursive: true });
      const [table] = readdirSync(directory).filter(isTable);
      writeFileSync(join(directory, "987654.ldb"), readFileSync(join(directory, table!)).subarray(0, partBytes));
      writeFileSync(join(directory, "unfinished"), "0 2");
      const storage = await openClassicStorage({ directory });
      assert.equal(storage.setAsideAs, undefined, `${partBytes} bytes were written`);
      assert.ok((await storage.page("objects", { limit: 1 })).rows.length > 0);
      await storage.close();
    }
  });

  test("after five openings that did not end, the directory is given up; openings that were refused do not count", async () => {
    const directory = temporaryDirectory();
    cpSync(sound, directory, { recursive: true });
    writeFileSync(join(directory, "unfinished"), "4 1");
    const second = await openClassicStorage({ directory });
    assert.equal(second.setAsideAs, undefined);
    await second.close();
    writeFileSync(join(directory, "unfinished"), "5 5");
    const third = await openClassicStorage({ directory });
    assert.ok(third.setAsideAs !== undefined);
    await third.close();
  });

  test("a directory in use is not set aside, however many crashes are on record", async () => {
    const directory = temporaryDirectory();
    const storage = await openClassicStorage({ directory });
    writeFileSync(join(directory, "unfinished"), "9 9");
    assert.equal((runChild("open", directory) as { kind: string }).kind, "locked");
    await storage.batch([put(text("a"), text("1"))], "synced");
    await storage.close();
    assert.deepEqual(setAsideIn(directory), []);
  });
});

describe("a full disk", { timeout: 60_000 }, () => {
  const mebibyte = 1024 * 1024;

  async function onDisk(freeMebibytes: number) {
    const disk = { free: freeMebibytes * mebibyte, asked: 0 };
    const askDisk = async () => {
      disk.asked += 1;
      return { blocks: 40 * mebibyte, bavail: disk.free, bsize: 1 };
    };
    const directory = temporaryDirectory();
    return { disk, directory, storage: await openClassicStorage({ directory, headroomBytes: 16 * mebibyte, askDisk }) };
  }
  const kilobyte = new Uint8Array(1_000);
  const succeeded = [() => true, () => false] as const;

  test("puts are refused as full before the headroom is touched, deletes and reads go on, and puts resume", async () => {
    const { disk, storage } = await onDisk(17);
    const key = (at: number) => bytes(at >> 8, at & 255);
    let at = 0;
    await assert.rejects(async () => {
      while (at < 5_000) {
        await storage.batch([put(key(at++), kilobyte)], "buffered");
        disk.free -= kilobyte.length;
      }
    }, isKind("full"));
    // Between two looks at the disk its own writes are counted; a look in between counts some of them twice.
    assert.ok(at > 450 && at <= 1_050, `${at} puts of 1 kB fitted into 1 MiB above the headroom`);
    assert.equal((await storage.get("objects", key(0)))?.length, 1_000);
    await storage.batch([del(key(0))], "synced");
    disk.free = 20 * mebibyte;
    // What was seen is at most 200 ms old.
    while (!(await storage.batch([put(key(0), kilobyte)], "synced").then(...succeeded))) await pause(20);
    await storage.close();
  });

  test("rows of its host go into the headroom, as deletes do, but for its last quarter", async () => {
    const { disk, storage } = await onDisk(15);
    const row = put(text("roster"), kilobyte, "meta");
    await assert.rejects(storage.batch([put(text("a"), kilobyte)], "synced"), isKind("full"));
    await assert.rejects(storage.batch([row, put(text("a"), kilobyte)], "synced"), isKind("full"));
    await storage.batch([row, del(text("a"))], "synced");
    disk.free = 3 * mebibyte;
    while (await storage.batch([row], "synced").then(...succeeded)) await pause(20); // what was seen is at most 200 ms old
    await assert.rejects(storage.batch([del(text("a"))], "synced"), isKind("full"));
    await storage.close();
  });

  test("free space is asked for rarely, not for every put", async () => {
    const { disk, storage } = await onDisk(39);
    for (let at = 0; at < 500; at++) await storage.batch([put(bytes(at & 255), bytes(1))], "buffered");
    assert.ok(disk.asked < 50, `asked ${disk.asked} times`);
    await storage.close();
  });

  test("after a failed write nothing more reaches the instance: it is reopened, and what was acknowledged is there", async () => {
    const directory = temporaryDirectory();
    const storage = await openClassicStorage({ directory });
    await storage.batch([put(text("before"), text("1"))], "synced");
    // The log can not be continued in a directory that is gone; LevelDB notices when it starts the next file.
    const elsewhere = `${directory}.moved`;
    cpSync(directory, elsewhere, { recursive: true });
    rmSync(directory, { recursive: true });
    const large = new Uint8Array(mebibyte);
    await assert.rejects(async () => {
      for (let at = 0; at < 20; at++) await storage.batch([put(bytes(at), large)], "synced");
    }, isKind("io"));
    assert.equal(hex(await storage.get("objects", text("before"))), hex(text("1")), "reads go on");
    await assert.rejects(storage.batch([put(text("after"), text("2"))], "synced"), isKind("io"));
    assert.equal(existsSync(directory), false, "a vanished directory is not replaced by an empty one");
    cpSync(elsewhere, directory, { recursive: true });
    await storage.batch([put(text("after"), text("2"))], "synced");
    assert.equal(hex(await storage.get("objects", text("before"))), hex(text("1")));
    assert.equal(hex(await storage.get("objects", text("after"))), hex(text("2")));
    await storage.close();
    const again = await openClassicStorage({ directory });
    assert.equal(hex(await again.get("objects", text("after"))), hex(text("2")));
    await again.close();
  });
});
