import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { merge, nothing } from "../../../core/causality/version-set.ts";
import { StoreError } from "../../../core/errors.ts";
import { failsWith, texts } from "../../support/values.ts";
import { at, put, type Run, World } from "./world.ts";

const key = at("k");
const noState = Uint8Array.of(255, 255, 255);

/** A replica whose record of `k` (`a`) rotted on the disk; nothing of it is cached. */
async function damaged(): Promise<{ world: World; run: Run; intact: Uint8Array }> {
  const world = new World();
  const intact = (await (await world.start()).replica.write(key, put("a"))).held.encoded!;
  await world.disk.rot("objects", key.row);
  return { world, run: await world.start(), intact };
}

describe("a damaged record", () => {
  test("is told once, makes the copy of this key filling, and of no other key", async () => {
    const { world, run } = await damaged();
    assert.equal((await run.replica.read(key)).role, "filling");
    assert.equal((await run.replica.read(key)).held.state.values.length, 0);
    assert.equal((await run.replica.read(at("other"))).role, "complete");
    assert.equal(world.kinds().filter((kind) => kind === "corrupt-record").length, 1);
  });

  test("is read as incomplete also while the disk is full and takes no note of it", async () => {
    const { world, run } = await damaged();
    world.disk.refusesWrites = "full";
    assert.equal((await run.replica.read(key)).role, "filling");
    assert.equal((await run.replica.read(key)).role, "filling");
  });

  test("that memory has is still read from there where the disk does not take it again", async () => {
    const world = new World();
    const { replica } = await world.start();
    await replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    world.disk.refusesWrites = "io";
    assert.equal(await replica.noteDamaged(key, "a test"), false);
    const { role, held } = await replica.read(key);
    assert.deepEqual([role, texts(held.state.values)], ["filling", ["a"]]);
    world.disk.refusesWrites = undefined;
    await replica.noteDamaged(key, "a test");
    assert.deepEqual(texts((await (await world.start()).replica.read(key)).held.state.values), ["a"]);
  });

  test("refuses a mint, so that it is healed first", async () => {
    const { run } = await damaged();
    await assert.rejects(run.replica.write(key, put("b")), failsWith("corrupt"));
  });

  test("can be minted on despite the damage: under a fresh actor, and the copy stays filling until it is healed", async () => {
    const world = new World({ cacheBytesMax: 0 });
    const { replica } = await world.start();
    const lost = await replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    const written = await replica.write(key, put("b"), { despiteDamage: true });
    assert.notEqual(written.dot.actor, lost.dot.actor);
    assert.equal(written.role, "filling");
    assert.deepEqual(
      texts(merge(lost.held.state, written.held.state).values),
      ["a", "b"],
      "it covers nothing that it lost",
    );
    assert.equal((await (await world.start()).replica.read(key)).role, "filling");
    const healed = await replica.apply(key, lost.held.encoded!, { heals: true });
    assert.deepEqual([healed.role, texts(healed.held.state.values)], ["complete", ["a", "b"]]);
  });

  test("that is minted on while the log of tombstones cannot be read refuses with a code (seed 50289)", async () => {
    const { world, run } = await damaged();
    await run.replica.read(key);
    world.disk.refusesReads = "io";
    await assert.rejects(run.replica.write(key, put("b"), { despiteDamage: true }), failsWith("not-ready"));
    world.disk.refusesReads = undefined;
    assert.equal((await run.replica.read(key)).role, "filling");
  });

  test("takes a replicated write, durably, and stays filling: older values are still missing", async () => {
    const { world, run } = await damaged();
    const other = (await (await new World().start()).replica.write(key, put("b"))).held.encoded!;
    assert.equal((await run.replica.apply(key, other)).role, "filling");
    const restarted = await world.start();
    assert.deepEqual(texts((await restarted.replica.read(key)).held.state.values), ["b"]);
    assert.equal((await restarted.replica.read(key)).role, "filling", "the row is whole again, the copy is not");
  });

  test("is whole again with a merge of enough copies, also after the next restart", async () => {
    const { world, run, intact } = await damaged();
    await run.replica.read(key);
    assert.equal((await run.replica.apply(key, intact, { heals: true })).role, "complete");
    const restarted = await world.start();
    assert.equal((await restarted.replica.read(key)).role, "complete");
    assert.deepEqual(texts((await restarted.replica.read(key)).held.state.values), ["a"]);
    assert.deepEqual((await restarted.records.page("meta", { limit: 10 })).rows, []);
  });

  test("is healed also by a state that it has already", async () => {
    const { run, intact } = await damaged();
    await run.replica.apply(key, intact);
    assert.equal((await run.replica.apply(key, intact, { heals: true })).role, "complete");
  });

  test("is not healed by a state that was not durable", async () => {
    const { world, run, intact } = await damaged();
    await run.replica.read(key);
    world.disk.refusesWrites = "io";
    await assert.rejects(run.replica.apply(key, intact, { heals: true }));
    world.disk.refusesWrites = undefined;
    assert.equal((await run.replica.read(key)).role, "filling");
    assert.equal((await (await world.start()).replica.read(key)).role, "filling");
  });

  test("whose row is whole again, but not its copy, stays filling when the heal was not durable", async () => {
    const { world, run, intact } = await damaged();
    const other = (await (await new World().start()).replica.write(key, put("b"))).held.encoded!;
    await run.replica.apply(key, other);
    world.disk.refusesWrites = "io";
    await assert.rejects(run.replica.apply(key, intact, { heals: true }));
    world.disk.refusesWrites = undefined;
    assert.equal((await run.replica.read(key)).role, "filling");
    await assert.rejects(run.replica.write(key, put("c")), failsWith("corrupt"));
  });

  test("can be written again once it is healed", async () => {
    const { run, intact } = await damaged();
    await assert.rejects(run.replica.write(key, put("b")), failsWith("corrupt"));
    const { held } = await run.replica.apply(key, intact, { heals: true });
    await run.replica.write(key, put("b", held.state));
    assert.deepEqual(texts((await run.replica.read(key)).held.state.values), ["b"]);
  });

  test("keeps its place in a page, so that a scan goes on", async () => {
    const { run } = await damaged();
    await run.replica.write(at("other"), put("x"));
    const { rows } = await run.replica.page({ limit: 10 });
    assert.deepEqual([rows.length, rows.filter((row) => "corrupt" in row).length], [2, 1]);
  });
});

