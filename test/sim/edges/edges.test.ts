import assert from "node:assert/strict";
import { test } from "node:test";
import { drawScenario } from "../draw.ts";
import { seedOf } from "../profiles.ts";
import { simulate } from "../simulate.ts";
import { edgeFaults } from "./devices.ts";

/** Enough to notice a broken edge before a commit; `npm run sim -- --profile edges` looks for the rare. */
const seeds = Array.from({ length: 8 }, (_, i) => seedOf(i + 1, "edges"));

test("no rule is broken where edges take part, and what they have accepted reaches hosts, whatever befalls them", async () => {
  const happened = new Set<string>();
  let delivered = 0;
  for (const seed of seeds) {
    const report = await simulate(drawScenario(seed));
    const { violation, log } = report;
    const text = `npm run sim -- --seed ${seed} --log\n${log.slice(-20).join("\n")}`;
    assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, text);
    for (const kind of Object.keys(report.faults)) happened.add(kind);
    delivered += report.delivered;
  }
  assert.ok(delivered > 20 * seeds.length, `only ${delivered} writes of edges reached hosts`);
  assert.deepEqual(
    edgeFaults.filter((kind) => !happened.has(kind)),
    [],
  );
});
