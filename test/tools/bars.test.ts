/** Which missed bar fails a trial. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { missedBars } from "./bars.ts";
import type { Figure } from "./trial.ts";

const slow: Figure = { name: "p99.9", value: 120, unit: "ms", bar: { atMost: 100 } };
const behind: Figure = { name: "puts, times theirs", value: 0.9, unit: "x", bar: { atLeast: 1 } };
const lost: Figure = { name: "lost", value: 2, unit: "", bar: { atMost: 0 } };

describe("bars", () => {
  test("a met bar and a figure without a bar say nothing", () => {
    const { bar: _, ...unasked } = slow;
    assert.deepEqual(missedBars([{ ...slow, value: 100 }, { ...behind, value: 1 }, unasked], false), []);
  });

  test("every missed bar counts in a full run", () => {
    assert.deepEqual(missedBars([slow, behind, lost], false), [
      { text: "p99.9: 120 ms, at most 100 asked", isCounted: true },
      { text: "puts, times theirs: 0.9 x, at least 1 asked", isCounted: true },
      { text: "lost: 2, at most 0 asked", isCounted: true },
    ]);
  });

  test("a short run counts no missed timing, and still counts what must hold", () => {
    const counted = missedBars([slow, behind, lost], true).map(({ isCounted }) => isCounted);
    assert.deepEqual(counted, [false, false, true]);
    const memory: Figure = { name: "idle host", value: 151, unit: "MB", bar: { atMost: 150 } };
    assert.deepEqual(
      missedBars([memory], true).map(({ isCounted }) => isCounted),
      [true],
      "memory is not a matter of how busy the machine is",
    );
  });

  test("a timing that nothing was measured for counts in a short run too", () => {
    const none = [NaN, Infinity].map((value): Figure => ({ ...slow, value }));
    assert.deepEqual(
      missedBars(none, true).map(({ isCounted }) => isCounted),
      [true, true],
    );
  });
});
