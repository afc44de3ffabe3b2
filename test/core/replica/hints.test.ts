import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { equalBytes } from "../../../core/bytes/compare.ts";
import { decodeVersioned, encodeVersioned } from "../../../core/causality/encoding.ts";
import { merge } from "../../../core/causality/version-set.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import type { LocatedKey } from "../../../core/placement/locate.ts";
import { failsWith, microtasks, texts } from "../../support/values.ts";
import { at, host, put, type Run, World } from "./world.ts";

const key = at("k");
const away = host("h2");

/** A state that some other host minted. */
async function stateOf(...values: string[]): Promise<Uint8Array> {
  const { replica } = await new World().start();
  for (const text of values) await replica.write(key, put(text));
  return (await replica.read(key)).held.encoded!;
}

async function rotFirstHint({ disk }: World): Promise<void> {
  const [row] = (await disk.page("hints", { limit: 1 })).rows;
  await disk.rot("hints", row!.key);
}

const tallies = ({ replica }: Run) => replica.hints.summaries().map(({ target, count }) => [target, count]);

describe("a hint", () => {
  test("is kept apart from what is held, and answers for the key where nothing is held", async () => {
    const run = await new World().start("none");
    await run.replica.keepHint(key, away, await stateOf("a"));
    const { role, held } = await run.replica.read(key);
    assert.equal(role, "hint");
    assert.deepEqual(texts(held.state.values), ["a"]);
    assert.equal((await run.replica.read(at("other"))).role, "none");
    assert.deepEqual((await run.replica.page({ limit: 10 })).rows, []);
  });

  test("is no copy of a holder: its own row alone answers", async () => {
    const run = await new World().start("complete");
    await run.replica.keepHint(key, away, await stateOf("a"));
    const { role, held } = await run.replica.read(key);
    assert.equal(role, "complete");
    assert.equal(held.encoded, undefined);
  });

  test("grows by merging: one row for a target and a key, counted once with all its bytes", async () => {
    const world = new World();
    const run = await world.start("none");
    await run.replica.keepHint(key, away, await stateOf("a"));
    const [before] = run.replica.hints.summaries();
    world.clock.jump(5_000);
    await run.replica.keepHint(key, away, await stateOf("b"));
    const [after] = run.replica.hints.summaries();
    assert.deepEqual(texts((await run.replica.read(key)).held.state.values), ["a", "b"]);
    assert.equal(after!.count, 1);
    assert.ok(after!.bytes > before!.bytes);
    assert.equal(after!.oldestAtMs, before!.oldestAtMs, "it is owed since the first");
  });

  test("for two hosts is two hints, and a read merges both", async () => {
    const run = await new World().start("none");
    await run.replica.keepHint(key, away, await stateOf("a"));
    await run.replica.keepHint(key, host("h3"), await stateOf("b"));
    assert.deepEqual(tallies(run), [
      ["h2", 1],
      ["h3", 1],
    ]);
    assert.deepEqual(texts((await run.replica.read(key)).held.state.values), ["a", "b"]);
  });

  test("of many at once for one key loses none of them", async () => {
    const run = await new World().start("none");
    const states = await Promise.all(["a", "b", "c", "d", "e"].map((text) => stateOf(text)));
    await Promise.all(states.map((state) => run.replica.keepHint(key, away, state)));
    assert.deepEqual(texts((await run.replica.read(key)).held.state.values), ["a", "b", "c", "d", "e"]);
    assert.deepEqual(tallies(run), [["h2", 1]]);
  });

  test("is found and counted again after a restart (riak_core#154)", async () => {
    const world = new World();
    const first = await world.start("none");
    await first.replica.keepHint(key, away, await stateOf("a"));
    world.clock.jump(5_000);
    await first.replica.keepHint(key, away, await stateOf("d"));
    await first.replica.keepHint(key, host("h3"), await stateOf("c"));
    const again = await world.start("none");
    assert.deepEqual(again.replica.hints.summaries(), first.replica.hints.summaries());
    assert.equal(again.replica.hints.summaries()[0]!.oldestAtMs, world.clock.wallTime() - 5_000);
    assert.deepEqual(texts((await again.replica.read(key)).held.state.values), ["a", "c", "d"]);
  });

  test("is counted only once it is durable, and not at all when the disk refuses it", async () => {
    const world = new World();
    const run = await world.start("none");
    const release = world.disk.hold("writes");
    const keeping = run.replica.keepHint(key, away, await stateOf("a"));
    await microtasks();
    assert.deepEqual(tallies(run), []);
    release();
    await keeping;
    assert.deepEqual(tallies(run), [["h2", 1]]);
    world.disk.refusesWrites = "full";
    await assert.rejects(run.replica.keepHint(at("other"), away, await stateOf("b")), failsWith("storage-full"));
    assert.deepEqual(tallies(run), [["h2", 1]]);
  });

  test("keeps its partition from being forgotten in where the disk may have it after all, not where it was refused", async () => {
    for (const writesWhatItRefuses of [false, true]) {
      const world = new World();
      const { replica, holdings } = await world.start("none");
      Object.assign(world.disk, { refusesWrites: "full", writesWhatItRefuses });
      await assert.rejects(replica.keepHint(key, away, await stateOf("a")), failsWith("storage-full"));
      assert.equal(holdings.isHinted(key.partition), writesWhatItRefuses);
    }
  });

  test("that a refused write was to add to keeps its partition from being forgotten in until it is delivered, not longer", async () => {
    const { replica, holdings } = await new World({ siblingsMax: 1 }).start("none");
    await replica.keepHint(key, away, await stateOf("a"));
    holdings.set(key.partition, "complete");
    const beside = put("b", undefined, { hintsFor: [away] });
    await assert.rejects(replica.write(key, beside), failsWith("too-many-siblings"));
    const { hints } = await replica.hints.page(away, { after: undefined, limit: 1 });
    assert.ok(await replica.hintDelivered(key, away, hints[0]!));
    assert.equal(holdings.isHinted(key.partition), false);
  });

  test("that is damaged on the disk is passed over by reads, and counted until delivery drops it", async () => {
    const world = new World();
    const before = await world.start("none");
    await before.replica.keepHint(key, away, await stateOf("a"));
    await before.replica.keepHint(key, host("h3"), await stateOf("b"));
    await rotFirstHint(world);
    assert.deepEqual(texts((await before.replica.read(key)).held.state.values), ["b"]);
    const run = await world.start("none");
    assert.deepEqual(tallies(run), [
      ["h2", 1],
      ["h3", 1],
    ]);
    const { hints } = await run.replica.hints.page(away, { after: undefined, limit: 10 });
    assert.equal(await run.replica.hintDelivered(key, away, hints[0]!), true);
    assert.deepEqual(tallies(run), [["h3", 1]]);
    assert.deepEqual(tallies(await world.start("none")), [["h3", 1]]);
  });

  test("that cannot be read, not even its key, may be of any partition", async () => {
    const world = new World();
    const page = world.disk.page.bind(world.disk);
    assert.equal((await world.start()).holdings.isHinted(key.partition), false);
    world.disk.page = async (ns, request) => ({ ...(await page(ns, request)), damaged: ns === "hints" });
    const { holdings } = await world.start();
    assert.ok(allPartitions(holdings.partitions).every((partition) => holdings.isHinted(partition)));
  });

  test("that is damaged never lets the next mint cover what it held", async () => {
    for (const meets of ["write", "read"] as const) {
      const world = new World();
      const { replica } = await world.start("none");
      const owed = { hintsFor: [away] };
      const first = await replica.write(key, put("one", undefined, owed));
      await rotFirstHint(world);
      if (meets === "read") await replica.read(key);
      const second = await replica.write(key, put("two", undefined, owed));
      assert.deepEqual(texts(merge(first.held.state, second.held.state).values), ["one", "two"], meets);
    }
  });

  test("that grew while it was delivered stays for the next round", async () => {
    const run = await new World().start("none");
    await run.replica.keepHint(key, away, await stateOf("a"));
    const { hints } = await run.replica.hints.page(away, { after: undefined, limit: 10 });
    await run.replica.keepHint(key, away, await stateOf("b"));
    assert.equal(await run.replica.hintDelivered(key, away, hints[0]!), false);
    assert.deepEqual(texts((await run.replica.read(key)).held.state.values), ["a", "b"]);
  });

  test("that a disk refused is in doubt until it is taken, or all that are in doubt are too many: then no other key is", async () => {
    const world = new World();
    const run = await world.start("none");
    const state = await stateOf("a");
    const doubtful = Array.from({ length: 10_001 }, (_, i) => at(`k${i}`));
    world.disk.refusesWrites = "full";
    await Promise.allSettled(doubtful.map((each) => run.replica.keepHint(each, away, state)));
    world.disk.refusesWrites = undefined;
    const isHinted = async (located: LocatedKey) => (await run.replica.examine(located)).isHinted;
    assert.equal(await isHinted(at("never")), false);
    await Promise.all(doubtful.map((each) => run.replica.keepHint(each, away, state)));
    assert.deepEqual([await isHinted(at("never")), await isHinted(doubtful.at(-1)!)], [false, true]);
    assert.deepEqual(tallies(run), [["h2", doubtful.length]]);
  });

  test("that a disk refused and has all the same is not taken for one of those that are counted", async () => {
    const world = new World();
    const run = await world.start("none");
    const state = await stateOf("a");
    const others = ["k1", "k2"].map((name) => at(name));
    world.disk.refusesWrites = "io";
    world.disk.writesWhatItRefuses = true;
    for (const each of others) await assert.rejects(run.replica.keepHint(each, away, state));
    world.disk.refusesWrites = undefined;
    await run.replica.keepHint(key, away, state);
    await run.replica.keepHint(others[0]!, away, state);
    assert.deepEqual(tallies(run), [["h2", 2]]);
    const { hints } = await run.replica.hints.page(away, { after: undefined, limit: 10 });
    const found = [key, ...others].map((each) => ({ each, hint: hints.find(({ row }) => equalBytes(row, each.row))! }));
    for (const { each, hint } of found.toReversed()) await run.replica.hintDelivered(each, away, hint);
    assert.deepEqual([tallies(run), tallies(await world.start("none"))], [[], []]);
  });

  test("of bytes that are no state is refused", async () => {
    const run = await new World().start("none");
    await assert.rejects(run.replica.keepHint(key, away, Uint8Array.of(255)));
    assert.deepEqual(tallies(run), []);
  });
});

