import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Progress } from "../../../core/background/progress.ts";
import { ManualClock } from "../../support/manual-clock.ts";

describe("the progress of a transfer", () => {
  test("is told while it is under way, with no estimate before its first step", async () => {
    const clock = new ManualClock();
    const progress = new Progress(clock);
    assert.equal(progress.view(), undefined);
    progress.begin(8);
    await clock.advance(1_000);
    progress.moved(3, 700);
    assert.deepEqual(progress.view(), { percent: 0, keys: 3, bytes: 700, leftMs: null });
    progress.end();
    assert.equal(progress.view(), undefined);
  });

  test("is the share of its steps, and the time left what the rest takes at the pace so far", async () => {
    const clock = new ManualClock();
    await clock.advance(50_000);
    const progress = new Progress(clock);
    progress.begin(8);
    await clock.advance(1_000);
    progress.step();
    progress.moved(2, 100);
    assert.deepEqual(progress.view(), { percent: 12, keys: 2, bytes: 100, leftMs: 7_000 });
    await clock.advance(1_000);
    progress.step(3);
    progress.moved(5, 900);
    assert.deepEqual(progress.view(), { percent: 50, keys: 7, bytes: 1_000, leftMs: 2_000 });
    await clock.advance(500);
    assert.equal(progress.view()?.leftMs, 2_500, "nothing got on meanwhile");
    progress.step(4);
    assert.deepEqual(progress.view(), { percent: 100, keys: 7, bytes: 1_000, leftMs: 0 });
  });

  test("stays at 100 % where more was done than it began with", () => {
    const progress = new Progress(new ManualClock());
    progress.begin(2);
    progress.step(3);
    assert.deepEqual(progress.view(), { percent: 100, keys: 0, bytes: 0, leftMs: 0 });
  });

  test("begins anew with the next transfer", async () => {
    const clock = new ManualClock();
    const progress = new Progress(clock);
    progress.begin(2);
    progress.step(2);
    progress.moved(9, 9_000);
    progress.end();
    assert.deepEqual([progress.keys, progress.bytes], [9, 9_000], "of the last one, for the event that tells of it");
    await clock.advance(60_000);
    progress.begin(4);
    await clock.advance(100);
    progress.step();
    assert.deepEqual(progress.view(), { percent: 25, keys: 0, bytes: 0, leftMs: 300 });
  });
});
