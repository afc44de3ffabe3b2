import assert from "node:assert/strict";
import { test } from "node:test";
import { healAndJudge } from "../liveness.ts";
import { drawScenario } from "../scenario.ts";
import { type Report, safety, simulate } from "../simulate.ts";
import { stand } from "../cluster.ts";
import { Devices } from "./devices.ts";

/** Enough to notice a broken edge before a commit; `EDGE_SEEDS=200 npm test -- sim/edges` looks for the rare. */
const seeds = Array.from({ length: Number(process.env["EDGE_SEEDS"] ?? 6) }, (_, i) => `edges ${i + 1}`);

let delivered = 0;

/**
 * The swarm of this seed, with three edges beside its clients. Without lww: an edge's lww write may lose to a later one
 * where it arrives, so that the oracle, which learns of events from disks, would not hear of what it had seen.
 */
function withEdges(seed: string): Promise<Report> {
  const drawn = drawScenario(seed);
  const scenario = { ...drawn, operations: drawn.operations.map((each) => ({ ...each, lww: false })) };
  return simulate(scenario, {
    plot: async (world, clients) => {
      const devices = new Devices(world, 3);
      await stand(world);
      devices.start();
      await safety(world, clients);
      devices.calm();
      await healAndJudge(world, clients, () => devices.deliver());
      delivered += devices.delivered;
    },
  });
}

test("no rule is broken where edges take part, offline for long, killed, frozen, and robbed of power", async () => {
  for (const seed of seeds) {
    const { violation, log } = await withEdges(seed);
    const text = `seed ${seed}\n${log.slice(-20).join("\n")}`;
    assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, text);
  }
  assert.ok(delivered > 20 * seeds.length, `only ${delivered} writes of edges reached hosts`);
});

test("a run with edges repeats exactly", async () => {
  const [first, second] = [await withEdges(seeds[0]!), await withEdges(seeds[0]!)];
  assert.equal(second.hash, first.hash);
});
