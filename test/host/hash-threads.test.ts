/**
 * Trees whose pages threads read and hash, against those of a scan without threads, while all kinds of things befall the threads.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";
import type { Worker } from "node:worker_threads";
import { actorFromRandom } from "../../core/causality/actor.ts";
import { encodeVersioned } from "../../core/causality/encoding.ts";
import { mint, nothing, nothingSeen } from "../../core/causality/version-set.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import type { KeyRange } from "../../core/ports.ts";
import { hashedPage } from "../../core/replica/hashed-page.ts";
import { MerkleIndex } from "../../core/replica/merkle-index.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { type ClassicStorage, openClassicStorage } from "../../node-host/classic-storage.ts";
import { startHashThreads } from "../../node-host/hash-threads.ts";
import { located, open, q, write } from "../core/one-replica.ts";
import { endOfBlock } from "./table-blocks.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const keys = 20_000;
const threadsMax = Math.min(3, availableParallelism() - 1);
const always = { isStopped: () => false, throttle: async () => {} };

/** Of this process, those that have not ended. */
const threads = new Set<Worker>();
process.on("worker", (thread) => {
  threads.add(thread);
  thread.once("exit", () => threads.delete(thread));
});

/** A small store takes no threads: a file that LevelDB does not know makes it a large one. */
const ballast = "ballast";

const sound = temporaryDirectory();
before(async () => {
  const records = new RecordStore(await openClassicStorage({ directory: sound }));
  const actor = actorFromRandom(new Uint8Array(8));
  const value = { stamp: 1, kind: "opaque", tombstone: false, contentType: "", body: new Uint8Array(100) } as const;
  const rows = Array.from({ length: keys }, (_, key) => {
    const state = mint(nothing, nothingSeen, { ...value, dot: { actor, counter: key + 1 } });
    return { kind: "put", ns: "objects", key: located(key).row, value: encodeVersioned(state) } as const;
  });
  for (let at = 0; at < keys; at += 1_000) await records.commit(rows.slice(at, at + 1_000));
  await records.close();
  // The next opening turns the log into a table.
  await (await openClassicStorage({ directory: sound })).close();
  writeFileSync(join(sound, ballast), "");
  truncateSync(join(sound, ballast), 64 * 1024 * 1024);
});

function filled(): string {
  const directory = temporaryDirectory();
  cpSync(sound, directory, { recursive: true });
  return directory;
}

const endlessDisk = async () => ({ blocks: 2 ** 40, bavail: 2 ** 40, bsize: 1 });

/** The index as this thread alone builds it. */
async function builtHere(storage: ClassicStorage): Promise<MerkleIndex> {
  const inner = { page: storage.page.bind(storage) } as unknown as ClassicStorage;
  const index = new MerkleIndex(new RecordStore(inner), q);
  await index.build(always);
  return index;
}

function assertSame(index: MerkleIndex, other: MerkleIndex): void {
  assertSameTrees(index, other);
  assert.equal(index.keys, other.keys);
}

function assertSameTrees(index: MerkleIndex, other: MerkleIndex): void {
  assert.equal(index.isBuilt, true);
  for (const partition of allPartitions(q)) {
    assert.deepEqual(index.trees.leafHashes(partition), other.trees.leafHashes(partition));
  }
}

/** Every page of the objects, as `page` answers it. */
async function* pages<Page extends { readonly next: Uint8Array | null }>(
  page: (request: KeyRange & { readonly limit: number }) => Promise<Page>,
): AsyncGenerator<Page> {
  for (let gte: Uint8Array | null = new Uint8Array(); gte !== null;) {
    const read: Page = await page({ gte, limit: 500 });
    yield read;
    gte = read.next;
  }
}

