import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Admission, pacedBy } from "../../../core/background/admission.ts";
import { Latencies } from "../../../core/background/latencies.ts";
import { Steps } from "../../../core/background/steps.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const options = { latencyThresholdMs: 50, windowMs: 10_000, waitMaxMs: 100 };

/** Background work that takes every turn it gets, beside clients whose requests take `latencyMs`. */
async function serve(
  seconds: number,
  latencyMs: (sinceStepMs: number, random: number) => number,
): Promise<{ readonly admission: Admission; readonly stepsMs: readonly number[] }> {
  const clock = new ManualClock();
  const admission = new Admission(clock, options);
  const stepsMs: number[] = [];
  const over = new AbortController();
  admission.observe(1); // from now on there are clients
  const work = (async () => {
    while (!over.signal.aborted) {
      await admission.turn();
      stepsMs.push(clock.now());
      // A step takes time; in no time at all it would be taken for ever on a host without clients.
      await new Promise<void>((resolve) => clock.after(1, resolve));
    }
  })();
  let seed = 1;
  for (let ms = 0; ms < seconds * 1_000; ms += 2) {
    await clock.advance(2);
    seed = (seed * 48_271) % 2_147_483_647;
    const taken = latencyMs(clock.now() - (stepsMs.at(-1) ?? -Infinity), seed / 2_147_483_647);
    clock.after(taken, () => admission.observe(taken));
  }
  over.abort();
  await clock.advance(1_000);
  await work;
  return { admission, stepsMs };
}

function lastSecond(stepsMs: readonly number[]): number {
  return stepsMs.filter((atMs) => atMs > stepsMs.at(-1)! - 1_000).length;
}

test("without clients no step waits, and clients that have gone are waited for no longer", async () => {
  const clock = new ManualClock();
  const admission = new Admission(clock, options);
  for (let i = 0; i < 1_000; i++) await admission.turn();
  admission.observe(3);
  assert.equal(admission.waitMs, options.waitMaxMs);
  await clock.advance(1_001);
  for (let i = 0; i < 1_000; i++) await admission.turn();
  assert.equal(clock.now(), 1_001);
});

test("who waits for a turn no more takes none, and holds up nobody", async () => {
  const clock = new ManualClock();
  const admission = new Admission(clock, options);
  admission.observe(3);
  await admission.turn();
  const ended: [number, boolean, number][] = [];
  for (const [i, deadlineMs] of [150, 150, 150, 50, 1_000, 260].entries()) {
    void admission.turn(deadlineMs).then((isTurn) => ended.push([i, isTurn, clock.now()]));
  }
  await clock.advance(900);
  assert.deepEqual(ended, [
    [0, true, 100],
    [1, false, 200],
    [2, false, 200],
    [3, false, 200],
    [4, true, 200],
    [5, false, 300],
  ]);
  assert.equal(await admission.turn(), true);
});

test("beside clients turns come in the order asked for, first at the longest interval, and always", async () => {
  const clock = new ManualClock();
  const admission = new Admission(clock, options);
  const granted: [number, number][] = [];
  admission.observe(3);
  for (let i = 0; i < 5; i++) void admission.turn().then(() => granted.push([i, clock.now()]));
  await clock.advance(10_000);
  assert.deepEqual(granted.slice(0, 3), [
    [0, 0],
    [1, 100],
    [2, 200],
  ]);
  assert.equal(granted.length, 5);
});

test("small pieces of work go together as one step, and wait no more than what they are", async () => {
  const clock = new ManualClock();
  const admission = new Admission(clock, options);
  admission.observe(3);
  await admission.turn();
  const work = (async () => {
    for (let i = 0; i < 32; i++) await admission.done(1 / 16);
    return clock.now();
  })();
  await clock.advance(10_000);
  assert.equal(await work, 200);
});

test("pieces that make up a step take one turn; one that is too late for the next turn is told so", async () => {
  const clock = new ManualClock();
  const admission = new Admission(clock, options);
  admission.observe(3);
  await admission.turn();
  const steps = new Steps(admission);
  const begunMs: (number | undefined)[] = [];
  const work = (async () => {
    for (const share of [0.5, 0.25, 0.5, 3, 0.25]) {
      const mayBegin = await steps.turn(begunMs.length < 4 ? Infinity : clock.now() + 50);
      begunMs.push(mayBegin ? clock.now() : undefined);
      steps.did(share);
    }
  })();
  await clock.advance(10_000);
  await work;
  assert.deepEqual(begunMs, [100, 100, 100, 200, undefined]);
});

test("steps that cost clients nothing come more and more often", async () => {
  const { stepsMs } = await serve(20, (_since, random) => 2 + random * 8);
  assert.ok(lastSecond(stepsMs) > 50, `${lastSecond(stepsMs)} steps in the last second`);
});

test("steps that slow clients down stay at the longest interval, long before the threshold is near", async () => {
  const { admission, stepsMs } = await serve(20, (since, random) => (since < 4 ? 8 : 2) + random);
  assert.equal(admission.waitMs, options.waitMaxMs);
  assert.ok(lastSecond(stepsMs) <= 11, `${lastSecond(stepsMs)} steps in the last second`);
});

test("clients that are slow whatever background work does are no reason to wait", async () => {
  const { stepsMs } = await serve(20, (_since, random) => 200 + random * 100);
  assert.ok(lastSecond(stepsMs) > 50, `${lastSecond(stepsMs)} steps in the last second`);
});

test("near the threshold steps may add nothing at all", async () => {
  const cost = (baseMs: number) =>
    serve(20, (since, random) => baseMs * (since < 4 ? 1.12 : 1) + random * 0.01 * baseMs);
  const [far, near] = [await cost(10), await cost(45)];
  assert.ok(lastSecond(far.stepsMs) > 50, `${lastSecond(far.stepsMs)} steps in the last second far below it`);
  assert.ok(lastSecond(near.stepsMs) <= 11, `${lastSecond(near.stepsMs)} steps in the last second near it`);
});

test("a quantile is exact to the width of a class", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0.1, max: 10_000, noNaN: true }), { minLength: 1, maxLength: 500 }),
      fc.constantFrom(0.5, 0.9, 0.95, 0.99, 1),
      (latencies, q) => {
        const histogram = new Latencies();
        for (const ms of latencies) histogram.add(ms);
        const exact = latencies.toSorted((a, b) => a - b)[Math.ceil(q * latencies.length - 1e-9) - 1]!;
        const found = histogram.quantile(q);
        assert.ok(found >= exact * 0.999 && found <= exact * 1.101, `${found} for ${exact}`);
      },
    ),
  );
});

test("work is told whether clients are served, to make its steps short", async () => {
  const clock = new ManualClock();
  const admission = new Admission(clock, options);
  const pace = pacedBy(admission);
  assert.equal(pace.servesClients(), false);
  admission.observe(3);
  assert.equal(pace.servesClients(), true);
  await clock.advance(2_000);
  assert.equal(pace.servesClients(), false);
});

test("a node that shares its thread hears of what holds that up, from its start until it stops", async () => {
  const hearing = new Set<(ms: number) => void>();
  const onLongTask = (hear: (ms: number) => void): (() => void) => {
    hearing.add(hear);
    return () => hearing.delete(hear);
  };
  const cluster = new MemoryCluster();
  await cluster.start("h1", { onLongTask });
  assert.equal(hearing.size, 1);
  for (const hear of hearing) hear(60);
  await cluster.stop();
  assert.equal(hearing.size, 0);
});