describe("what an owner owes", () => {
  test("is a row without a state: the own copy is what will be delivered", async () => {
    const run = await new World().start();
    const { held } = await run.replica.write(key, put("a"));
    await run.replica.oweTo(key, away, held.toBytes());
    assert.deepEqual(tallies(run), [["h2", 1]]);
    const owed = await run.replica.hints.get(away, key);
    assert.equal(owed?.state, undefined);
    assert.notEqual(owed, undefined);
  });

  test("costs writes no look at the disk for states that nobody keeps", async () => {
    const world = new World();
    const { replica } = await world.start();
    await replica.write(key, put("a", undefined, { hintsFor: [away] }));
    world.disk.refusesReads = "io";
    const { held } = await replica.write(key, put("b"));
    assert.deepEqual(texts(held.state.values), ["a", "b"]);
  });

  test("is written in one batch with the value that is owed", async () => {
    const world = new World();
    const run = await world.start();
    await run.replica.write(key, put("a", undefined, { hintsFor: [away, host("h3")] }));
    assert.equal(world.disk.batches, 1);
    world.disk.refusesWrites = "io";
    await assert.rejects(run.replica.write(at("other"), put("b", undefined, { hintsFor: [away] })));
    assert.deepEqual(tallies(run), [
      ["h2", 1],
      ["h3", 1],
    ]);
    assert.deepEqual(tallies(await world.start()), tallies(run));
  });

  test("by a host that holds nothing is the whole state, for whom it minted it", async () => {
    const run = await new World().start("none");
    const written = await run.replica.write(key, put("a", undefined, { hintsFor: [away] }));
    assert.equal(written.role, "hint");
    const hint = await run.replica.hints.get(away, key);
    assert.deepEqual(hint?.state, encodeVersioned(written.held.state));
    const second = await run.replica.write(key, put("b", undefined, { hintsFor: [host("h3")] }));
    assert.deepEqual(texts(second.held.state.values), ["a", "b"], "it mints on the hints that it keeps");
  });

  test("for whom a state is kept already forgets nothing of that state", async () => {
    const { replica, holdings } = await new World().start("none");
    await replica.write(key, put("acked", undefined, { hintsFor: [away] }));
    holdings.set(key.partition, "filling");
    await replica.write(key, put("later", undefined, { hintsFor: [away] }));
    const hint = await replica.hints.get(away, key);
    assert.deepEqual(texts(decodeVersioned(hint!.state!).values), ["acked"]);
  });

  test("is kept as a state where the own copy does not have it, or is none any more", async () => {
    for (const holding of ["complete", "former"] as const) {
      const { replica, holdings } = await new World().start();
      const { held } = await replica.write(key, put("own"));
      const missed = holding === "former" ? held.toBytes() : await stateOf("missed");
      holdings.set(key.partition, holding);
      await replica.oweTo(key, away, missed);
      assert.deepEqual((await replica.hints.get(away, key))?.state, missed);
    }
  });

  test("is not forgotten for a state that is to be kept for the same host", async () => {
    const { replica } = await new World().start();
    await replica.write(key, put("owed", undefined, { hintsFor: [away] }));
    await replica.keepHint(key, away, await stateOf("kept"));
    const hint = await replica.hints.get(away, key);
    assert.deepEqual(texts(decodeVersioned(hint!.state!).values), ["kept", "owed"]);
  });

  test("is noted again for a write that is repeated: the owner may still miss it", async () => {
    const run = await new World().start();
    const writeId = "00112233445566aa";
    await run.replica.write(key, put("a", undefined, { writeId }));
    assert.deepEqual(tallies(run), []);
    await run.replica.write(key, put("a", undefined, { writeId, hintsFor: [away] }));
    assert.deepEqual(tallies(run), [["h2", 1]]);
  });
});

