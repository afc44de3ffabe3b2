/**
 * The index against the truth: a scan of what is on the disk. Storage answers late and in steps, as a seed has it, so
 * that writes begin and end before, within and after the pages of a scan.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { compareBytes } from "../../core/bytes/compare.ts";
import type { NodeId } from "../../core/identity.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import {
  type HashThreads,
  type Page,
  type PageRequest,
  type Namespace,
  type Row,
  StorageError,
  type StorageOperation,
} from "../../core/ports.ts";
import { hashedPage } from "../../core/replica/hashed-page.ts";
import { MerkleIndex } from "../../core/replica/merkle-index.ts";
import type { Replica } from "../../core/replica/replica.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import type { RecordStore } from "../../core/storage/record-store.ts";
import { located, open, q, write } from "./one-replica.ts";

class SlowStorage extends MemoryStorage {
  /** How many turns of the event loop each step takes; then 0. */
  turns: number[] = [];
  /** 1: this batch fails and leaves nothing, 2: it fails, but is on the disk, 3: it will be with the next that does not. */
  failures: number[] = [];
  #late: StorageOperation[] = [];
  pages = 0;
  /** Of threads, where there are any; 1 page in `unable` of theirs is left to the scan itself. */
  lanes = 0;
  unable = Infinity;
  threadsEnded = 0;
  /** No page that comes upon one of these rows can be read. */
  unreadable: readonly Uint8Array[] = [];

  async hashThreads(): Promise<HashThreads | undefined> {
    if (this.lanes === 0) return undefined;
    const page = async (request: PageRequest) => {
      const read = await this.page("objects", request).catch(() => undefined);
      return read === undefined || this.pages % this.unable === 0 ? undefined : hashedPage(read);
    };
    return { lanes: this.lanes, page, end: async () => void (this.threadsEnded += 1) };
  }

  override async batch(operations: readonly StorageOperation[], durability: "synced" | "buffered"): Promise<void> {
    const failure = this.failures.shift() ?? 0;
    await this.#wait();
    if (failure === 0) await super.batch(this.#late.splice(0), durability);
    if (failure === 3) this.#late.push(...operations);
    else if (failure !== 1) await super.batch(operations, durability);
    await this.#wait();
    if (failure !== 0) throw new StorageError("io", "planned");
  }

  override async page(ns: Namespace, request: PageRequest): Promise<Page> {
    if (ns === "objects") this.pages += 1;
    await this.#wait();
    const page = await super.page(ns, { ...request, limit: Math.min(request.limit, 3) });
    await this.#wait();
    const isBad = ({ key }: Row): boolean => this.unreadable.some((row) => compareBytes(row, key) === 0);
    if (page.rows.some(isBad)) throw new StorageError("io", "planned");
    return page;
  }

  async #wait(): Promise<void> {
    for (let turns = this.turns.shift() ?? 0; turns > 0; turns--) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const always = { isStopped: () => false, throttle: async () => {} };

async function assertTrue(index: MerkleIndex, records: RecordStore): Promise<void> {
  const fresh = new MerkleIndex(records, q);
  await fresh.build(always);
  assert.equal(index.isBuilt, true);
  assert.equal(index.keys, fresh.keys);
  for (const partition of allPartitions(q)) {
    assert.deepEqual(index.trees.rootOf(partition), fresh.trees.rootOf(partition));
    assert.deepEqual(index.trees.leafHashes(partition), fresh.trees.leafHashes(partition));
    assert.equal(index.damagedIn(partition), fresh.damagedIn(partition));
  }
}

const plan = fc.record({
  before: fc.array(fc.nat({ max: 25 }), { maxLength: 30 }),
  during: fc.array(fc.record({ key: fc.nat({ max: 25 }), after: fc.nat({ max: 4 }) }), { maxLength: 30 }),
  turns: fc.array(fc.nat({ max: 4 }), { maxLength: 150 }),
  threads: fc.record({ lanes: fc.nat({ max: 3 }), unable: fc.constantFrom(Infinity, 3) }),
});

test("trees built while keys are written are those that a scan builds afterwards", async () => {
  await fc.assert(
    fc.asyncProperty(plan, async ({ before, during, turns, threads }) => {
      const storage = new SlowStorage();
      const first = open(storage);
      for (const key of before) await first.replica.write(located(key), write);
      const { replica, records } = open(storage);
      storage.turns = [...turns];
      Object.assign(storage, threads);
      const built = replica.index.build(always);
      await writeAll(replica, during);
      await built;
      await assertTrue(replica.index, records);
    }),
    { numRuns: 300 },
  );
});

async function writeAll(replica: Replica, during: readonly { key: number; after: number }[]): Promise<void> {
  const writes: Promise<unknown>[] = [];
  for (const { key, after } of during) {
    for (let turns = after; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    writes.push(replica.write(located(key), write).catch(expectPlanned));
  }
  await Promise.all(writes);
}

function expectPlanned(error: unknown): void {
  assert.match(String(error), /planned/);
}

test("after writes that failed, on the disk or not, the trees are those that a scan builds", async () => {
  await fc.assert(
    fc.asyncProperty(
      plan,
      fc.array(fc.nat({ max: 3 }), { maxLength: 20 }),
      async ({ before, during, turns, threads }, failures) => {
        const storage = new SlowStorage();
        const first = open(storage);
        for (const key of before) await first.replica.write(located(key), write);
        const { replica, records } = open(storage);
        storage.turns = [...turns];
        Object.assign(storage, threads);
        storage.failures = [...failures];
        const built = replica.index.build(always);
        await writeAll(replica, during);
        await built;
        await replica.index.build(always);
        await assertTrue(replica.index, records);
      },
    ),
    { numRuns: 300 },
  );
});

test("a damaged row is in no tree, its partition says so, and a healing state puts it back", async () => {
  const storage = new MemoryStorage();
  const first = open(storage);
  for (let key = 0; key < 20; key++) await first.replica.write(located(key), write);
  const target = located(7);
  const intact = (await storage.get("objects", target.row))!;
  await storage.batch(
    [{ kind: "put", ns: "objects", key: target.row, value: intact.with(3, intact[3]! ^ 1) }],
    "synced",
  );

  const { replica, records } = open(storage);
  const { index } = replica;
  await index.build(always);
  assert.equal(index.damagedIn(target.partition), 1);
  assert.equal(index.keys, 20);
  assert.notDeepEqual(index.trees.rootOf(target.partition), first.replica.index.trees.rootOf(target.partition));

  await replica.apply(target, intact.slice(0, -4), { heals: true });
  await index.build(always);
  assert.equal(index.damagedIn(target.partition), 0);
  await assertTrue(index, records);
});

test("a row is mended from memory while a scan of several partitions is at its last page: what is written meanwhile counts", async () => {
  const storage = new SlowStorage();
  const { replica, records } = open(storage);
  const { index } = replica;
  const rotten = located(1);
  const others = Array.from({ length: 20 }, (_, key) => located(key + 2));
  const written = others.find(({ partition }) => partition !== rotten.partition)!;
  for (const each of [rotten, written]) await replica.write(each, write);
  const value = (await storage.get("objects", rotten.row))!;
  value[3]! ^= 1;
  await storage.batch([{ kind: "put", ns: "objects", key: rotten.row, value }], "synced");
  const whole: boolean[] = [];
  const met = async (row: Uint8Array): Promise<void> => {
    assert.deepEqual(row, rotten.row);
    await replica.write(written, write);
    whole.push(await replica.noteDamaged(rotten, "met"));
  };
  await index.build({ ...always, met });
  assert.deepEqual(whole, [true]);
  assert.equal(index.keys, 2);
  assert.equal(index.damagedIn(rotten.partition), 0);
  await assertTrue(index, records);
});

test("the page behind one with a damaged row cannot be read, while the row is seen to: the scan says why", async () => {
  const storage = new SlowStorage();
  const first = open(storage);
  for (let key = 0; key < 20; key++) await first.replica.write(located(key), write);
  const { rows } = await storage.page("objects", { limit: 1 });
  const [{ key, value }] = rows as [Row];
  await storage.batch([{ kind: "put", ns: "objects", key, value: value.with(3, value[3]! ^ 1) }], "synced");
  storage.pages = 0;
  const read = storage.page.bind(storage);
  storage.page = async (ns, request) => {
    if (storage.pages > 0) throw new StorageError("closed", "planned");
    return read(ns, request);
  };
  const met = async (): Promise<void> => {
    storage.turns = [3];
    await read("meta", { limit: 1 });
  };
  await assert.rejects(open(storage).replica.index.build({ ...always, met }), /planned/);
});

test("a scan that is stopped ends, and what it has not reached is not sound", async () => {
  const storage = new SlowStorage();
  const first = open(storage);
  for (let key = 0; key < 50; key++) await first.replica.write(located(key), write);
  const { replica } = open(storage);
  let pages = 0;
  await replica.index.build({ isStopped: () => pages > 3, throttle: async () => void (pages += 1) });
  assert.equal(replica.index.isBuilt, false);
  assert.equal(replica.index.isSound(allPartitions(q)[0]!), true);
  assert.equal(replica.index.isSound(allPartitions(q).at(-1)!), false);
});

test("where one of the scans that run at once finds the disk closed, the others stop, the threads end, and it says why", async () => {
  const storage = new SlowStorage();
  const first = open(storage);
  for (let key = 0; key < 200; key++) await first.replica.write(located(key), write);
  const { index } = open(storage).replica;
  Object.assign(storage, { lanes: 4, unable: 10 });
  const read = storage.page.bind(storage);
  storage.page = async (ns, request) => {
    if (storage.pages >= 9) throw new StorageError("closed", "planned");
    return read(ns, request);
  };
  await assert.rejects(index.build(always), /planned/);
  assert.equal(storage.threadsEnded, 1);
  assert.equal(storage.pages, 9);
  storage.page = read;
  assert.ok((await index.build(always)) > 0);
  assert.equal(index.isBuilt, true);
  assert.equal(index.keys, 200);
});

test("where rows cannot be read their partitions stay unsound, all others are scanned, and they too once it can", async () => {
  const keys = fc.array(fc.nat({ max: 25 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(plan, keys, async ({ before, during, turns, threads }, unreadable) => {
      const storage = new SlowStorage();
      const first = open(storage);
      for (const key of before) await first.replica.write(located(key), write);
      const { replica, records } = open(storage);
      const { index } = replica;
      Object.assign(storage, { ...threads, turns: [...turns], unreadable: unreadable.map((key) => located(key).row) });
      const isWritten = (key: number): boolean => before.includes(key) || during.some((each) => each.key === key);
      const mayFail = new Set(unreadable.filter(isWritten).map((key) => located(key).partition));
      const fails = new Set(unreadable.filter((key) => before.includes(key)).map((key) => located(key).partition));
      const built = index.build(always);
      await writeAll(replica, during);
      const count = await built;
      assert.deepEqual(
        index.unsound,
        [...index.unread.keys()].toSorted((a, b) => a - b),
      );
      assert.equal(count, q - index.unsound.length);
      for (const each of index.unsound) assert.ok(mayFail.has(each), `partition ${each} can be read`);
      for (const each of fails) assert.equal(index.isSound(each), false);
      storage.unreadable = [];
      const fresh = new MerkleIndex(records, q);
      await fresh.build(always);
      for (const each of allPartitions(q).filter((partition) => index.isSound(partition)))
        assert.deepEqual(index.trees.leafHashes(each), fresh.trees.leafHashes(each));
      assert.equal(await index.build({ ...always, isDue: () => false }), 0);
      await index.build(always);
      await assertTrue(index, records);
    }),
    { numRuns: 300 },
  );
});

test("threads are not started for a few partitions that have to be scanned anew", async () => {
  const storage = new SlowStorage();
  const { replica } = open(storage);
  storage.lanes = 2;
  await replica.index.build(always);
  assert.equal(storage.threadsEnded, 1);
  replica.index.distrust(allPartitions(q)[3]!);
  assert.equal(await replica.index.build(always), 1);
  assert.equal(storage.threadsEnded, 1);
});

test("the keys of a leaf are those on the disk, whose hashes add up to the leaf's", async () => {
  const { replica } = open(new MemoryStorage());
  await replica.index.build(always);
  for (let key = 0; key < 100; key++) await replica.write(located(key), write);
  const { index } = replica;
  const rows = new Set<string>();
  for (let leaf = 0; leaf < index.trees.leafCount; leaf++) {
    for (const { row } of await index.entriesOf(leaf)) {
      assert.equal(index.trees.leafOf(row), leaf);
      rows.add(Buffer.from(row).toString("hex"));
    }
  }
  assert.equal(rows.size, 100);
});

test("listing a leaf that the scan has not reached does not have its partition scanned twice", async () => {
  const storage = new SlowStorage();
  const first = open(storage);
  for (let key = 0; key < 50; key++) await first.replica.write(located(key), write);
  const { index } = open(storage).replica;
  const throttle = async (): Promise<void> => {
    for (let key = 0; key < 50; key++) await index.entriesOf(index.trees.leafOf(located(key).row));
  };
  assert.equal(await index.build({ isStopped: () => false, throttle }), q);
  assert.equal(index.keys, 50);
});

test("a tree that is not what the disk has is found out when its leaf is listed, and built anew", async () => {
  const storage = new MemoryStorage();
  const { replica, records } = open(storage);
  await replica.index.build(always);
  for (let key = 0; key < 50; key++) await replica.write(located(key), write);
  const { row, partition } = located(3);
  await storage.batch([{ kind: "delete", ns: "objects", key: row }], "synced");
  await replica.index.entriesOf(replica.index.trees.leafOf(located(4).row));
  assert.equal(replica.index.isBuilt, true);
  await replica.index.entriesOf(replica.index.trees.leafOf(row));
  assert.equal(replica.index.isSound(partition), false);
  await replica.index.build(always);
  await assertTrue(replica.index, records);
});

test("hints are in no tree", async () => {
  const { replica } = open(new MemoryStorage());
  await replica.index.build(always);
  const { held } = await open(new MemoryStorage()).replica.write(located(1), write);
  await replica.keepHint(located(1), "h2" as NodeId, held.toBytes());
  assert.equal(replica.index.keys, 0);
});
