/** What a `lww` value lost without having been asked is told, once at each replica (PROTOCOL 11). */
import assert from "node:assert/strict";
import { test } from "node:test";
import { dotText } from "../../../core/causality/version-set.ts";
import { at, put, type Run, World } from "./world.ts";

const told = (world: World): string[] =>
  world.events.flatMap((event) => (event.kind === "conflict" ? [`${event.key} ${event.discardedDot}`] : []));

const lww = { value: { kind: "lww" } } as const;

async function write(
  run: Run,
  body: string,
  seen?: Parameters<typeof put>[1],
): Promise<{ state: Uint8Array; dot: string }> {
  const { held, dot } = await run.replica.write(at("k"), put(body, seen, lww));
  return { state: held.encoded!, dot: dotText(dot) };
}

test("of two lww writes that had not seen each other the loser is told where they meet, and not again", async () => {
  const [left, right] = [new World(), new World()];
  const [a, b] = [await left.start(), await right.start()];
  const early = await write(a, "early");
  await right.clock.advance(5);
  const late = await write(b, "late");
  assert.deepEqual([told(left), told(right)], [[], []]);

  await a.replica.apply(at("k"), late.state);
  await b.replica.apply(at("k"), early.state);
  assert.deepEqual([told(left), told(right)], [[`b/k ${early.dot}`], [`b/k ${early.dot}`]]);
  await a.replica.apply(at("k"), late.state);
  await b.replica.apply(at("k"), early.state);
  await a.replica.apply(at("k"), (await b.replica.read(at("k"))).held.encoded!);
  assert.deepEqual([told(left).length, told(right).length], [1, 1]);
});

test("a lww write that has seen what it replaces discards nothing; one that has not is told what it replaced", async () => {
  const world = new World();
  const run = await world.start();
  await write(run, "one");
  const { state } = (await run.replica.read(at("k"))).held;
  const second = await write(run, "two", state);
  assert.deepEqual(told(world), []);
  await write(run, "three");
  assert.deepEqual(told(world), [`b/k ${second.dot}`]);
});