test("a heal of a key that was not damaged writes only what is new", async () => {
  const world = new World();
  const run = await world.start();
  const { held } = await run.replica.write(key, put("a"));
  const { batches } = world.disk;
  assert.equal((await run.replica.apply(key, held.encoded!, { heals: true })).role, "complete");
  assert.equal(world.disk.batches, batches);
});

describe("a record that is whole and no state all the same", () => {
  /** Nothing of it is cached. */
  async function undecodable(): Promise<Run> {
    const world = new World();
    await (await world.start()).records.commit([{ kind: "put", ns: "objects", key: key.row, value: noState }]);
    return world.start();
  }

  test("is damaged like one whose checksum is wrong, and healed like one", async () => {
    const { replica } = await undecodable();
    assert.equal((await replica.read(key)).role, "filling");
    const { held } = await (await new World().start()).replica.write(key, put("a"));
    assert.equal((await replica.apply(key, held.encoded!, { heals: true })).role, "complete");
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["a"]);
  });

  test("is told as damaged in a page", async () => {
    const { replica } = await undecodable();
    assert.deepEqual((await replica.page({ limit: 10 })).rows, [{ key: key.row, corrupt: true }]);
  });
});

describe("a state of nothing", () => {
  const nothingAtAll = encodeVersioned(nothing);

  test("leaves no row: the trees of who has one and who has none would differ for ever", async () => {
    const { replica } = await new World().start();
    await replica.apply(key, nothingAtAll);
    assert.deepEqual((await replica.page({ limit: 10 })).rows, []);
    assert.equal(replica.index.keys, 0);
  });

  test("heals a record that nobody else has by taking it away", async () => {
    const { world, run } = await damaged();
    await run.replica.read(key);
    assert.equal((await run.replica.apply(key, nothingAtAll, { heals: true })).role, "complete");
    assert.deepEqual((await run.replica.page({ limit: 10 })).rows, []);
    assert.equal((await (await world.start()).replica.read(key)).role, "complete");
  });
});

