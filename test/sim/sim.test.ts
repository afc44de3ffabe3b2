import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { drawScenario } from "./draw.ts";
import { profileNames, seedOf } from "./profiles.ts";
import { simulate } from "./simulate.ts";

/** Enough to notice a broken core or simulator before a commit; `npm run sim` looks for the rare. */
const seeds = Array.from({ length: 12 }, (_, i) => String(i + 1));

const seedsWithBrowsers = ["14", "29"];

const seedsWithProfiles = profileNames.flatMap((name) => [1, 2].map((number) => seedOf(number, name)));

test("a seed names one run: its event log has the same hash each time", async () => {
  for (const seed of [...seeds.slice(0, 3), ...profileNames.map((name) => seedOf(1, name))]) {
    const first = await simulate(drawScenario(seed));
    const second = await simulate(drawScenario(seed));
    assert.equal(second.hash, first.hash, `seed ${seed}`);
    assert.deepEqual(second, first);
  }
});

test("a run whose events are printed has the hash of one whose are not", async ({ mock }) => {
  for (const seed of ["2", "7"]) {
    const { hash } = await simulate(drawScenario(seed));
    const print = mock.method(console, "log", () => {});
    const echoed = await simulate(drawScenario(seed), { echo: true });
    print.mock.restore();
    assert.equal(echoed.hash, hash, `seed ${seed}`);
    assert.ok(print.mock.callCount() > echoed.events / 10, "events are printed");
  }
});

test("two seeds are two runs", async () => {
  const hashes = await Promise.all(["1", "2"].map(async (seed) => (await simulate(drawScenario(seed))).hash));
  assert.notEqual(hashes[0], hashes[1]);
});

test("no rule is broken in the swarm's first seeds, and in the first with browser hosts and with each profile", async () => {
  for (const seed of [...seeds, ...seedsWithBrowsers, ...seedsWithProfiles]) {
    const { violation, log } = await simulate(drawScenario(seed));
    const text = `npm run sim -- --seed ${seed} --log\n${log.slice(-20).join("\n")}`;
    assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, text);
  }
});

test("a run leaves nothing behind in memory", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const heapAfter = async (runs: readonly string[]): Promise<number> => {
    for (const seed of runs) await simulate(drawScenario(seed));
    collect();
    return process.memoryUsage().heapUsed;
  };
  // The first runs also fill what is kept for good: compiled code, caches with limits.
  const before = await heapAfter(seeds);
  // What is kept for good grows by a megabyte when it grows, and gives as much back later: over twice the runs that says little.
  const after = await heapAfter([...seeds, ...seeds]);
  const grownBy = (after - before) / (2 * seeds.length);
  // One run has about 20 MB; a host of it that stays reachable would be 1 MB.
  assert.ok(grownBy < 100_000, `each run leaves ${Math.round(grownBy / 1_000)} kB`);
});
