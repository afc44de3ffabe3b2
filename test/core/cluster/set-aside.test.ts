/** What is taken out of a storage for good, and what stays whatever fails. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setPartitionsAside } from "../../../core/cluster/set-aside.ts";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { nothing } from "../../../core/causality/version-set.ts";
import { StoreError } from "../../../core/errors.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import type { Namespace } from "../../../core/ports.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import type { RecordStore } from "../../../core/storage/record-store.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { at, host, put, remove, World } from "../replica/world.ts";

const names = Array.from({ length: 40 }, (_, i) => `key${i}`);
const [h2, h3] = [host("h2"), host("h3")];
const outdated = [1, 3] as PartitionIndex[];
const isOutdated = (name: string): boolean => outdated.includes(at(name).partition);

async function rowsOf(records: RecordStore, ns: Namespace): Promise<string[]> {
  const { rows } = await records.page(ns, { limit: 1_000 });
  return rows.map(({ key }) => Buffer.from(key).toString("latin1"));
}

/** Keys, every other one deleted, and hints for two hosts. */
async function scene() {
  const world = new World();
  const { replica, records } = await world.start();
  for (const [i, name] of names.entries()) {
    const { held } = await replica.write(at(name), put(name));
    if (i % 2 === 0) await replica.write(at(name), remove(held.state));
    await replica.keepHint(at(name), i % 3 === 0 ? h2 : h3, encodeVersioned(nothing));
  }
  const kept: MemoryStorage[] = [];
  const open = async () => {
    const storage = new MemoryStorage();
    // What a disk keeps, this one would forget.
    storage.close = async () => {};
    kept.push(storage);
    return { storage, as: `aside ${kept.length}` };
  };
  return { world, records, kept, deps: { records, partitions: 4, hintTargets: [h2, h3], open } };
}

describe("what is held of some partitions", () => {
  test("is kept in a storage of its own, and gone from this one: states, hints and what was noted of deletes", async () => {
    const { world, deps, kept, records } = await scene();
    const before = await rowsOf(records, "objects");
    assert.equal(await setPartitionsAside(deps, outdated), "aside 1");
    const { replica } = await world.start();
    for (const name of names) {
      assert.equal((await replica.row(at(name))).encoded === undefined, isOutdated(name), name);
      assert.equal(await replica.hints.isKept(at(name)), !isOutdated(name), name);
    }
    const tombstones = names.filter((name, i) => i % 2 === 0 && !isOutdated(name));
    assert.equal(replica.tombstones.size, tombstones.length);
    const aside = await new World().startOn(kept[0]!);
    for (const name of names) {
      assert.equal((await aside.replica.row(at(name))).encoded !== undefined, isOutdated(name), name);
      assert.equal(await aside.replica.hints.isKept(at(name)), isOutdated(name), name);
    }
    const both = [...(await rowsOf(records, "objects")), ...(await rowsOf(aside.records, "objects"))];
    assert.deepEqual(both.toSorted(), before);
    assert.equal(await setPartitionsAside(deps, outdated), undefined, "nothing is left to keep");
    assert.equal(kept.length, 1);
  });

  test("stays where it is when a record of it is damaged, or there is no room to keep it", async () => {
    const { world, deps, records } = await scene();
    const count = async () => (await Promise.all([rowsOf(records, "objects"), rowsOf(records, "hints")])).flat().length;
    const before = await count();
    const full = new FaultyStorage(new MemoryStorage());
    full.refusesWrites = "full";
    const refused = (code: string) => (error: unknown) => error instanceof StoreError && error.code === code;
    const toFull = { ...deps, open: async () => ({ storage: full, as: "full" }) };
    await assert.rejects(setPartitionsAside(toFull, outdated), refused("storage-full"));
    assert.equal(await count(), before);
    await world.disk.rot("objects", at(names.findLast(isOutdated)!).row);
    await assert.rejects(setPartitionsAside(deps, outdated), refused("corrupt"));
    assert.equal(await count(), before);
  });
});
