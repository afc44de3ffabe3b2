/** What one node has of a deleted key, and how it forgets it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { verdictOfOther, verdictOfOwner } from "../../../core/replica/remains.ts";
import { at, host, put, remove, World } from "./world.ts";

const graceMs = 60_000;
const world = (): World => new World({ graceMs });

describe("a deleted key", () => {
  test("is forgotten once it is old enough, and leaves no row behind", async () => {
    const here = world();
    const { replica, records } = await here.start();
    const key = at("k");
    const first = await replica.write(key, put("v"));
    const { held } = await replica.write(key, remove(first.held.state));
    assert.equal(replica.tombstones.size, 1);
    assert.equal(await replica.forget(key, held.digest), false, "too young");
    here.clock.wallMs += graceMs;
    assert.equal(await replica.forget(key, first.held.digest), false, "another clock");
    assert.equal(await replica.forget(key, held.digest), true);
    assert.equal((await replica.read(key)).held.encoded, undefined);
    assert.equal(replica.tombstones.size, 0);
    for (const ns of ["objects", "meta"] as const) {
      assert.deepEqual((await records.page(ns, { limit: 10 })).rows, []);
    }
    assert.equal(await replica.forget(key, held.digest), false, "there is nothing left");
  });

  test("ends the actor that its clock names, so that no later event claims those of before (riak_kv#1094)", async () => {
    const here = world();
    const { replica, holdings } = await here.start();
    const key = at("k");
    const { held } = await replica.write(key, remove());
    const actor = holdings.actorOf(key.partition);
    here.clock.wallMs += graceMs;
    await replica.forget(key, held.digest);
    const anew = await replica.write(key, put("new"));
    assert.notEqual(anew.dot.actor, actor);
    assert.equal(anew.held.state.vector.length, 1);
  });

  test("keeps the actor that it does not name: clocks of other keys stay short", async () => {
    const here = world();
    const { replica, holdings } = await here.start();
    const other = await here.start();
    const key = at("k");
    const { held } = await other.replica.write(key, remove());
    await replica.apply(key, held.encoded!);
    holdings.nextDot(key.partition);
    const actor = holdings.actorOf(key.partition);
    here.clock.wallMs += graceMs;
    assert.equal(await replica.forget(key, held.digest), true);
    assert.equal(holdings.actorOf(key.partition), actor);
  });

  test("is not forgotten while a hint of it is kept", async () => {
    const here = world();
    const { replica } = await here.start();
    const key = at("k");
    const { held } = await replica.write(key, remove());
    await replica.oweTo(key, host("h2"), held.toBytes());
    here.clock.jump(2 * graceMs);
    replica.stillness.sweep();
    assert.equal((await replica.examine(key)).isHinted, true);
    assert.equal(await replica.forget(key, held.digest), false);
    const { hints } = await replica.hints.page(host("h2"), { after: undefined, limit: 1 });
    here.clock.jump(1);
    assert.equal(await replica.hintDelivered(key, host("h2"), hints[0]!), true);
    assert.equal(replica.stillness.isStill(key.partition), false);
    assert.equal(await replica.forget(key, held.digest), true);
  });

  test("is forgotten by no owner that fills, and consented to by no other host that has its row", async () => {
    const here = world();
    const { replica, holdings } = await here.start();
    const key = at("k");
    const { held } = await replica.write(key, remove());
    here.clock.wallMs += graceMs;
    const time = { nowMs: here.clock.wallTime(), graceMs };
    for (const holding of ["filling", "former", "none"] as const) {
      holdings.set(key.partition, holding);
      const remains = await replica.examine(key);
      assert.equal(verdictOfOwner(remains, held.digest, time), "incomplete");
      assert.equal(verdictOfOther(remains), holding === "none" ? "agreed" : "held");
      assert.equal(await replica.forget(key, held.digest), false);
    }
  });

  test("does not come back with a hint whose batch failed: it is deleted before the consent", async () => {
    const here = world();
    const { replica, records } = await here.start();
    const key = at("k");
    const { held } = await replica.write(key, put("v"));
    Object.assign(here.disk, { refusesWrites: "io", writesWhatItRefuses: true });
    await assert.rejects(replica.keepHint(key, host("h2"), held.encoded!));
    here.disk.refusesWrites = undefined;
    assert.equal((await records.page("hints", { limit: 10 })).rows.length, 1, "the disk has it, and nobody knows");
    assert.equal((await replica.examine(key)).isHinted, false);
    assert.deepEqual((await records.page("hints", { limit: 10 })).rows, []);
  });
});

describe("the log of tombstones", () => {
  test("counts the age of a clock from its first storing here, over repeats, restarts and other writers' repairs", async () => {
    const here = world();
    const { replica } = await here.start();
    const key = at("k");
    const { held } = await replica.write(key, remove());
    const sinceMs = here.clock.wallTime();
    here.clock.wallMs += 1_000;
    await replica.apply(key, held.encoded!);
    const again = (await here.start()).replica;
    assert.equal(again.tombstones.countIn(key.partition), 1);
    assert.equal((await again.tombstones.get(key))?.sinceMs, sinceMs);
    await again.write(key, remove(held.state));
    assert.equal((await again.tombstones.get(key))?.sinceMs, here.clock.wallTime(), "another clock");
  });

  test("has a row for exactly the keys of which nothing can be read for ever, with their clocks", async () => {
    const step = fc.record({
      name: fc.constantFrom("a", "b", "c"),
      what: fc.constantFrom("put", "delete", "expiring", "sibling", "forget", "restart"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const here = world();
        let { replica } = await here.start();
        for (const { name, what } of steps) {
          const key = at(name);
          const { held } = await replica.read(key);
          here.clock.wallMs += graceMs;
          const expiring = { value: { expiresAtMs: here.clock.wallTime() + 1 } };
          if (what === "restart") ({ replica } = await here.start());
          else if (what === "forget") await replica.forget(key, held.digest);
          else if (what === "put") await replica.write(key, put("v", held.state));
          else if (what === "sibling") await replica.write(key, put("v"));
          else if (what === "expiring") await replica.write(key, put("v", held.state, expiring));
          else await replica.write(key, remove(held.state));
        }
        let rows = 0;
        for (const name of ["a", "b", "c"]) {
          const key = at(name);
          const { held } = await replica.read(key);
          const { values } = held.state;
          const mayGo =
            values.length > 0 && values.every(({ tombstone, expiresAtMs }) => tombstone || expiresAtMs !== undefined);
          const logged = await replica.tombstones.get(key);
          assert.deepEqual(logged?.digest, mayGo ? held.digest : undefined);
          if (mayGo) rows += 1;
        }
        assert.equal(replica.tombstones.size, rows);
      }),
    );
  });

  test("lets an expiring value wait from when it expires", async () => {
    const here = world();
    const { replica } = await here.start();
    const key = at("k");
    const expiresAtMs = here.clock.wallTime() + 10_000;
    const { held } = await replica.write(key, put("v", undefined, { value: { expiresAtMs } }));
    here.clock.wallMs += graceMs;
    assert.equal(await replica.forget(key, held.digest), false);
    here.clock.wallMs += 10_000;
    assert.equal(await replica.forget(key, held.digest), true);
  });

  test("begins anew with a clock that was set back, and waits no longer than that", async () => {
    const here = world();
    const { replica } = await here.start();
    const key = at("k");
    const { held } = await replica.write(key, remove());
    here.clock.wallMs -= 10 * graceMs;
    await replica.examine(key);
    assert.equal((await replica.tombstones.get(key))?.sinceMs, here.clock.wallTime());
    here.clock.wallMs += graceMs;
    assert.equal(await replica.forget(key, held.digest), true);
  });

  test("survives the damage of its key's record: healed, the delete is as old as it was", async () => {
    const here = world();
    const { replica } = await here.start();
    const key = at("k");
    const { held } = await replica.write(key, remove());
    const sinceMs = here.clock.wallTime();
    await here.disk.rot("objects", key.row);
    here.clock.wallMs += graceMs;
    const again = (await here.start()).replica;
    assert.equal(await again.forget(key, held.digest), false);
    await again.apply(key, encodeVersioned(held.state), { heals: true });
    assert.deepEqual([again.tombstones.size, (await again.tombstones.get(key))?.sinceMs], [1, sinceMs]);
    assert.equal(await again.forget(key, held.digest), true);
    assert.equal(again.tombstones.size, 0);
  });

  test("is waited for no more once its record is lost and the key written anew", async () => {
    const here = world();
    const { replica, records } = await here.start();
    const key = at("k");
    await replica.write(key, remove());
    await records.commit([{ kind: "delete", ns: "objects", key: key.row }]);
    const again = (await here.start()).replica;
    await again.write(key, put("v"));
    assert.equal(again.tombstones.size, 1, "nobody has looked");
    await again.examine(key);
    assert.deepEqual([again.tombstones.size, await again.tombstones.get(key)], [0, undefined]);
  });
});
