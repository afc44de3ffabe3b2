import assert from "node:assert/strict";
import { test } from "node:test";
import { stand, until } from "../cluster.ts";
import { drawScenario } from "../draw.ts";
import { Devices } from "../edges/devices.ts";
import { healAndJudge } from "../liveness.ts";
import { type Report, safety, simulate } from "../simulate.ts";
import { Documents } from "./documents.ts";

/** Enough to notice a broken rule before a commit; `DOCUMENT_SEEDS=200 npm test -- sim/documents` looks for the rare. */
const seeds = Array.from({ length: Number(process.env["DOCUMENT_SEEDS"] ?? 4) }, (_, i) => `documents ${i + 1}`);

let checked = 0;

/** The swarm of this seed, and beside it hosts and edges that write and fold updates of documents. */
function withDocuments(seed: string): Promise<Report> {
  const drawn = drawScenario(seed);
  const scenario = { ...drawn, operations: drawn.operations.map((each) => ({ ...each, lww: false })), edges: 3 };
  return simulate(scenario, {
    plot: async (world, clients) => {
      const documents = new Documents(world);
      const devices = new Devices(world, documents);
      await stand(world);
      devices.start();
      documents.start();
      await safety(world, clients);
      documents.calm();
      devices.calm();
      await until(world, 60_000, "writers of documents end", () => !documents.isRunning);
      await healAndJudge(world, clients, async () => {
        await devices.deliver();
        documents.judge();
      });
      checked += documents.checked;
    },
  });
}

test("every acknowledged update is in its document in the end, and every state is what its history says", async () => {
  for (const seed of seeds) {
    const { violation, log } = await withDocuments(seed);
    const text = `seed ${seed}\n${log.slice(-20).join("\n")}`;
    assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, text);
  }
  assert.ok(checked > 20 * seeds.length, `only ${checked} updates were looked for`);
});
