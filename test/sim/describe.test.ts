import assert from "node:assert/strict";
import { test } from "node:test";
import { describeScenario } from "./describe.ts";
import { drawScenario } from "./draw.ts";
import { profileNames, seedOf } from "./profiles.ts";
import type { Scenario } from "./scenario.ts";

const drawn = [undefined, ...profileNames].flatMap((profile) =>
  Array.from({ length: 40 }, (_, i) => drawScenario(seedOf(i + 1, profile))),
);

test("all that was drawn is told, each fault with its time", () => {
  for (const scenario of drawn) {
    const { seed, operations, faults, config } = scenario;
    const text = describeScenario(scenario);
    const names = [
      ...operations.flatMap(({ verb, quorum }) => [` × ${verb}`, ` × ${quorum}`]),
      ...operations.flatMap(({ verb, context }) => (verb === "get" || verb === "local" ? [] : [` × ${context}`])),
      ...operations.flatMap(({ lww, ttlMs }) => [...(lww ? [" × lww"] : []), ...(ttlMs ? [" × ttlMs"] : [])]),
      ...faults.map(({ kind }) => `${faults.filter((each) => each.kind === kind).length} × ${kind} at `),
      ...faults.map(({ atMs }) => ` ${(atMs / 1_000).toFixed(1)} `),
      ...Object.entries(config).map(([name, value]) => `${name}=${value}`),
      ...["silentMs", "redialMsMax", "lateMsMax", "skewMs", "leaseMs", "delayMs", "edges"].map((name) => ` ${name}=`),
      ...(scenario.sites?.map(({ zone, deviceGroup }) => ` ${zone}/${deviceGroup}/`) ?? []),
      ...(scenario.applications === undefined ? [] : ["applications: edges=3 changes="]),
      ...(scenario.sessions === undefined ? [] : [" sessions=3"]),
      ...(scenario.writesDocuments === undefined ? [] : [" writesDocuments"]),
    ];
    const missing = new Set(names.filter((name) => !text.includes(name)));
    assert.deepEqual([...missing], [], `seed ${seed}: ${text}`);
  }
});

test("two scenarios are told differently, also where little differs", () => {
  const [one] = drawn;
  const { operations, faults, config } = one!;
  const others: Scenario[] = [
    { ...one!, skewMs: 77 },
    { ...one!, gossips: !one!.gossips },
    { ...one!, sessions: 2 },
    { ...one!, foldsUnsent: true },
    { ...one!, config: { ...config, graceMs: 77 } },
    { ...one!, operations: operations.with(0, { ...operations[0]!, quorum: 7 }) },
    { ...one!, operations: operations.with(0, { ...operations[0]!, bytes: 7_777 }) },
    { ...one!, faults: faults.with(0, { ...faults[0]!, atMs: faults[0]!.atMs + 100 }) },
  ];
  const texts = [...drawn, ...others].map(describeScenario);
  assert.equal(new Set(texts).size, texts.length);
});
