import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Sibling } from "../../core/api.ts";
import { Expiries } from "../../core/expiries.ts";
import type { Key } from "../../core/identity.ts";
import { ManualClock } from "../support/manual-clock.ts";

const key = (name: string): Key => `b/${name}` as Key;

/** Live values that end at these times; undefined: never. */
const ending = (...times: readonly (number | undefined)[]): Sibling[] =>
  times.map((expiresAtMs) => ({
    body: new Uint8Array(0),
    contentType: "a/b",
    kind: "opaque",
    timeMs: 0,
    dot: "a:1",
    ...(expiresAtMs === undefined ? {} : { expiresAtMs }),
  }));

function scene() {
  const clock = new ManualClock();
  const told: string[] = [];
  const deps = { after: clock.after.bind(clock), wallMs: () => clock.wallTime() };
  const expiries = new Expiries(deps, (keys) => told.push(...keys));
  return { clock, told, expiries, inMs: (ms: number) => clock.wallTime() + ms };
}

describe("values that expire while they are shown", () => {
  test("are told when the first of a key's does, each once and in time", async () => {
    const { clock, told, expiries, inMs } = scene();
    expiries.shown(key("late"), ending(inMs(90_000)));
    expiries.shown(key("soon"), ending(inMs(200_000), inMs(1_000), undefined));
    expiries.shown(key("never"), ending(undefined));
    await clock.advance(900);
    assert.deepEqual(told, []);
    await clock.advance(200);
    assert.deepEqual(told, ["b/soon"]);
    await clock.advance(88_000);
    assert.deepEqual(told, ["b/soon"]);
    await clock.advance(1_100);
    assert.deepEqual(told, ["b/soon", "b/late"]);
  });

  test("count as they were shown last", async () => {
    const { clock, told, expiries, inMs } = scene();
    expiries.shown(key("renewed"), ending(inMs(1_000)));
    expiries.shown(key("renewed"), ending(inMs(5_000)));
    expiries.shown(key("gone"), ending(inMs(1_000)));
    expiries.shown(key("gone"), []);
    await clock.advance(2_000);
    assert.deepEqual(told, []);
    await clock.advance(3_200);
    assert.deepEqual(told, ["b/renewed"]);
  });

  test("are told of no more once nobody watches", async () => {
    const { clock, told, expiries, inMs } = scene();
    expiries.shown(key("k"), ending(inMs(1_000)));
    expiries.stop();
    await clock.advance(2_000);
    assert.deepEqual(told, []);
  });
});
