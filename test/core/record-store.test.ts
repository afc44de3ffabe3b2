import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { StoreError } from "../../core/errors.ts";
import type { Durability, Namespace, Storage, StorageOperation } from "../../core/ports.ts";
import { StorageError } from "../../core/ports.ts";
import type { CommitOptions } from "../../core/storage/commit-queue.ts";
import { MemoryStorage } from "../../core/storage/memory-storage.ts";
import { sealBytes } from "../../core/storage/record.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { bytes, del, hex, put, text } from "../conformance/storage.ts";
import { failsWith } from "../support/values.ts";
import { FaultyStorage } from "../support/faulty-storage.ts";
import { ManualClock } from "../support/manual-clock.ts";

interface Flush {
  readonly keys: readonly string[];
  readonly bytes: number;
  readonly durability: Durability;
  /** Lets the flush succeed, or fail with an error; resolves when its callers have been answered. */
  end(error?: Error): Promise<void>;
}

/** Memory whose flushes end when the test says so. */
class SlowStorage extends MemoryStorage {
  readonly flushes: Flush[] = [];

  override batch(operations: readonly StorageOperation[], durability: Durability): Promise<void> {
    return new Promise((resolve, reject) => {
      this.flushes.push({
        keys: operations.map(({ key }) => Buffer.from(key).toString()),
        bytes: operations.reduce((sum, now) => sum + now.key.length + (now.kind === "put" ? now.value.length : 0), 0),
        durability,
        end: async (error) => {
          if (error === undefined) resolve(super.batch(operations, durability));
          else reject(error);
          await microtasks();
        },
      });
    });
  }
}

const microtasks = () => new Promise((resolve) => setImmediate(resolve));

function slowStore(limits = {}) {
  const storage = new SlowStorage();
  const store = new RecordStore(storage, limits);
  const answered: string[] = [];
  const commit = (name: string, size = 1, options: CommitOptions = {}) =>
    store.commit([put(text(name), new Uint8Array(size))], options).then(
      () => void answered.push(name),
      () => void answered.push(`${name} failed`),
    );
  return { storage, store, answered, commit };
}

test("callers gather while a flush is under way, and the next flush takes them all in order", async () => {
  const { storage, answered, commit } = slowStore();
  const done = [commit("a")];
  await microtasks();
  done.push(commit("b"), commit("c"));
  await microtasks();
  done.push(commit("d"));
  assert.deepEqual(
    storage.flushes.map(({ keys }) => keys),
    [["a"]],
  );
  await storage.flushes[0]!.end();
  assert.deepEqual(answered, ["a"]);
  assert.deepEqual(storage.flushes[1]!.keys, ["b", "c", "d"]);
  await storage.flushes[1]!.end();
  await Promise.all(done);
  assert.deepEqual(answered, ["a", "b", "c", "d"]);
  assert.equal(storage.flushes.length, 2);
});

test("callers of one burst share the first flush", async () => {
  const { storage, commit } = slowStore();
  for (const name of ["a", "b", "c"]) void commit(name);
  await microtasks();
  assert.deepEqual(storage.flushes[0]!.keys, ["a", "b", "c"]);
});

test("a failing batch rejects its own callers and no others", async () => {
  const { storage, answered, commit } = slowStore();
  void commit("a");
  await microtasks();
  void commit("b");
  void commit("c");
  await storage.flushes[0]!.end();
  void commit("d");
  await storage.flushes[1]!.end(new StorageError("io", "planted"));
  await storage.flushes[2]!.end();
  assert.deepEqual(answered, ["a", "b failed", "c failed", "d"]);
});

test("what a batch that the disk may have all the same was to delete is not said to be unwritten, though it is refused then", async () => {
  const { storage, store, commit } = slowStore();
  const deleting = assert.rejects(store.commit([del(text("b"))]), (error: StoreError) => {
    assert.deepEqual([error.code, error.detail.nothingWritten], ["storage-full", undefined]);
    return true;
  });
  const done = [commit("a"), deleting];
  await microtasks();
  // It runs into the end of the disk, and keeps room free from then on.
  await storage.flushes[0]!.end(new StorageError("full", "planned"));
  await storage.flushes[1]!.end(new StorageError("full", "planned", { nothingWritten: true }));
  await Promise.all(done);
});

