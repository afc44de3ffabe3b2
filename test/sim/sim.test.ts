import assert from "node:assert/strict";
import { test } from "node:test";
import { drawScenario } from "./scenario.ts";
import { simulate } from "./simulate.ts";

/** Enough to notice a broken core or simulator before a commit; `npm run sim` looks for the rare. */
const seeds = Array.from({ length: 12 }, (_, i) => String(i + 1));

test("a seed names one run: its event log has the same hash each time", async () => {
  for (const seed of seeds.slice(0, 3)) {
    const first = await simulate(drawScenario(seed));
    const second = await simulate(drawScenario(seed));
    assert.equal(second.hash, first.hash, `seed ${seed}`);
    assert.deepEqual(second, first);
  }
});

test("two seeds are two runs", async () => {
  const hashes = await Promise.all(["1", "2"].map(async (seed) => (await simulate(drawScenario(seed))).hash));
  assert.notEqual(hashes[0], hashes[1]);
});

test("no rule is broken in the swarm's first seeds", async () => {
  for (const seed of seeds) {
    const { violation, log } = await simulate(drawScenario(seed));
    const text = `npm run sim -- --seed ${seed} --log\n${log.slice(-20).join("\n")}`;
    assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, text);
  }
});
