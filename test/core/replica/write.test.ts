import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { siblings } from "../../../core/causality/version-set.ts";
import { StoreError } from "../../../core/errors.ts";
import { failsWith, texts } from "../../support/values.ts";
import { at, host, put, remove, type Run, World } from "./world.ts";

const key = at("k");
const writeId = "00112233445566aa";

const live = async ({ replica }: Run): Promise<string[]> => texts(siblings((await replica.read(key)).held.state, 0));

describe("the actor of a partition", () => {
  test("is one for all keys of a run, and counts all its events", async () => {
    const run = await new World().start();
    const first = await run.replica.write(key, put("a"));
    const second = await run.replica.write(key, put("b", first.held.state));
    assert.equal(second.dot.actor, first.dot.actor);
    assert.equal(second.dot.counter, 2);
  });

  test("is a new one after each start, also on the same disk: a dot names one event for ever (riak_kv#679)", async () => {
    const world = new World();
    const first = await (await world.start()).replica.write(key, put("a"));
    const again = await (await world.start()).replica.write(key, put("b", first.held.state));
    assert.notEqual(again.dot.actor, first.dot.actor);
    assert.equal(again.dot.counter, 1);
  });

  test("is dropped when a batch fails: the event may be on the disk, and must not get a twin", async () => {
    const world = new World();
    const { replica } = await world.start();
    const first = await replica.write(key, put("a"));
    world.disk.refusesWrites = "io";
    await assert.rejects(replica.write(key, put("b")));
    world.disk.refusesWrites = undefined;
    const next = await replica.write(key, put("c"));
    assert.notEqual(next.dot.actor, first.dot.actor);
  });

  test("stays where a full disk refused a batch and wrote nothing, or each client that tries again would lengthen the clocks", async () => {
    const world = new World();
    const { replica } = await world.start();
    const first = await replica.write(key, put("a"));
    world.disk.refusesWrites = "full";
    await assert.rejects(replica.write(key, put("b")));
    world.disk.refusesWrites = undefined;
    const next = await replica.write(key, put("c", first.held.state));
    assert.equal(next.dot.actor, first.dot.actor);
    assert.deepEqual(texts(next.held.state.values), ["c"]);
  });

  test("is dropped when a record of the partition is found damaged", async () => {
    const world = new World({ cacheBytesMax: 0 });
    const { replica, holdings } = await world.start();
    const first = await replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    await replica.read(key);
    assert.equal(holdings.actorOf(key.partition), undefined);
    await replica.apply(key, first.held.encoded!, { heals: true });
    assert.notEqual((await replica.write(key, put("b"))).dot.actor, first.dot.actor);
  });

  test("is dropped with the holding", async () => {
    const { replica, holdings } = await new World().start();
    const first = await replica.write(key, put("a"));
    holdings.set(key.partition, "none");
    holdings.set(key.partition, "filling");
    assert.notEqual((await replica.write(key, put("b"))).dot.actor, first.dot.actor);
  });
});