test("a full disk takes the deletes of a flush, and rows of its host, though it refuses the puts in it", async () => {
  const { storage, store, answered, commit } = slowStore();
  const deleting = store
    .commit([del(text("b")), put(text("c"), bytes(), "meta")])
    .then(() => void answered.push("done"));
  const done = [commit("a"), deleting, commit("d")];
  await microtasks();
  await storage.flushes[0]!.end(new StorageError("full", "planned"));
  assert.deepEqual(answered, ["a failed", "d failed"]);
  await storage.flushes[1]!.end();
  await Promise.all(done);
  assert.deepEqual(
    storage.flushes.map(({ keys }) => keys),
    [
      ["b", "c", "a", "d"],
      ["b", "c"],
    ],
  );
  assert.equal(store.waitingBytes, 0);
});

test("a flush takes at most its bytes and operations, and one larger caller goes alone", async () => {
  const { storage, store, commit } = slowStore({ flushBytesMax: 100, flushOperationsMax: 3 });
  void commit("a", 200);
  for (const name of ["b", "c", "d", "e"]) void commit(name, 1);
  void commit("f", 60);
  void commit("g", 60);
  void store.commit(["h1", "h2", "h3", "h4", "h5"].map((name) => put(text(name), bytes())));
  for (let at = 0; at < 5; at++) {
    await microtasks();
    await storage.flushes[at]!.end();
  }
  assert.deepEqual(
    storage.flushes.map(({ keys }) => keys.join("")),
    ["a", "bcd", "ef", "g", "h1h2h3h4h5"],
  );
});

test("one caller's operations lie in one batch, and callers keep their order (property)", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 80 }),
      async (sizes, flushOperationsMax, waitingBytesMax) => {
        const { storage, store } = slowStore({ flushOperationsMax, waitingBytesMax });
        const callers = sizes.map((size, caller) => Array.from({ length: size }, (_, at) => `${caller}.${at}`));
        const done = Promise.all(callers.map((keys) => store.commit(keys.map((key) => put(text(key), text(key))))));
        for (let at = 0; ; at++) {
          await microtasks();
          if (storage.flushes[at] === undefined) break;
          await storage.flushes[at]!.end();
        }
        await done;
        assert.deepEqual(
          storage.flushes.flatMap(({ keys }) => keys),
          callers.flat(),
        );
        for (const keys of callers) {
          const holders = storage.flushes.filter((flush) => keys.some((key) => flush.keys.includes(key)));
          assert.ok(holders.length <= 1, "a caller's operations were divided");
        }
      },
    ),
    { numRuns: 100 },
  );
});

test("a flush is as durable as its strictest caller asks", async () => {
  const { storage, commit } = slowStore();
  void commit("a", 1, { durability: "buffered" });
  await microtasks();
  void commit("b", 1, { durability: "buffered" });
  void commit("c");
  await storage.flushes[0]!.end();
  await storage.flushes[1]!.end();
  assert.deepEqual(
    storage.flushes.map(({ durability }) => durability),
    ["buffered", "synced"],
  );
});

test("above its bytes the queue makes callers wait; none fails and the order stays", async () => {
  const { storage, store, answered, commit } = slowStore({ waitingBytesMax: 1_000, flushBytesMax: 500 });
  const names = Array.from({ length: 50 }, (_, at) => `key-${at}`);
  const done = names.map((name) => commit(name, 100));
  for (let at = 0; answered.length < names.length; at++) {
    assert.ok(store.waitingBytes <= 1_000, `${store.waitingBytes} bytes are waiting`);
    await microtasks();
    await storage.flushes[at]!.end();
  }
  await Promise.all(done);
  assert.deepEqual(answered, names);
  assert.equal(store.waitingBytes, 0);
});

