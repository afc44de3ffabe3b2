/** Values under faults: what the store's users are promised of them, at size. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawScenario } from "../draw.ts";
import { stand } from "../cluster.ts";
import { healAndJudge } from "../liveness.ts";
import type { ApplicationsPlan } from "../scenario.ts";
import { type Report, safety, simulate } from "../simulate.ts";
import { Applications } from "./applications.ts";

interface Played {
  readonly report: Report;
  readonly acknowledged: number;
  readonly returned: readonly string[];
}

/** The cluster of this seed, with its faults, for as long as the applications take. */
async function play(seed: string, plan: ApplicationsPlan): Promise<Played> {
  const drawn = drawScenario(seed);
  const safetyMs = (1.2 * plan.changes * plan.pauseMs) / (plan.edges + drawn.hosts);
  const times = safetyMs / drawn.safetyMs;
  const later = <T extends { readonly atMs: number }>(all: readonly T[]): T[] =>
    all.map((each) => ({ ...each, atMs: each.atMs * times }));
  const scenario = { ...drawn, safetyMs, operations: later(drawn.operations), faults: later(drawn.faults) };
  let applications: Applications | undefined;
  const report = await simulate(scenario, {
    plot: async (world, clients) => {
      await stand(world);
      applications = new Applications(world, plan);
      applications.start();
      await safety(world, clients);
      applications.calm();
      await healAndJudge(world, clients, () => applications!.deliver());
    },
  });
  const { violation, log } = report;
  assert.equal(violation && `${violation.rule}: ${violation.text}`, undefined, `${seed}\n${log.slice(-20).join("\n")}`);
  return { report, acknowledged: applications!.acknowledged, returned: applications!.returned };
}

const tenThousand = { edges: 5, changes: 10_800, keys: 25, pauseMs: 100, mishaps: 0.03 };

test("carts merged by union: of 10,000 additions and removals by edges and hosts no added item is lost; removed ones return", async () => {
  const { acknowledged, returned } = await play("values-3", { ...tenThousand, kinds: ["union"] });
  assert.ok(acknowledged >= 10_000, `${acknowledged} were acknowledged`);
  assert.ok(returned.length > 0, "the paper says that deleted items can resurface");
});

test("carts that merge by themselves: of 3,000 none is lost either, and what was removed returns only where it was added unseen", async () => {
  const { acknowledged } = await play("values-3", { ...tenThousand, changes: 3_300, keys: 8, kinds: ["cart"] });
  assert.ok(acknowledged >= 3_000, `${acknowledged} were acknowledged`);
});

test("counters: 10,000 increments by ten nodes, with crashes, retries and partitions, are counted once each", async () => {
  const { acknowledged, report } = await play("values-3", { ...tenThousand, kinds: ["counter"] });
  assert.ok(acknowledged >= 10_000, `${acknowledged} were acknowledged`);
  const crashes = Object.entries(report.faults).filter(([kind]) => /kill|power/.test(kind));
  assert.ok(crashes.length > 0, "nothing crashed");
});
