/** Which databases a host in a page has, and what is set aside. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Aside, HostData } from "../../../core/browser/host-data.ts";
import { StorageError, type StorageOperation } from "../../../core/ports.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { utf8 } from "../../support/values.ts";

const key = utf8("k");
const row: StorageOperation = { kind: "put", ns: "objects", key, value: utf8("v") };

/** A browser: its databases stay while pages come and go. */
function browser() {
  const base = new FaultyStorage(new MemoryStorage());
  const databases = new Map<string, FaultyStorage>();
  const clock = { now: Date.UTC(2026, 0, 1) };
  const told: (readonly Aside[])[] = [];
  const faults = { open: false };
  const open = async (name: string): Promise<FaultyStorage> => {
    if (faults.open) throw new StorageError("io", "planned");
    const database = databases.get(name) ?? new FaultyStorage(new MemoryStorage());
    databases.set(name, database);
    return database;
  };
  return {
    base,
    databases,
    clock,
    told,
    faults,
    load: () =>
      HostData.open(
        {
          records: new RecordStore(base),
          clock: { wallTime: () => clock.now },
          random: realRandom,
          open,
          drop: async (name) => void databases.delete(name),
          present: async () => [...databases.keys()],
          tellAside: (aside) => void told.push(aside),
        },
        "shop",
      ),
  };
}

describe("the data of a host in a page", () => {
  test("is where it was after a reload", async () => {
    const { load, databases } = browser();
    const data = await load();
    await data.storage.batch([row], "synced");
    await data.noteMember();
    const again = await load();
    assert.deepEqual(await again.storage.get("objects", key), row.value);
    assert.deepEqual([again.wasMember, again.setAsideNames, databases.size], [true, [], 1]);
  });

  test("that is set aside is kept under its name, and what comes after is empty, also after a reload", async () => {
    const { load, databases } = browser();
    const data = await load();
    await data.storage.batch([row], "synced");
    await data.noteMember();
    const { storage, as } = await data.setAside();
    assert.equal(data.storage, storage);
    const again = await load();
    for (const each of [data, again]) {
      assert.equal(await each.storage.get("objects", key), undefined);
      assert.deepEqual([each.setAsideNames, each.wasMember], [[as], true]);
    }
    assert.equal(databases.size, 2);
  });

  test("is set aside once, also where that takes several tries", async () => {
    const { load, databases, base, faults } = browser();
    const data = await load();
    const [name] = [...databases.keys()] as [string];
    await data.storage.batch([row], "synced");
    base.refusesWrites = "io";
    await assert.rejects(data.setAside());
    base.refusesWrites = undefined;
    faults.open = true;
    for (let tries = 0; tries < 2; tries++) await assert.rejects(data.setAside(), StorageError);
    faults.open = false;
    const { storage, as } = await data.setAside();
    assert.deepEqual([as, data.setAsideNames, databases.size], [name, [name], 2]);
    assert.equal(await storage.get("objects", key), undefined);
  });

  test("of which a part is set aside goes on, and the part is listed", async () => {
    const { load } = browser();
    const data = await load();
    await data.storage.batch([row], "synced");
    const { storage, as } = await data.openAside();
    assert.notEqual(storage, data.storage);
    assert.deepEqual((await load()).setAsideNames, [as]);
    assert.deepEqual(await (await load()).storage.get("objects", key), row.value);
  });

  test("is told of while it is aside, and deleted after a month, at the next start", async () => {
    const { load, databases, clock, told } = browser();
    const data = await load();
    const { as } = await data.setAside();
    const untilMs = clock.now + 30 * 24 * 3_600_000;
    assert.deepEqual([data.aside, told.at(-1)], [[{ name: as, untilMs }], [{ name: as, untilMs }]]);
    clock.now = untilMs - 1;
    await (await load()).tidyAside();
    assert.deepEqual([databases.has(as), told.at(-1)?.length], [true, 1]);
    clock.now = untilMs;
    const again = await load();
    // What else changes meanwhile stays.
    await Promise.all([again.tidyAside(), again.noteMember()]);
    assert.deepEqual([databases.has(as), databases.size, told.at(-1)], [false, 1, []]);
    const last = await load();
    assert.deepEqual([last.setAsideNames, last.wasMember], [[], true]);
  });

  test("is listed no more once somebody has deleted it", async () => {
    const { load, databases } = browser();
    const data = await load();
    const first = await data.setAside();
    const second = await data.setAside();
    databases.delete(first.as);
    await data.tidyAside();
    assert.deepEqual((await load()).setAsideNames, [second.as]);
  });

  test("is aside where the identity that it belonged to is gone; what others have beside it is not", async () => {
    const { load, databases, base } = browser();
    const data = await load();
    await data.storage.batch([row], "synced");
    const [name] = [...databases.keys()] as [string];
    databases.set("shop-too/data-00", data.storage as FaultyStorage);
    await base.clear("meta", {});
    const again = await load();
    assert.equal(await again.storage.get("objects", key), undefined);
    assert.deepEqual([again.setAsideNames, again.wasMember], [[name], false]);
  });
});
