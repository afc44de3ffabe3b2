import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { PhiDetector } from "../../../core/membership/phi.ts";

const suspectAfterMs = 1_000;
const silence = fc.double({ min: 0, max: 60_000, noNaN: true });
const scaleOf = fc.integer({ min: 1, max: 30_000 });
const sharesOf = fc.array(fc.double({ min: 0.5, max: 1, noNaN: true }), { minLength: 20 });
const history = fc.array(silence, { maxLength: 300 });

function after(silences: readonly number[]): PhiDetector {
  const detector = new PhiDetector({ suspectAfterMs });
  for (const ms of silences) detector.ended(ms);
  return detector;
}

/** The shortest silence that is suspected, within a millisecond. */
function threshold(detector: PhiDetector): number {
  let [low, high] = [0, 1e9];
  while (high - low > 0.5) {
    const middle = (low + high) / 2;
    if (detector.isSuspect(middle)) high = middle;
    else low = middle;
  }
  return high;
}

describe("phi", () => {
  test("is a number that never falls while a silence lasts, whatever the peer was like", () => {
    fc.assert(
      fc.property(history, silence, silence, (silences, a, b) => {
        const detector = after(silences);
        const [shorter, longer] = [a, b].toSorted((x, y) => x - y);
        const [before, now] = [detector.phi(shorter!), detector.phi(longer!)];
        assert.ok(Number.isFinite(before) && Number.isFinite(now) && before >= 0, `${before} ${now}`);
        assert.ok(now >= before, `${now} after ${before}`);
        assert.ok(!detector.isSuspect(shorter!) || detector.isSuspect(longer!));
      }),
      { numRuns: 1_000 },
    );
  });

  test("is 8, and the peer suspected, at the silence that is configured for one that never was silent or asked", () => {
    for (const silences of [[], Array<number>(500).fill(0)]) {
      const detector = after(silences);
      assert.ok(Math.abs(detector.phi(suspectAfterMs) - 8) < 0.01, String(detector.phi(suspectAfterMs)));
      assert.deepEqual([detector.isSuspect(990), detector.isSuspect(1_010)], [false, true]);
    }
  });

  test("says that half of all silences last longer than the mean", () => {
    const detector = after([4_000, 6_000, 4_000, 6_000]);
    assert.ok(Math.abs(10 ** -detector.phi(5_000) - 0.5) < 1e-9);
  });

  test("suspects nobody for a silence as long as those that it is used to, nor much sooner than configured", () => {
    fc.assert(
      fc.property(scaleOf, sharesOf, (scale, shares) => {
        const silences = shares.map((share) => share * scale);
        const detector = after(silences);
        assert.equal(detector.isSuspect(Math.max(...silences)), false);
        assert.ok(threshold(detector) >= suspectAfterMs);
        // Bounded, too: a dead peer is found out in a time that its own slowness explains.
        assert.ok(threshold(detector) <= 6.3 * scale + suspectAfterMs + 2, `${threshold(detector)} for ${scale}`);
      }),
      { numRuns: 300 },
    );
  });

  test("forgets how a peer was long ago", () => {
    const detector = after([...Array<number>(128).fill(20_000), ...Array<number>(128).fill(1)]);
    assert.ok(Math.abs(threshold(detector) - threshold(after(Array<number>(128).fill(1)))) < 2);
  });
});

describe("over a day of a model's time", () => {
  /** Peers that pause now and then: silences of so long, so often. A seeded generator, so that a failure repeats. */
  function falseAlarms(pauseMs: number, share: number, seed: number): { alarms: number; longestMs: number } {
    let state = seed;
    const random = (): number => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
    const detector = new PhiDetector({ suspectAfterMs });
    let [alarms, longestMs] = [0, 0];
    for (let second = 0; second < 86_400; second++) {
      const silenceMs = random() < share ? pauseMs * (0.7 + 0.6 * random()) : random() * 20;
      if (detector.isSuspect(silenceMs)) alarms += 1;
      longestMs = Math.max(longestMs, silenceMs);
      detector.ended(silenceMs);
    }
    return { alarms, longestMs };
  }

  test("a peer that stutters for 300 ms every other second, or for a second every fourth, is hardly ever suspected", () => {
    for (const seed of [1, 2, 3]) {
      assert.equal(falseAlarms(300, 0.5, seed).alarms, 0);
      assert.ok(falseAlarms(1_000, 0.25, seed).alarms <= 10, String(falseAlarms(1_000, 0.25, seed).alarms));
    }
  });

  test("a fixed time-out of the same length would have suspected the second one all the time", () => {
    assert.ok(falseAlarms(1_000, 0.25, 1).longestMs > suspectAfterMs);
  });
});
