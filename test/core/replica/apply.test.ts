import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { DecodeError } from "../../../core/bytes/codec.ts";
import { decodeVersioned, encodeVersioned } from "../../../core/causality/encoding.ts";
import {
  contextOf,
  deleted,
  merge,
  mint,
  nothing,
  nothingSeen,
  siblings,
} from "../../../core/causality/version-set.ts";
import { failsWith, microtasks, texts, utf8 } from "../../support/values.ts";
import { value } from "../causality/samples.ts";
import { at, put, remove, World } from "./world.ts";

const key = at("k");

/** States that three hosts may send each other: each event merges what some other host holds, then writes, blind or not. */
const history: fc.Arbitrary<Uint8Array[]> = fc
  .array(
    fc.record({
      by: fc.nat(2),
      from: fc.nat(2),
      blind: fc.boolean(),
      kind: fc.constantFrom("opaque", "lww"),
      dead: fc.boolean(),
    }),
    { minLength: 1, maxLength: 8 },
  )
  .map((events) => {
    const held = [nothing, nothing, nothing];
    return events.map(({ by, from, blind, kind, dead }, i) => {
      const base = merge(held[by]!, held[from]!);
      const written = value(by + 1, i + 1, 1_000 + i, { body: utf8(`event ${i}`), kind, tombstone: dead });
      held[by] = mint(base, blind ? nothingSeen : contextOf(base), written);
      return encodeVersioned(held[by]);
    });
  });

describe("apply", () => {
  test("is idempotent and knows no order: replicas that got the same states hold the same", async () => {
    await fc.assert(
      fc.asyncProperty(
        history.chain((states) =>
          fc.record({ states: fc.constant(states), order: fc.shuffledSubarray(states, { minLength: states.length }) }),
        ),
        fc.array(fc.nat(), { maxLength: 5 }),
        async ({ states, order }, repeats) => {
          const [one, other] = [await new World().start(), await new World().start()];
          for (const state of states) await one.replica.apply(key, state);
          await Promise.all(
            [...order, ...repeats.map((i) => order[i % order.length]!)].map((state) => other.replica.apply(key, state)),
          );
          const expected = states.map(decodeVersioned).reduce(merge);
          assert.deepEqual((await one.replica.read(key)).held.state, expected);
          assert.deepEqual((await other.replica.read(key)).held.state, expected);
        },
      ),
      { numRuns: 150 },
    );
  });

  test("of what is known already writes nothing and tells nobody", async () => {
    const world = new World();
    const { replica } = await world.start();
    const { held } = await replica.write(key, put("a"));
    const [batches, position] = [world.disk.batches, replica.changes.position];
    await replica.apply(key, held.encoded!);
    assert.equal(world.disk.batches, batches);
    assert.deepEqual(replica.changes.position, position);
  });

  test("of bytes that are no state throws, and nothing has changed", async () => {
    const world = new World();
    const { replica } = await world.start();
    await assert.rejects(replica.apply(key, Uint8Array.of(255, 1, 2)), DecodeError);
    assert.equal(world.disk.batches, 0);
    assert.equal((await replica.read(key)).held.state, nothing);
  });

  test("is refused where nothing of the partition is held", async () => {
    const { replica } = await new World().start("none");
    const state = encodeVersioned({ vector: [], values: [] });
    await assert.rejects(replica.apply(key, state), failsWith("not-ready"));
  });

  test("and a write for which it was planned, are refused when the partition goes to others while they wait", async () => {
    const encoded = (await (await new World().start()).replica.write(key, put("a"))).held.encoded!;
    for (const work of ["apply", "write"] as const) {
      const world = new World();
      const { replica, holdings } = await world.start();
      const release = world.disk.hold("reads");
      const waiting = work === "apply" ? replica.apply(key, encoded) : replica.write(key, put("b"));
      const refused = assert.rejects(waiting, failsWith("not-ready"), work);
      await microtasks();
      holdings.set(key.partition, "former");
      release();
      await refused;
      assert.deepEqual((await replica.page({ limit: 10 })).rows, []);
    }
  });

  test("answers with its role: complete, filling while it fills or is not sure of the ring", async () => {
    const state = (await (await new World().start()).replica.write(key, put("a"))).held.encoded!;
    assert.equal((await (await new World().start("complete")).replica.apply(key, state)).role, "complete");
    assert.equal((await (await new World().start("filling")).replica.apply(key, state)).role, "filling");
    assert.equal((await (await new World().start("complete", false)).replica.apply(key, state)).role, "filling");
  });
});

