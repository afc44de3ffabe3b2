/** A drawn cluster with its faults, for as long as applications take to make many changes. */
import assert from "node:assert/strict";
import { drawScenario } from "../draw.ts";
import { stand } from "../cluster.ts";
import { healAndJudge } from "../liveness.ts";
import type { ApplicationsPlan } from "../scenario.ts";
import { type Report, safety, simulate } from "../simulate.ts";
import { Applications } from "./applications.ts";

export interface Played {
  readonly acknowledged: number;
  readonly returned: readonly string[];
}

/** The cluster of this seed, with its faults, for as long as the applications take. */
export async function play(seed: string, plan: ApplicationsPlan): Promise<Played> {
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
  checkHurt(plan.edges + drawn.hosts, report);
  return { acknowledged: applications!.acknowledged, returned: applications!.returned };
}

/** What a seed must have drawn to be worth its time: ten nodes, which crash, are cut off, and wait for answers in vain. */
function checkHurt(nodes: number, { seed, faults }: Report): void {
  const has = (kinds: RegExp): boolean => Object.keys(faults).some((kind) => kinds.test(kind));
  const drawn = {
    tenNodes: nodes >= 10,
    crashOfHost: has(/^kill/),
    crashOfEdge: has(/^application kill/),
    powerCut: has(/^application power/),
    partitionOfHosts: has(/^(?:cut|isolate|halves|bridge|flap)/),
    partitionOfEdge: has(/^application cut/),
    lostAnswers: has(/^loss/),
  };
  const missing = Object.entries(drawn).flatMap(([what, isDrawn]) => (isDrawn ? [] : [what]));
  assert.deepEqual(missing, [], `${seed} drew ${JSON.stringify(faults)}`);
}

export const tenThousand = { edges: 5, changes: 11_200, keys: 25, pauseMs: 100, mishaps: 0.03 };