describe("a write", () => {
  test("with the context of all it saw replaces it, without one it adds a sibling", async () => {
    const run = await new World().start();
    const { held } = await run.replica.write(key, put("a"));
    await run.replica.write(key, put("b"));
    assert.deepEqual(await live(run), ["a", "b"]);
    await run.replica.write(key, put("c", held.state));
    assert.deepEqual(await live(run), ["b", "c"]);
  });

  test("of many at once on one key waits for those before it: none is lost", async () => {
    const run = await new World().start();
    await Promise.all(Array.from({ length: 30 }, (_, i) => run.replica.write(key, put(`v${i}`))));
    assert.equal((await live(run)).length, 30);
  });

  test("without context is refused above the most siblings; one with a context resolves them", async () => {
    const world = new World({ siblingsMax: 3, siblingsWarn: 3 });
    const run = await world.start();
    for (const text of ["a", "b", "c"]) await run.replica.write(key, put(text));
    assert.equal(world.kinds().filter((kind) => kind === "siblings-many").length, 1);
    await assert.rejects(run.replica.write(key, put("d")), failsWith("too-many-siblings"));
    assert.deepEqual(await live(run), ["a", "b", "c"], "nothing changed");
    await run.replica.write(key, put("abc", (await run.replica.read(key)).held.state));
    assert.deepEqual(await live(run), ["abc"]);
    await run.replica.write(key, put("d"));
  });

  test("is refused above the most bytes of siblings too", async () => {
    const run = await new World({ siblingBytesMax: 10 }).start();
    await run.replica.write(key, put("12345678"));
    await assert.rejects(run.replica.write(key, put("901")), failsWith("too-many-siblings"));
    await run.replica.write(key, put("90"));
    assert.deepEqual(await live(run), ["12345678", "90"]);
  });

  test("counts tombstones among the values: they are kept and sent as well", async () => {
    const run = await new World({ siblingsMax: 2 }).start();
    await run.replica.write(key, put("a"));
    await run.replica.write(key, remove());
    await assert.rejects(run.replica.write(key, put("b")), failsWith("too-many-siblings"));
    await assert.rejects(run.replica.write(key, remove()), failsWith("too-many-siblings"));
  });

  test("of a stale context leaves what it did not see beside it, and counts like one without a context", async () => {
    const run = await new World({ siblingsMax: 2 }).start();
    const { held } = await run.replica.write(key, put("a"));
    for (const text of ["b", "c"]) await run.replica.write(key, put(text, held.state));
    await assert.rejects(run.replica.write(key, put("d", held.state)), failsWith("too-many-siblings"));
    assert.deepEqual(await live(run), ["b", "c"]);
  });

  test("that leaves no more values and bytes than it found passes above the limits: so they can be mended", async () => {
    const world = new World({ siblingsMax: 1, siblingBytesMax: 2 });
    const run = await world.start();
    const generous = await new World().start();
    const values = ["one", "two", "three"];
    const written = [];
    for (const text of values) written.push(await generous.replica.write(key, put(text)));
    await run.replica.apply(key, (await generous.replica.read(key)).held.encoded!);
    await assert.rejects(run.replica.write(key, put("more")), failsWith("too-many-siblings"));
    const [first] = written;
    await run.replica.write(key, put("1", first!.held.state));
    assert.deepEqual(await live(run), ["1", "three", "two"]);
    await run.replica.write(key, remove((await run.replica.read(key)).held.state));
    assert.deepEqual(await live(run), []);
  });

  test("mints on what is kept for others as well as on the own row", async () => {
    const run = await new World().start();
    const other = await new World().start();
    const kept = (await other.replica.write(key, put("hinted"))).held;
    await run.replica.keepHint(key, host("h9"), kept.encoded!);
    const written = await run.replica.write(key, put("own"));
    assert.deepEqual(texts(written.held.state.values), ["hinted", "own"]);
  });
});

describe("a write id", () => {
  test("makes a repeat the same event: one value, and the repeat changes nothing", async () => {
    const world = new World();
    const run = await world.start();
    const first = await run.replica.write(key, put("a", undefined, { writeId }));
    const again = await run.replica.write(key, put("a", undefined, { writeId }));
    assert.deepEqual(again.dot, first.dot);
    assert.deepEqual([first.writeIdIgnored, again.writeIdIgnored], [false, false]);
    assert.deepEqual(await live(run), ["a"]);
  });

  test("repeated after it was overwritten brings nothing back", async () => {
    const run = await new World().start();
    const first = await run.replica.write(key, put("a", undefined, { writeId }));
    await run.replica.write(key, put("b", first.held.state));
    await run.replica.write(key, put("a", undefined, { writeId }));
    assert.deepEqual(await live(run), ["b"]);
  });

  test("minted at two hosts is one event when they meet", async () => {
    const [one, other] = [await new World().start(), await new World().start()];
    const here = await one.replica.write(key, put("a", undefined, { writeId }));
    const there = await other.replica.write(key, put("a", undefined, { writeId }));
    await one.replica.apply(key, there.held.encoded!);
    await other.replica.apply(key, here.held.encoded!);
    assert.deepEqual(await live(one), ["a"]);
    assert.deepEqual((await one.replica.read(key)).held.state, (await other.replica.read(key)).held.state);
  });

  test("of one key means nothing on another, and another id is another event", async () => {
    const { replica } = await new World().start();
    const dots = [
      await replica.write(key, put("a", undefined, { writeId })),
      await replica.write(at("other"), put("a", undefined, { writeId })),
      await replica.write(key, put("a", undefined, { writeId: writeId.replace("aa", "ab") })),
    ].map(({ dot }) => dot.actor);
    assert.equal(new Set(dots).size, 3);
  });

  test("that filled the clock is still the same event when it is repeated", async () => {
    const run = await new World({ clockEntriesMax: 1 }).start();
    const first = await run.replica.write(key, put("a", undefined, { writeId }));
    const again = await run.replica.write(key, put("a", undefined, { writeId }));
    assert.deepEqual([again.dot, again.writeIdIgnored], [first.dot, false]);
    assert.deepEqual(await live(run), ["a"]);
  });

  test("is repeated without harm at the sibling limit", async () => {
    const run = await new World({ siblingsMax: 1 }).start();
    await run.replica.write(key, put("a", undefined, { writeId }));
    await run.replica.write(key, put("a", undefined, { writeId }));
    await assert.rejects(run.replica.write(key, put("b")), StoreError);
  });

  test("is ignored, and said to be, by lww values and above the clock's limit", async () => {
    const lww = await (
      await new World().start()
    ).replica.write(key, put("a", undefined, { writeId, value: { kind: "lww" } }));
    assert.equal(lww.writeIdIgnored, true);
    const world = new World({ clockEntriesMax: 1 });
    for (const text of ["a", "b"]) await (await world.start()).replica.write(key, put(text));
    const crowded = await (await world.start()).replica.write(key, put("c", undefined, { writeId }));
    assert.equal(crowded.writeIdIgnored, true);
  });
});