describe("trees whose pages threads hash", { timeout: 120_000 }, () => {
  test("are the same, and the threads are gone when they are built", async () => {
    const storage = await openClassicStorage({ directory: filled() });
    const index = new MerkleIndex(new RecordStore(storage), q);
    let most = 0;
    await index.build({ isStopped: () => false, throttle: async () => void (most = Math.max(most, threads.size)) });
    assert.equal(most, threadsMax);
    assert.equal(threads.size, 0);
    assert.equal(index.keys, keys);
    assertSame(index, await builtHere(storage));
    await storage.close();
  });

  test("show the same damage: rows, and stretches that cannot be read", async () => {
    const directory = filled();
    const whole = await openClassicStorage({ directory, askDisk: endlessDisk });
    const { row } = located(7);
    const intact = (await whole.get("objects", row))!;
    await whole.batch([{ kind: "put", ns: "objects", key: row, value: intact.with(9, intact[9]! ^ 1) }], "synced");
    await whole.close();
    const tables = readdirSync(directory).filter((name) => name.endsWith(".ldb"));
    const table = join(directory, tables[Math.floor(tables.length / 2)]!);
    const content = readFileSync(table);
    const end = endOfBlock(content, content.length >> 2);
    writeFileSync(table, content.fill(0xff, end - 4, end));

    const storage = await openClassicStorage({ directory, askDisk: endlessDisk });
    const apart = (await storage.hashThreads())!;
    const told = { rows: 0, pages: 0 };
    const there = pages((request) => apart.page(request).then((page) => page!));
    for await (const here of pages((request) => storage.page("objects", request))) {
      const page = (await there.next()).value!;
      assert.deepEqual(page, hashedPage(here));
      told.rows += page.rows.filter(({ hash }) => hash === undefined).length;
      told.pages += Number(page.damaged);
    }
    assert.equal((await there.next()).done, true);
    await apart.end();
    assert.deepEqual(told, { rows: 1, pages: 1 });

    const index = new MerkleIndex(new RecordStore(storage), q);
    await index.build(always);
    const alone = await builtHere(storage);
    assertSameTrees(index, alone);
    assert.equal(index.damagedIn(located(7).partition), 1);
    // A page that lies in two partitions has both of them torn. The scans of threads begin with partitions, so fewer pages do.
    const torn = [index, alone].map((one) => allPartitions(q).filter((partition) => one.isTorn(partition)));
    assert.ok(torn[0]!.length > 0 && torn[0]!.every((partition) => torn[1]!.includes(partition)), String(torn));
    await storage.close();
  });

  test("are those of what is written meanwhile, also where the instance is exchanged after a failed write", async () => {
    const directory = filled();
    const storage = await openClassicStorage({ directory, askDisk: endlessDisk });
    await builtHere(storage); // has all tables open
    const { replica } = open(storage);
    const failures: unknown[] = [];
    const writes: Promise<unknown>[] = [];
    const written = (key: number, bodyBytes = 1): void => {
      const event = { ...write, value: { ...write.value, body: new Uint8Array(bodyBytes) } };
      writes.push(replica.write(located(key), event).catch((error: unknown) => failures.push(error)));
    };
    let taken = 0;
    const throttle = async (): Promise<void> => {
      taken += 1;
      for (let i = 0; i < 20; i++) written((taken * 997 + i * 131) % (keys + 500));
      if (taken !== 12) return;
      // Without a place for its next log LevelDB cannot write on.
      renameSync(directory, `${directory}-away`);
      for (let key = 0; key < 3; key++) written(key, 5_000_000);
      await Promise.all(writes);
      renameSync(`${directory}-away`, directory);
      assert.match(String(failures.at(-1)), /no such file/i);
      failures.length = 0;
    };
    await replica.index.build({ isStopped: () => false, throttle });
    await Promise.all(writes);
    assert.ok(taken > 40);
    assert.deepEqual(failures, []);
    assert.equal(threads.size, 0);
    await replica.index.build(always);
    assertSame(replica.index, await builtHere(storage));
    await storage.close();
  });

  for (const many of new Set([1, threadsMax])) {
    test(`are the same where ${many} of the threads die meanwhile`, async () => {
      const storage = await openClassicStorage({ directory: filled() });
      const index = new MerkleIndex(new RecordStore(storage), q);
      let taken = 0;
      const throttle = async (): Promise<void> => {
        taken += 1;
        // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
        if (taken === 8) for (const thread of [...threads].slice(0, many)) thread.postMessage("no request");
      };
      await index.build({ isStopped: () => false, throttle });
      assert.equal(threads.size, 0);
      assertSame(index, await builtHere(storage));
      await storage.close();
    });
  }

  test("end with the storage: it closes, and is there for the next who opens it", async () => {
    const directory = filled();
    for (const after of [0, 3, 10]) {
      const storage = await openClassicStorage({ directory });
      const index = new MerkleIndex(new RecordStore(storage), q);
      let taken = 0;
      const until = new Promise<void>((reached) => {
        const throttle = async (): Promise<void> => {
          if (taken++ === after) reached();
        };
        index
          .build({ isStopped: () => false, throttle })
          .catch((error: unknown) => assert.match(String(error), /closed/));
      });
      await until;
      await storage.close();
      assert.equal(threads.size, 0);
      await (await openClassicStorage({ directory })).close();
    }
  });
});

test("a small store takes no threads, nor does one that has some, or is closed", async () => {
  const directory = filled();
  const storage = await openClassicStorage({ directory });
  const first = (await storage.hashThreads())!;
  assert.equal(await storage.hashThreads(), undefined);
  await first.end();
  rmSync(join(directory, ballast));
  assert.equal(await storage.hashThreads(), undefined);
  await storage.close();
  assert.equal(await storage.hashThreads(), undefined);
});

test("threads that cannot start answer that they cannot, and end", async () => {
  const started = startHashThreads(temporaryDirectory())!;
  const asked = [1, 2, 3, 4].map((limit) => started.page({ limit }));
  assert.deepEqual(
    await Promise.all(asked),
    asked.map(() => undefined),
  );
  assert.equal(await started.page({ limit: 1 }), undefined);
  await started.end();
  await started.end();
  assert.equal(threads.size, 0);
});

test(
  "threads that are asked for nothing do not keep a process, whatever its options",
  { timeout: 60_000 },
  async () => {
    const module = JSON.stringify(new URL("../../node-host/classic-storage.js", import.meta.url));
    const program = `
    import { openClassicStorage } from ${module};
    const storage = await openClassicStorage({ directory: ${JSON.stringify(filled())} });
    const threads = await storage.hashThreads();
    const { rows } = await threads.page({ limit: 5 });
    console.log(rows.length);
  `;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program]);
    assert.equal(stdout, "5\n");
  },
);
