import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { at, put, remove, World } from "./world.ts";

const keys = (count: number) => Array.from({ length: count }, (_, i) => at(`key${i}`));
const running = (): boolean => false;

describe("the number of keys", () => {
  test("counts a new key once, an overwritten or deleted one not again", async () => {
    const { replica } = await new World().start();
    await replica.keys.countAll(running);
    const { held } = await replica.write(at("a"), put("1"));
    await replica.write(at("a"), put("2", held.state));
    await replica.write(at("a"), remove(held.state));
    await replica.write(at("b"), put("1"));
    assert.equal(replica.keys.value, 2);
  });

  test("is counted from the disk after a restart", async () => {
    const world = new World();
    const first = await world.start();
    await Promise.all(keys(50).map((key) => first.replica.write(key, put("x"))));
    const again = await world.start();
    assert.equal(again.replica.keys.value, 0);
    await again.replica.keys.countAll(running);
    assert.equal(again.replica.keys.value, 50);
  });

  test("is exact for keys that were written before, and after, the count passed their rows", async () => {
    const world = new World();
    const first = await world.start();
    const all = keys(60);
    for (const key of all.slice(0, 30)) await first.replica.write(key, put("x"));
    const { replica } = await world.start();
    for (const key of all.slice(20, 40)) await replica.write(key, put("y"));
    await replica.keys.countAll(running);
    for (const key of all.slice(30)) await replica.write(key, put("z"));
    assert.equal(replica.keys.value, 60);
  });

  test("stops when the node stops, and goes on where it was", async () => {
    const world = new World();
    const first = await world.start();
    await first.replica.write(at("a"), put("1"));
    const { replica } = await world.start();
    await replica.keys.countAll(() => true);
    assert.equal(replica.keys.value, 0);
    await replica.keys.countAll(running);
    assert.equal(replica.keys.value, 1);
  });

  test("does not grow by a write that was refused, nor by a state that is known", async () => {
    const world = new World();
    const { replica } = await world.start();
    await replica.keys.countAll(running);
    world.disk.refusesWrites = "full";
    await assert.rejects(replica.write(at("a"), put("1")));
    world.disk.refusesWrites = undefined;
    const { held } = await replica.write(at("a"), put("1"));
    await replica.apply(at("a"), encodeVersioned(held.state));
    await replica.keepHint(at("b"), "h2" as never, held.encoded!);
    assert.equal(replica.keys.value, 1);
  });
});
