import assert from "node:assert/strict";
import { test } from "node:test";
import { OwnTime, tickIntervalMs } from "../../../core/replica/own-time.ts";
import { ManualClock } from "../../support/manual-clock.ts";

for (const [what, sleep] of [
  ["was stopped", (clock: ManualClock) => clock.jump(60_000)],
  ["was suspended with a machine whose steady clock stood still", (clock: ManualClock) => (clock.wallMs += 60_000)],
] as const)
  test(`a process that ${what} knows so before anything else runs`, () => {
    const clock = new ManualClock(1_000_000);
    const time = new OwnTime(clock);
    clock.jump(tickIntervalMs);
    time.tick();
    const beganMs = clock.now();
    assert.deepEqual([time.isSettled, time.hasSleptSince(beganMs)], [true, false]);
    sleep(clock);
    assert.deepEqual([time.isSettled, time.hasSleptSince(beganMs)], [false, true]);
    time.tick();
    assert.deepEqual([time.isSettled, time.hasSleptSince(beganMs)], [false, true]);
  });