/** A hint for `away` of which the row is whole, and what it says is nonsense: another version or a broken memory wrote it. */
async function nonsense(what: "row" | "state"): Promise<{ readonly world: World; readonly row: Uint8Array }> {
  const world = new World();
  const { replica, records } = await world.start("none");
  await replica.keepHint(key, away, await stateOf("a"));
  const [row] = (await records.page("hints", { limit: 1 })).rows;
  assert.ok(row !== undefined && "value" in row);
  const value = what === "row" ? Uint8Array.of(255, 255, 255) : row.value.slice();
  const { hints } = await replica.hints.page(away, { after: undefined, limit: 1 });
  const state = hints[0]!.state!;
  const start = Buffer.from(value).indexOf(state);
  if (what === "state") value.fill(255, start, start + state.length);
  await records.commit([{ kind: "put", ns: "hints", key: row.key, value }]);
  return { world, row: row.key };
}

for (const what of ["row", "state"] as const) {
  describe(`a hint whose ${what} is none`, () => {
    test("is counted, told as damaged, answers for nothing, and goes as one", async () => {
      const { world } = await nonsense(what);
      const run = await world.start("none");
      assert.deepEqual(tallies(run), [["h2", 1]]);
      assert.deepEqual((await run.replica.read(key)).held.state.values, []);
      assert.deepEqual(world.kinds(), ["corrupt-record"]);
      const { hints } = await run.replica.hints.page(away, { after: undefined, limit: 10 });
      assert.deepEqual(
        hints.map(({ isDamaged, isSpare, state }) => ({ isDamaged, isSpare, state })),
        [{ isDamaged: true, isSpare: false, state: undefined }],
      );
      assert.equal(await run.replica.hintDelivered(key, away, hints[0]!), true);
      assert.deepEqual(run.replica.hints.summaries(), []);
      assert.equal(run.holdings.isHinted(key.partition), false);
    });

    test("does not keep back the next one for the same host, which ends the actor that it may have named", async () => {
      const { world } = await nonsense(what);
      const run = await world.start("none");
      run.holdings.nextDot(key.partition);
      await run.replica.keepHint(key, away, await stateOf("b"));
      assert.equal(run.holdings.actorOf(key.partition), undefined);
      assert.deepEqual(texts((await run.replica.read(key)).held.state.values), ["b"]);
      assert.deepEqual(tallies(run), [["h2", 1]]);
      assert.equal(
        run.replica.hints.bytesFor(away),
        (await run.records.page("hints", { limit: 1 })).rows.map((row) => ("value" in row ? row.value.length : 0))[0],
      );
    });
  });
}
