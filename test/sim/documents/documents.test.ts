import assert from "node:assert/strict";
import { test } from "node:test";
import { drawScenario } from "../draw.ts";
import { type Report, simulate } from "../simulate.ts";

/** Enough to notice a broken rule before a commit; `npm run sim -- --profile documents` looks for the rare. */
const seeds = Array.from({ length: 4 }, (_, i) => `documents ${i + 1}`);

/** The swarm of this seed, and beside it hosts and edges that write and fold updates of documents. */
function withDocuments(seed: string): Promise<Report> {
  const drawn = drawScenario(seed);
  const operations = drawn.operations.map((each) => ({ ...each, lww: false }));
  return simulate({ ...drawn, operations, edges: 3, writesDocuments: true });
}

test("every acknowledged update is in its document in the end, and every state is what its history says", async () => {
  let checked = 0;
  for (const seed of seeds) {
    const { violation, log, updates } = await withDocuments(seed);
    const text = `seed ${seed}\n${log.slice(-20).join("\n")}`;
    assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, text);
    checked += updates;
  }
  assert.ok(checked > 20 * seeds.length, `only ${checked} updates were looked for`);
});