test("a caller larger than the queue's limit is served when its turn comes", async () => {
  const store = new RecordStore(new MemoryStorage(), { waitingBytesMax: 10 });
  const large = new Uint8Array(1_000).fill(7);
  await Promise.all([store.commit([put(text("a"), bytes(1))]), store.commit([put(text("b"), large)])]);
  assert.equal(hex(await store.get("objects", text("b"))), hex(large));
});

const patient: CommitOptions = { isPatient: true };

test("a patient commit goes with the next flush of others, in the order of the calls", async () => {
  const { storage, answered, commit } = slowStore({ clock: new ManualClock() });
  void commit("a");
  await microtasks();
  void commit("b", 1, patient);
  await storage.flushes[0]!.end();
  assert.equal(storage.flushes.length, 1, "nobody waits for b");
  void commit("c");
  void commit("d", 1, patient);
  await microtasks();
  await storage.flushes[1]!.end();
  assert.deepEqual(storage.flushes[1]!.keys, ["b", "c", "d"]);
  assert.deepEqual(answered, ["a", "b", "c", "d"]);
});

test("patience ends: a commit that found no company goes alone, and so do those of a store that nobody else writes to", async () => {
  const clock = new ManualClock();
  const { storage, commit } = slowStore({ clock, patienceMs: 25 });
  void commit("alone", 1, patient);
  await microtasks();
  assert.deepEqual(storage.flushes[0]!.keys, ["alone"]);
  void commit("urgent");
  await storage.flushes[0]!.end();
  await storage.flushes[1]!.end();
  void commit("a", 1, patient);
  await clock.advance(20);
  void commit("b", 1, patient);
  assert.equal(storage.flushes.length, 2);
  await clock.advance(5);
  assert.deepEqual(storage.flushes[2]!.keys, ["a", "b"]);
  await storage.flushes[2]!.end();
  await clock.advance(100);
  void commit("c", 1, patient);
  await microtasks();
  assert.deepEqual(storage.flushes[3]!.keys, ["c"], "the others have stopped writing");
});

test("patient commits that fill a flush make one, and close waits for no company", async () => {
  const { storage, store, answered, commit } = slowStore({ clock: new ManualClock(), flushBytesMax: 100 });
  void commit("urgent");
  await microtasks();
  await storage.flushes[0]!.end();
  void commit("a", 60, patient);
  await microtasks();
  assert.equal(storage.flushes.length, 1);
  void commit("b", 60, patient);
  await microtasks();
  assert.deepEqual(storage.flushes[1]!.keys, ["a"]);
  await storage.flushes[1]!.end();
  const closed = store.close();
  await microtasks();
  await storage.flushes[2]!.end();
  await closed;
  assert.deepEqual(answered, ["urgent", "a", "b"]);
});

test("close flushes what was accepted, refuses what comes later, and closes the storage", async () => {
  const { storage, store, answered, commit } = slowStore();
  void commit("a");
  const closed = store.close();
  await assert.rejects(store.commit([put(text("late"), bytes())]), failsWith("closed"));
  await microtasks();
  await storage.flushes[0]!.end();
  await closed;
  assert.deepEqual(answered, ["a"]);
  await assert.rejects(store.get("objects", text("a")), failsWith("closed"));
});

/** Writes one record through the store and gives the raw bytes that storage holds. */
async function oneRecord(ns: Namespace, key: Uint8Array, value: Uint8Array) {
  const storage: Storage = new MemoryStorage();
  const store = new RecordStore(storage);
  await store.commit([put(key, value, ns)]);
  const stored = await storage.get(ns, key);
  assert.ok(stored !== undefined);
  assert.equal(stored.length, value.length + sealBytes);
  return { storage, store, stored };
}

test("each flipped bit of a stored record is found, and named by namespace and key", async () => {
  const key = bytes(0xab, 0xcd);
  const value = text("fourteen bytes");
  const { storage, store, stored } = await oneRecord("hints", key, value);
  for (let bit = 0; bit < stored.length * 8; bit++) {
    await storage.batch([put(key, flip(stored, bit), "hints")], "synced");
    await assert.rejects(store.get("hints", key), (error: unknown) => {
      return failsWith("corrupt")(error) && /hints.*abcd/.test((error as Error).message);
    });
  }
  await storage.batch([put(key, stored, "hints")], "synced");
  assert.equal(hex(await store.get("hints", key)), hex(value));
});