describe("a record that rotted on the disk while memory still has it", () => {
  const reads = async (world: World): Promise<unknown[]> => {
    const { role, held } = await (await world.start()).replica.read(key);
    return [role, texts(held.state.values)];
  };

  test("is written again when that is noticed: what adds nothing to memory is told to be durable", async () => {
    const world = new World();
    const { replica } = await world.start();
    const { held } = await replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    assert.equal(await replica.noteDamaged(key, "met in a scan"), true);
    assert.equal((await replica.apply(key, held.encoded!)).role, "complete");
    assert.deepEqual(await reads(world), ["complete", ["a"]]);
  });

  test("is marked where the disk refuses that, and written again when it is healed", async () => {
    const world = new World();
    const { replica } = await world.start();
    const { held } = await replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    world.disk.refusesWrites = "full";
    assert.equal(await replica.noteDamaged(key, "met in a scan"), false);
    world.disk.refusesWrites = undefined;
    assert.equal((await replica.read(key)).role, "filling");
    assert.equal((await replica.apply(key, held.encoded!, { heals: true })).role, "complete");
    assert.deepEqual(await reads(world), ["complete", ["a"]]);
  });

  test("is written again also where it stays incomplete, for it had been damaged before", async () => {
    const world = new World();
    await (await world.start()).replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    const { replica } = await world.start();
    const { held } = await replica.write(key, put("b"), { despiteDamage: true });
    await world.disk.rot("objects", key.row);
    assert.equal(await replica.noteDamaged(key, "met in a scan"), false);
    assert.equal((await replica.apply(key, held.encoded!)).role, "filling");
    assert.deepEqual(await reads(world), ["filling", ["b"]]);
  });
});

describe("a mark that is damaged itself", () => {
  const mark = new TextEncoder().encode(`damaged/${key.key}`);
  const fates: readonly (readonly [string, (world: World) => Promise<void>])[] = [
    ["has rotted", ({ disk }) => disk.rot("meta", mark)],
    ["names another key", ({ disk }) => disk.rotKey("meta", mark, -1, 1)],
    ["names no key", ({ disk }) => disk.rotKey("meta", mark, -2, 1)],
    ["is no text", ({ disk }) => disk.rotKey("meta", mark, -1, 0x80)],
  ];
  for (const [how, damages] of fates) {
    test(`and ${how} makes every copy one to be filled, and stops no start`, async () => {
      const { world, run } = await damaged();
      await run.replica.write(key, put("b"), { despiteDamage: true });
      await damages(world);
      const { replica, holdings } = await world.start();
      assert.equal(holdings.get(key.partition), "filling");
      assert.equal((await replica.read(key)).role, "filling");
      await assert.rejects(replica.damaged.dropLost(() => Promise.reject(new StoreError("storage-full", ""))));
      assert.equal((await world.start()).holdings.get(key.partition), "filling", "until that is on the disk");
      await replica.damaged.dropLost(async () => {});
      assert.equal((await world.start()).holdings.get(key.partition), "complete");
    });
  }

  test("and cannot be read at all does the same at each start", async () => {
    const world = new World();
    const page = world.disk.page.bind(world.disk);
    world.disk.page = async (ns, range) => ({ ...(await page(ns, range)), damaged: ns === "meta" });
    assert.equal((await world.start()).holdings.get(key.partition), "filling");
  });
});
