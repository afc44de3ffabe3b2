import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PartitionIndex } from "../../../core/identity.ts";
import { Stillness } from "../../../core/replica/stillness.ts";
import { ManualClock } from "../../support/manual-clock.ts";

describe("stillness", () => {
  const partition = 3 as PartitionIndex;

  test("begins anew with the process, with a hint that left its partition, and with a pause", () => {
    const clock = new ManualClock(1_000);
    const still = new Stillness(clock, 1_000);
    const after = (ms: number): boolean => {
      for (let passed = 0; passed < ms; passed += 100) {
        clock.jump(100);
        still.sweep();
      }
      return still.isStill(partition);
    };
    assert.deepEqual([after(900), after(100)], [false, true]);
    still.hintGone(partition);
    assert.equal(still.isStill(4 as PartitionIndex), true, "it was of another partition");
    assert.deepEqual([after(900), after(100)], [false, true]);
    clock.jump(500);
    assert.equal(still.isStill(4 as PartitionIndex), false, "nothing ran for so long");
  });

  test("begins anew when the wall clock jumps, either way", () => {
    for (const jumpMs of [-2_000, 2_000]) {
      const clock = new ManualClock(1_000_000);
      const still = new Stillness(clock, 1_000);
      for (let i = 0; i < 10; i++) {
        clock.jump(100);
        still.sweep();
      }
      assert.equal(still.isStill(partition), true);
      clock.wallMs += jumpMs;
      assert.equal(still.isStill(partition), false);
    }
  });
});
