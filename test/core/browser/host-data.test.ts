/** Which databases a host in a page has, and what is set aside. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { HostData } from "../../../core/browser/host-data.ts";
import type { StorageOperation } from "../../../core/ports.ts";
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
  const open = async (name: string): Promise<FaultyStorage> => {
    const database = databases.get(name) ?? new FaultyStorage(new MemoryStorage());
    databases.set(name, database);
    return database;
  };
  return {
    base,
    databases,
    load: () => HostData.open({ records: new RecordStore(base), random: realRandom, open }, "shop"),
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

  test("of which a part is set aside goes on, and the part is listed", async () => {
    const { load } = browser();
    const data = await load();
    await data.storage.batch([row], "synced");
    const { storage, as } = await data.openAside();
    assert.notEqual(storage, data.storage);
    assert.deepEqual((await load()).setAsideNames, [as]);
    assert.deepEqual(await (await load()).storage.get("objects", key), row.value);
  });
});