test("a clock that stays too long is told of, and is cut once it is known what is forgettable", async () => {
  const world = new World({ clockEntriesMax: 1 });
  const first = await (await world.start()).replica.write(key, put("a"));
  assert.equal(world.longClocks.size, 0);
  const second = await (await world.start()).replica.write(key, put("b", first.held.state));
  assert.deepEqual([...world.longClocks], [key.partition]);
  world.longClocks.clear();
  world.forgettableBeforeMs = Infinity;
  const third = await (await world.start()).replica.write(key, put("c", second.held.state));
  assert.equal(third.held.state.vector.length, 1);
  assert.equal(world.longClocks.size, 0);
});

test("a write replaces all that it has seen, however many writers that had and however short clocks are to be", async () => {
  const world = new World({ clockEntriesMax: 1 });
  const behind = await new World({ clockEntriesMax: 1 }).start();
  for (let writer = 0; writer < 15; writer++) {
    const { held } = await (await world.start()).replica.write(key, put(`${writer}`));
    await behind.replica.apply(key, held.toBytes());
  }
  const run = await world.start();
  const { held } = await run.replica.read(key);
  const resolved = await run.replica.write(key, put("all", held.state));
  assert.deepEqual(await live(run), ["all"]);
  await behind.replica.apply(key, resolved.held.toBytes(), { minted: true });
  assert.deepEqual(await live(behind), ["all"]);
});

describe("a last-writer-wins value", () => {
  const lww = { value: { kind: "lww" as const } };

  test("is one: the later write stays, with or without a context", async () => {
    const run = await new World().start();
    await run.replica.write(key, put("a", undefined, lww));
    await run.replica.write(key, put("b", undefined, lww));
    assert.deepEqual(await live(run), ["b"]);
  });

  test("written under a clock that was set back still wins over what it saw", async () => {
    const world = new World();
    const run = await world.start();
    const first = await run.replica.write(key, put("a", undefined, lww));
    world.clock.wallMs -= 500_000;
    const restarted = await world.start();
    const second = await restarted.replica.write(key, put("b", undefined, lww));
    assert.ok(second.stamp > first.stamp);
    assert.deepEqual(await live(restarted), ["b"]);
  });

  test("makes later writes of any kind lww too, deletes included", async () => {
    const run = await new World().start();
    const { held } = await run.replica.write(key, put("a", undefined, lww));
    const next = await run.replica.write(key, put("b", held.state));
    assert.deepEqual(
      next.held.state.values.map(({ kind }) => kind),
      ["lww"],
    );
    await run.replica.write(key, remove(next.held.state));
    assert.deepEqual(await live(run), []);
  });
});
