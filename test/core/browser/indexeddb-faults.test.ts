/** What a browser may do to a store that is open, and older browsers. */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { forceCloseDatabase } from "fake-indexeddb";
import { openIndexedDbStorage, type IndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { isRefused } from "../../../core/browser/page-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { hex, isKind, put, text } from "../../conformance/storage.ts";
import { storageConformance } from "../../conformance/storage-tests.ts";
import { eventually } from "../../support/eventually.ts";
import { installFakeIndexedDb } from "../../support/fake-indexeddb.ts";

installFakeIndexedDb();

let stores = 0;
const estimate = async () => ({ usage: 4_096, quota: 1_000_000 });

describe("in a browser without getAllRecords", () => {
  const prototype = IDBObjectStore.prototype as unknown as Record<string, unknown>;
  const { getAllRecords } = prototype;
  before(() => void delete prototype["getAllRecords"]);
  after(() => Object.assign(prototype, { getAllRecords }));

  storageConformance("an older IndexedDbStorage", async () => ({
    storage: await openIndexedDbStorage({ name: `older ${stores++}`, estimate }),
  }));
});

describe("IndexedDbStorage", () => {
  const open = IDBFactory.prototype.open.bind(indexedDB);
  let connections: IDBDatabase[];
  let storage: IndexedDbStorage;
  let name: string;
  beforeEach(async () => {
    connections = [];
    name = `faulty ${stores++}`;
    indexedDB.open = (...args) => {
      const request = open(...args);
      const isOfStore = args[0] === `everwrite/${name}`;
      if (isOfStore) request.addEventListener("success", () => connections.push(request.result));
      return request;
    };
    storage = await openIndexedDbStorage({ name, estimate });
    await storage.batch([put(text("a"), text("1"))], "synced");
  });
  afterEach(async () => {
    await storage.close();
    indexedDB.open = open;
  });

  test("opens another connection when the browser has ended its own, for all that wait at once", async () => {
    // Its typings ask for the class.
    forceCloseDatabase(connections[0] as never);
    const values = await Promise.all([
      storage.get("objects", text("a")),
      storage.getMany("objects", [text("a")]).then(([value]) => value),
      storage.batch([put(text("b"), text("2"))], "synced").then(() => storage.get("objects", text("a"))),
    ]);
    assert.deepEqual(values.map(hex), Array(3).fill(hex(text("1"))));
    assert.equal(connections.length, 2);
  });

  for (const [error, kind] of [
    ["UnknownError", "io"],
    ["InvalidStateError", "closed"],
    ["AbortError", "closed"],
  ] as const) {
    test(`repeats a call once on another connection after ${error}, then says ${kind}, and goes on when it is over`, async () => {
      failNext(IDBDatabase.prototype, "transaction", error, 1);
      await storage.batch([put(text("b"), text("2"))], "synced");
      assert.equal(connections.length, 2);
      failNext(IDBDatabase.prototype, "transaction", error, 2);
      await assert.rejects(storage.get("objects", text("b")), isKind(kind));
      assert.equal(hex(await storage.get("objects", text("b"))), hex(text("2")));
    });
  }

  for (const error of ["QuotaExceededError", "DataError"]) {
    test(`says full of ${error}, and nothing of that batch is there`, async () => {
      failNext(IDBObjectStore.prototype, "delete", error, 1);
      const failing = storage.batch(
        [put(text("b"), text("2")), { kind: "delete", ns: "objects", key: text("a") }],
        "synced",
      );
      const behind = storage.batch([put(text("c"), text("3"))], "synced");
      await assert.rejects(failing, isKind("full"));
      await behind;
      assert.deepEqual(
        (await storage.getMany("objects", ["a", "b", "c"].map(text))).map(hex),
        [text("1"), undefined, text("3")].map(hex),
      );
      assert.equal(connections.length, 1);
    });
  }

  for (const [error, cutOff] of [
    ["UnknownError", "Connection is closing because of: IO error: 000003.log: FILE_ERROR_NO_SPACE"],
    ["QuotaExceededError", "Encountered disk full while committing transaction."],
  ] as const) {
    test(`says full where the disk cut a write off with ${error}, and until the database opens again; then writes go on, and the log was ended`, async () => {
      failNext(IDBDatabase.prototype, "transaction", error, 1, cutOff);
      await assert.rejects(storage.batch([put(text("b"), text("2"))], "synced"), isKind("full"));
      failNext(indexedDB, "open", "UnknownError", 3);
      await assert.rejects(storage.get("objects", text("a")), isKind("full"));
      await assert.rejects(storage.batch([put(text("b"), text("2"))], "synced"), isKind("full"));
      // Other tabs ask whether this one is alive.
      await storage.touch();
      assert.equal(connections.length, 1);
      const ended = calledOnce(indexedDB, "deleteDatabase");
      await storage.batch([put(text("b"), text("2"))], "synced");
      assert.equal(hex(await storage.get("objects", text("a"))), hex(text("1")));
      assert.equal(connections.length, 2);
      await ended;
    });
  }

  test("ends its log also where a tab was frozen that did, and removes what such have left when they let it", async () => {
    // What a frozen page has open it does not close.
    const frozen = await opened("everwrite-passing/frozen");
    const ended = calledOnce(indexedDB, "deleteDatabase");
    const again = await openIndexedDbStorage({ name: `${name} again`, estimate });
    await ended;
    await eventually(
      async () => (await passing()).join() === "everwrite-passing/frozen",
      "the database made is deleted",
    );
    frozen.close();
    await eventually(async () => (await passing()).length === 0, "what was left is deleted");
    await again.close();
  });

  test("is closed, not refused, where its connection is lost while it opens; where the browser gives none it is refused", async () => {
    const failure = (): Promise<unknown> => openIndexedDbStorage({ name, estimate }).catch((error: unknown) => error);
    failNext(IDBDatabase.prototype, "transaction", "InvalidStateError", 1);
    const lost = await failure();
    assert.ok(isKind("closed")(lost) && !isRefused(lost));
    for (const [name, message] of [
      ["InvalidStateError", "a mutation was attempted on a database that allows none"],
      ["UnknownError", "The user denied permission to access the database."],
    ] as const) {
      failNext(indexedDB, "open", name, 1, message);
      const refused = await failure();
      assert.ok(isKind("io")(refused) && isRefused(refused));
    }
  });

  test("takes what another script has put there for damaged, and reads the rest", async () => {
    const transaction = connections[0]!.transaction("objects", "readwrite");
    transaction.objectStore("objects").put("text", Uint8Array.of(98));
    await new Promise((resolve) => transaction.addEventListener("complete", resolve));
    const store = new RecordStore(storage);
    await store.commit([put(text("c"), text("3"))]);
    const { rows } = await store.page("objects", { gte: text("b"), limit: 10 });
    assert.deepEqual(
      rows.map((row) => ("corrupt" in row ? "corrupt" : hex(row.value))),
      ["corrupt", hex(text("3"))],
    );
  });

  test("a write that waits for another is refused when the storage is closed, and is not written later", async () => {
    const begun = calledOnce(IDBDatabase.prototype, "transaction");
    const first = storage.batch([put(text("b"), text("2"))], "synced");
    const second = storage.batch([put(text("c"), text("3"))], "synced");
    const refused = assert.rejects(second, isKind("closed"));
    await begun;
    await Promise.all([storage.close(), first, refused]);
    storage = await openIndexedDbStorage({ name, estimate });
    const found = await storage.getMany("objects", [text("b"), text("c")]);
    assert.deepEqual(found.map(hex), [hex(text("2")), undefined]);
  });

  test("tells the room that the browser estimates, or that it tells none", async () => {
    assert.deepEqual(await storage.usage(), { bytes: 4_096, freeBytes: 995_904 });
    const untold = () => Promise.reject(new TypeError("planned"));
    const other = await openIndexedDbStorage({ name: "untold", estimate: untold });
    await assert.rejects(other.usage(), isKind("io"));
    await other.close();
  });
});

function opened(database: string): Promise<IDBDatabase> {
  const request = indexedDB.open(database);
  return new Promise((resolve) => request.addEventListener("success", () => resolve(request.result)));
}

async function passing(): Promise<string[]> {
  return (await indexedDB.databases()).flatMap(({ name }) => (name?.startsWith("everwrite-passing/") ? [name] : []));
}

/** Lets so many calls of a method throw. */
function failNext<Target extends object>(
  target: Target,
  method: keyof Target,
  error: string,
  times: number,
  message = "planned",
): void {
  const original = target[method];
  let left = times;
  target[method] = (() => {
    left -= 1;
    if (left === 0) target[method] = original;
    throw new DOMException(message, error);
  }) as Target[keyof Target];
}

/** Resolves when a method is called. */
function calledOnce<Target extends object>(target: Target, method: keyof Target): Promise<void> {
  const original = target[method] as (...args: unknown[]) => unknown;
  return new Promise((resolve) => {
    target[method] = function (this: Target, ...args: unknown[]) {
      target[method] = original as Target[keyof Target];
      resolve();
      return original.apply(this, args);
    } as Target[keyof Target];
  });
}

describe("a store that another tab has opened since", () => {
  let name: string;
  let former: IndexedDbStorage;
  let later: IndexedDbStorage;
  beforeEach(async () => {
    name = `taken ${stores++}`;
    former = await openIndexedDbStorage({ name, estimate });
    await former.batch([put(text("a"), text("1"))], "synced");
    later = await openIndexedDbStorage({ name, estimate });
  });

  test("takes no write and no delete of the former, which is told that it is closed", async () => {
    const ends: string[] = [];
    former.onEnd(() => ends.push("ended"));
    const batch = [put(text("b"), text("2")), { kind: "delete", ns: "objects", key: text("a") } as const];
    await assert.rejects(former.batch(batch, "synced"), isKind("closed"));
    assert.deepEqual(ends, ["ended"]);
    await assert.rejects(former.get("objects", text("a")), isKind("closed"));
    await assert.rejects(former.clear("objects", {}), isKind("closed"));
    assert.equal(hex(await later.get("objects", text("a"))), hex(text("1")));
    assert.equal(await later.get("objects", text("b")), undefined);
  });

  test("takes no deletes of the former where there is no room, in which those of the later make some", async () => {
    const removing = [{ kind: "delete", ns: "objects", key: text("a") } as const];
    failNext(IDBObjectStore.prototype, "add", "QuotaExceededError", 1);
    await assert.rejects(former.batch(removing, "synced"), isKind("closed"));
    assert.equal(hex(await later.get("objects", text("a"))), hex(text("1")));
    failNext(IDBObjectStore.prototype, "add", "QuotaExceededError", 1);
    await later.batch(removing, "synced");
    assert.equal(await later.get("objects", text("a")), undefined);
  });

  test("takes no writes that waited when it was opened", async () => {
    const keys = Array.from({ length: 20 }, (_, i) => text(`key ${i}`));
    const writes = keys.map((key) => former.batch([put(key, key)], "synced"));
    const last = await openIndexedDbStorage({ name, estimate });
    const outcomes = await Promise.allSettled(writes);
    const stored = await last.getMany("objects", keys);
    for (const [i, { status }] of outcomes.entries()) assert.equal(stored[i] !== undefined, status === "fulfilled");
    assert.ok(outcomes.every(({ status }) => status === "rejected"));
  });

  test("is known to be another's by a touch, and shows its epochs in no scan", async () => {
    assert.ok(later.epoch > former.epoch);
    await later.touch();
    await assert.rejects(former.touch(), isKind("closed"));
    const { rows } = await later.page("meta", { limit: 10 });
    assert.deepEqual(rows, []);
    assert.deepEqual((await later.page("meta", { limit: 10, reverse: true })).rows, []);
  });

  test("goes to one of two that claim it at once", async () => {
    const opened = await Promise.allSettled([1, 2].map(() => openIndexedDbStorage({ name, estimate })));
    const storages = opened.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    assert.ok(storages.length > 0);
    const writes = await Promise.allSettled(storages.map((each) => each.batch([put(text("c"), text("3"))], "synced")));
    assert.equal(writes.filter(({ status }) => status === "fulfilled").length, 1);
    assert.equal(new Set(storages.map(({ epoch }) => epoch)).size, storages.length);
  });
});
