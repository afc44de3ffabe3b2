import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { RateCap } from "../../../core/background/rate-cap.ts";
import { Tasks } from "../../../core/tasks.ts";
import { ManualClock } from "../../support/manual-clock.ts";

/** Bytes paid for, `chunk` at a time one after the other, in so much time. */
async function paidIn(ms: number, { rate, chunk, idleMs = 0 }: { rate: number; chunk: number; idleMs?: number }) {
  const clock = new ManualClock(1_000_000);
  const tasks = new Tasks({ clock, telemetry: { event: () => {} } });
  const cap = new RateCap({ clock, tasks }, rate);
  if (idleMs > 0) {
    await cap.pay(1);
    await clock.advance(idleMs);
  }
  let paid = 0;
  const endMs = clock.now() + ms;
  const paying = (async () => {
    while (clock.now() < endMs) {
      await cap.pay(chunk);
      paid += chunk;
    }
  })();
  await clock.advance(ms);
  await clock.advance(Infinity);
  await paying;
  return paid;
}

describe("what moves partitions", () => {
  test("pays for no more than its rate, whatever the size of a page, but for a quarter of a second's worth at once", async () => {
    for (const chunk of [100, 5_000, 60_000]) {
      const paid = await paidIn(10_000, { rate: 100_000, chunk });
      assert.ok(paid <= 1_000_000 + 25_000 + 2 * chunk, `${paid} bytes in pages of ${chunk}`);
      assert.ok(paid >= 1_000_000 - 2 * chunk, `${paid} bytes in pages of ${chunk}`);
    }
  });

  test("saves up nothing beyond that while it rests", async () => {
    const paid = await paidIn(1_000, { rate: 100_000, chunk: 1_000, idleMs: 3_600_000 });
    assert.ok(paid <= 100_000 + 25_000 + 2_000, `${paid} bytes`);
  });
});
