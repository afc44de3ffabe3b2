import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HybridClock, stampOfMs, stampToMs } from "../../../core/causality/hybrid-clock.ts";

const NOW_MS = Date.UTC(2026, 10, 21);
const DRIFT_MS = 60_000;
const clock = () => new HybridClock({ clockDriftMaxMs: DRIFT_MS });

test("a stamp is the wall clock's millisecond times 1,024, and the next events of that millisecond follow it", () => {
  const one = clock();
  assert.equal(one.tick(NOW_MS), NOW_MS * 1024);
  assert.equal(one.tick(NOW_MS), NOW_MS * 1024 + 1);
  assert.equal(stampToMs(NOW_MS * 1024 + 1023), NOW_MS);
  assert.ok(Number.isSafeInteger(stampOfMs(Date.UTC(2248, 0, 1))));
});

test("the 1,025th event of a millisecond carries into the next", () => {
  const one = clock();
  for (let i = 0; i < 1024; i++) assert.equal(stampToMs(one.tick(NOW_MS)), NOW_MS);
  assert.equal(stampToMs(one.tick(NOW_MS)), NOW_MS + 1);
});

test("stamps exceed their floors, the wall clock, and earlier stamps within the bound, however the wall clock steps", () => {
  const jumps = fc.array(fc.record({ stepMs: fc.integer({ min: -900, max: 900 }), floorMs: fc.nat(3 * DRIFT_MS) }));
  fc.assert(
    fc.property(jumps, (list) => {
      const one = clock();
      let latest = 0;
      for (const { stepMs, floorMs } of list) {
        const wallMs = NOW_MS + stepMs;
        const floor = stampOfMs(NOW_MS - DRIFT_MS + floorMs);
        const stamp = one.tick(wallMs, floor, 0);
        assert.ok(stamp > floor && stamp >= stampOfMs(wallMs));
        if (one.isWithinBound(latest, wallMs)) assert.ok(stamp > latest);
        latest = one.tick(wallMs);
        assert.ok(one.isWithinBound(latest, wallMs));
      }
    }),
  );
});

test("a stamp within the bound moves the clock", () => {
  const one = clock();
  const seen = stampOfMs(NOW_MS + DRIFT_MS) + 1023;
  assert.equal(one.observe(seen, NOW_MS), true);
  assert.equal(one.tick(NOW_MS + 1), seen + 1);
});

test("a stamp beyond the bound does not move the clock, but a mint exceeds it where its state holds it", () => {
  const one = clock();
  const far = stampOfMs(NOW_MS + DRIFT_MS + 1);
  assert.equal(one.observe(far, NOW_MS), false);
  assert.equal(one.tick(NOW_MS), stampOfMs(NOW_MS));
  assert.equal(one.tick(NOW_MS, far), far + 1);
  assert.equal(one.tick(NOW_MS), stampOfMs(NOW_MS) + 1);
});

test("after the wall clock was far ahead and is set right, the clock follows it", () => {
  const one = clock();
  one.tick(NOW_MS + 365 * 86_400_000);
  assert.equal(one.tick(NOW_MS), stampOfMs(NOW_MS));
});

test("the last stamp of all closes no key: the next is no greater, and still a safe integer", () => {
  assert.equal(clock().tick(NOW_MS, Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
  assert.equal(clock().observe(Number.MAX_SAFE_INTEGER, NOW_MS), false);
});
