import assert from "node:assert/strict";
import { test } from "node:test";
import { several } from "./bend.ts";
import { stand } from "./cluster.ts";
import { drawScenario } from "./draw.ts";
import type { Fault, FaultKind } from "./faults/draw.ts";
import { plainOperation, type Scenario } from "./scenario.ts";
import { shrink } from "./shrink.ts";
import { type Plot, safety } from "./simulate.ts";

const kinds: readonly FaultKind[] = ["cut", "pause", "reset", "kill", "cut", "reset", "pause", "isolate", "kill"];
const fault = (kind: FaultKind, i: number): Fault => ({
  atMs: 100 * i,
  kind,
  hosts: several(9, (j) => i + j),
  forMs: 100,
  amount: 0.5,
});
const verbs = ["put", "get", "update", "delete"] as const;

const scenario: Scenario = {
  ...drawScenario("2"),
  safetyMs: 2_000,
  faults: kinds.map(fault),
  operations: several(20, (i) => ({ ...plainOperation, atMs: 90 * i, host: i, key: i % 3, verb: verbs[i % 4]! })),
};

/** Deletes and kills do not go together here. Whoever shrinks by whether any rule is broken ends with nothing. */
const planted: Plot = async (world, clients) => {
  await stand(world);
  await safety(world, clients);
  const deletes = world.oracle.writes.filter(({ verb }) => verb === "delete").length;
  const rule = deletes > 0 && world.faults.has("kill") ? "the planted one" : "another one";
  world.oracle.broken(rule, `${deletes} deletes`);
};

test("what is left of a failing scenario breaks the same rule, and is all needed for that", async () => {
  const sizes = [scenario.faults.length + scenario.operations.length];
  const tell = ({ faults, operations }: Scenario): number => sizes.push(faults.length + operations.length);
  const shrunk = await shrink(scenario, tell, { plot: planted });
  const { violation } = shrunk.report;
  assert.deepEqual(violation, { ...violation, rule: "the planted one", text: "1 deletes" });
  assert.deepEqual(
    shrunk.scenario.faults.map(({ kind }) => kind),
    ["kill"],
  );
  assert.deepEqual(
    shrunk.scenario.operations.map(({ verb }) => verb),
    ["delete"],
  );
  assert.deepEqual(
    sizes,
    sizes.toSorted((a, b) => b - a),
    "smaller each time",
  );
  const { faults, operations, ...rest } = shrunk.scenario;
  assert.deepEqual(
    { ...scenario, faults, operations },
    { ...rest, faults, operations },
    "the cluster stays what it was",
  );
});

test("a scenario that breaks no rule is left as it is", async () => {
  const { report, runs, ...left } = await shrink(scenario, () => assert.fail("it became smaller"), { plot: stand });
  assert.equal(report.violation, undefined);
  assert.deepEqual([left.scenario, runs], [scenario, 1]);
});