test("a record that turns up under another key or namespace is corrupt, and so is one cut short", async () => {
  const key = text("key");
  const { storage, store, stored } = await oneRecord("objects", key, text("value"));
  for (let bit = 0; bit < key.length * 8; bit++) {
    await storage.batch([put(flip(key, bit), stored)], "synced");
    await assert.rejects(store.get("objects", flip(key, bit)), failsWith("corrupt"));
  }
  await storage.batch([put(key, stored, "meta")], "synced");
  await assert.rejects(store.get("meta", key), failsWith("corrupt"));
  for (let length = 0; length < stored.length; length++) {
    await storage.batch([put(key, stored.slice(0, length))], "synced");
    await assert.rejects(store.get("objects", key), failsWith("corrupt"));
  }
});

test("one damaged record hides no other: getMany and page go on over it", async () => {
  const { storage, store, stored } = await oneRecord("objects", text("b"), text("2"));
  await store.commit([put(text("a"), text("1")), put(text("c"), text("3")), del(text("d"))]);
  await storage.batch([put(text("b"), flip(stored, 3))], "synced");
  const values = await store.getMany("objects", [text("a"), text("b"), text("c"), text("d")]);
  assert.deepEqual(
    values.map((value) => (value === "corrupt" ? value : hex(value))),
    [hex(text("1")), "corrupt", hex(text("3")), undefined],
  );
  const page = await store.page("objects", { limit: 10 });
  assert.deepEqual(
    page.rows.map((row) => ("corrupt" in row ? "corrupt" : hex(row.value))),
    [hex(text("1")), "corrupt", hex(text("3"))],
  );
});

test("where the engine itself cannot read a record, that record is corrupt and the others are read", async () => {
  class Unreadable extends MemoryStorage {
    override async get(ns: Namespace, key: Uint8Array) {
      if (key[0] === 1) throw new StorageError("corrupt", "planted");
      return super.get(ns, key);
    }
    override async getMany(): Promise<never> {
      throw new StorageError("corrupt", "planted");
    }
  }
  const store = new RecordStore(new Unreadable());
  await store.commit([put(bytes(0), text("a")), put(bytes(1), text("b"))]);
  await assert.rejects(store.get("objects", bytes(1)), failsWith("corrupt"));
  const [first, second] = await store.getMany("objects", [bytes(0), bytes(1)]);
  assert.equal(hex(first as Uint8Array), hex(text("a")));
  assert.equal(second, "corrupt");
});

test("nothing that an engine refuses leaves the store but as one of its own errors: a failed read did nothing", async () => {
  const disk = new FaultyStorage(new MemoryStorage());
  const store = new RecordStore(disk);
  const key = text("key");
  const reads = [
    () => store.get("objects", key),
    () => store.getMany("objects", [key]),
    () => store.page("objects", { limit: 1 }),
  ];
  for (const [kind, code] of [
    ["io", "not-ready"],
    ["closed", "closed"],
  ] as const) {
    disk.refusesReads = kind;
    for (const read of reads) await assert.rejects(read(), failsWith(code));
  }
  for (const [kind, code] of [
    ["full", "storage-full"],
    ["closed", "closed"],
    ["io", "internal"],
    ["corrupt", "internal"],
  ] as const) {
    disk.refusesWrites = kind;
    await assert.rejects(store.commit([put(key, text("value"))]), failsWith(code));
  }
});

test("values and keys of 0 and of many bytes come back through the store in their own plain arrays", async () => {
  const store = new RecordStore(new MemoryStorage());
  const large = new Uint8Array(1024 * 1024).fill(3);
  await store.commit([put(bytes(), bytes()), put(text("large"), large)]);
  assert.equal((await store.get("objects", bytes()))?.length, 0);
  const read = await store.get("objects", text("large"));
  assert.equal(read?.constructor, Uint8Array);
  assert.ok(Buffer.compare(read, large) === 0);
});

function flip(source: Uint8Array, bit: number): Uint8Array {
  const flipped = Uint8Array.from(source);
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}
