import assert from "node:assert/strict";
import { test } from "node:test";
import { edgeFaults } from "./edges/devices.ts";
import { faultKinds } from "./faults/draw.ts";
import { shortfalls } from "./shares.ts";
import { Totals } from "./swarm.ts";

/** All kinds in a tenth of the runs, but these; `each`: how often a kind comes in all. */
function totalsOf(runs: number, { each, but = {} }: { each: number; but?: Readonly<Record<string, number>> }): Totals {
  const totals = new Totals();
  Object.assign(totals, { runs, edgeRuns: runs / 20 });
  for (const kind of faultKinds) totals.faults.set(kind, { count: each, runs: but[kind] ?? runs / 10 });
  for (const kind of edgeFaults) totals.faults.set(kind, { count: each, runs: but[kind] ?? runs / 200 });
  return totals;
}

test("a kind of fault that is rare beyond chance fails a swarm, and so do too few in all", () => {
  const [rare, scarce] = faultKinds;
  const [onEdges] = edgeFaults;
  assert.deepEqual(shortfalls(totalsOf(1_000, { each: 500 })), []);
  const few = { [rare]: 35, [scarce]: 37 };
  assert.deepEqual(shortfalls(totalsOf(1_000, { each: 500, but: few })), [
    `too seldom: ${rare}, in 3.5 % of runs, and not in 5 %`,
  ]);
  assert.deepEqual(shortfalls(totalsOf(1_000, { each: 500, but: { [onEdges!]: 0 } })), [], "50 runs say too little");
  assert.deepEqual(shortfalls(totalsOf(10_000, { each: 5_000, but: { [rare]: 455, [onEdges!]: 0 } })), [
    `too seldom: ${rare}, in 4.5 % of runs, and not in 5 %`,
    `too seldom: ${onEdges}, in 0.0 % of the 500 runs with edges, and not in 5 %`,
  ]);
  assert.deepEqual(shortfalls(totalsOf(1_000, { each: 100 })), [
    `too few faults: ${((faultKinds.length * 100) / 1_000).toFixed(1)} a run, and not 20`,
  ]);
  assert.deepEqual(shortfalls(totalsOf(500, { each: 0 })), [], "500 runs say too little");
});