describe("durability", () => {
  test("comes first: while a batch is under way no read, no watcher and no answer knows of the write", async () => {
    const world = new World();
    const { replica } = await world.start();
    const first = await replica.write(key, put("old"));
    const before = replica.changes.position;
    const release = world.disk.hold("writes");
    const answered: string[] = [];
    const writing = replica.write(key, put("new", first.held.state)).then(() => answered.push("new"));
    await microtasks();
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["old"]);
    assert.deepEqual(replica.changes.position, before);
    assert.deepEqual(answered, []);
    release();
    await writing;
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["new"]);
    assert.equal(replica.changes.position.sequence, before.sequence + 1);
  });

  test("a refused batch leaves the old state, tells no watcher, and the next write succeeds", async () => {
    const world = new World();
    const { replica } = await world.start();
    const first = await replica.write(key, put("old"));
    const before = replica.changes.position;
    world.disk.refusesWrites = "io";
    await assert.rejects(replica.write(key, put("lost", first.held.state)), failsWith("internal"));
    await assert.rejects(
      replica.apply(key, encodeVersioned({ ...first.held.state, values: [] })),
      failsWith("internal"),
    );
    world.disk.refusesWrites = undefined;
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["old"]);
    assert.deepEqual(replica.changes.position, before);
    await replica.write(key, put("next", first.held.state));
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["next"]);
  });

  test("what a failed batch left on the disk after all is found, not overwritten", async () => {
    const world = new World();
    const { replica } = await world.start();
    world.disk.refusesWrites = "io";
    world.disk.writesWhatItRefuses = true;
    await assert.rejects(replica.write(key, put("survivor")), failsWith("internal"));
    world.disk.refusesWrites = undefined;
    await replica.write(key, put("second"));
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["second", "survivor"]);
  });

  test("a full disk is storage-full, shown in the state until a write succeeds; reads go on", async () => {
    const world = new World();
    const { replica } = await world.start();
    await replica.write(key, put("old"));
    world.disk.refusesWrites = "full";
    await assert.rejects(replica.write(key, put("more")), failsWith("storage-full"));
    assert.equal(replica.commits.state, "full");
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["old"]);
    world.disk.refusesWrites = undefined;
    await replica.write(key, put("again"));
    assert.equal(replica.commits.state, "ok");
    const told = world.events.flatMap((event) => (event.kind === "storage" ? [event.state] : []));
    assert.deepEqual(told, ["full", "ok"]);
  });

  test("of the coordinator's copy survives a power cut, also with `buffered`; the other copies may not", async () => {
    for (const durability of ["synced", "buffered"] as const) {
      const [coordinator, other] = [new World({ durability }), new World({ durability })];
      const { held } = await (await coordinator.start()).replica.write(key, put("v"));
      await (await other.start()).replica.apply(key, held.encoded!);
      for (const { disk } of [coordinator, other]) await disk.powerCut();
      const left = await Promise.all(
        [coordinator, other].map(async (world) => (await (await world.start()).replica.read(key)).held.state.values),
      );
      assert.deepEqual(left.map(texts), durability === "synced" ? [["v"], ["v"]] : [["v"], []]);
    }
  });

  test("of what another node is to forget is that of the disk, also with `buffered`, and where it adds nothing", async () => {
    const coordinator = await new World({ durability: "buffered" }).start();
    const { held } = await coordinator.replica.write(key, put("v"));
    const world = new World({ durability: "buffered" });
    const { replica } = await world.start();
    for (let i = 0; i < 2; i++) await replica.apply(key, held.encoded!);
    await replica.commits.settle();
    await world.disk.powerCut();
    assert.deepEqual(texts((await (await world.start()).replica.read(key)).held.state.values), ["v"]);
  });
});

describe("what a reader sees", () => {
  test("a value beside a tombstone is live and deleted; a tombstone alone leaves only the context", async () => {
    const { replica } = await new World().start();
    const { held: first } = await replica.write(key, put("a"));
    await replica.write(key, remove(first.state));
    const gone = (await replica.read(key)).held.state;
    assert.deepEqual([siblings(gone, 0).length, deleted(gone, 0), gone.vector.length], [0, true, 1]);
    await replica.write(key, put("b", first.state));
    const both = (await replica.read(key)).held.state;
    assert.deepEqual([texts(siblings(both, 0)), deleted(both, 0)], [["b"], true]);
  });

  test("an expired value reads as deleted from its time on, and nothing is written for it", async () => {
    const world = new World();
    const { replica } = await world.start();
    const expiresAtMs = world.clock.wallTime() + 500;
    const { held } = await replica.write(key, put("brief", undefined, { value: { expiresAtMs } }));
    const { batches } = world.disk;
    assert.equal(siblings(held.state, expiresAtMs - 1).length, 1);
    const later = (await replica.read(key)).held.state;
    assert.deepEqual([siblings(later, expiresAtMs).length, deleted(later, expiresAtMs)], [0, true]);
    assert.equal(world.disk.batches, batches);
  });
});

describe("the cache", () => {
  test("of no bytes at all changes nothing that is seen", async () => {
    const { replica } = await new World({ cacheBytesMax: 0 }).start();
    const { held } = await replica.write(key, put("a"));
    await replica.write(key, put("b", held.state));
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["b"]);
    assert.equal((await replica.read(at("absent"))).held.state, nothing);
  });

  test("saves the disk a read of what was read or written lately, and forgets the oldest first", async () => {
    const world = new World({ cacheBytesMax: 3 * 900 });
    const { replica } = await world.start();
    for (const name of ["k1", "k2", "k3", "k4", "k5"]) await replica.write(at(name), put("x".repeat(50)));
    world.disk.refusesReads = "io";
    assert.deepEqual(texts((await replica.read(at("k5"))).held.state.values), ["x".repeat(50)]);
    await assert.rejects(replica.read(at("k1")), failsWith("not-ready"));
  });
});
