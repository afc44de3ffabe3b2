import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeId } from "../../core/identity.ts";
import { Chance } from "./chance.ts";
import { SimGossip } from "./gossip.ts";
import { calm, SimNetwork } from "./network.ts";
import { Process } from "./process.ts";
import { Schedule } from "./schedule.ts";

const bodies = 50;

/** How many of A's bodies reach C across a cut between the two, with B beside them. */
async function heardAcross({ bRuns }: { readonly bRuns: boolean }): Promise<number> {
  const schedule = new Schedule();
  const mood = { delayMs: [1, 2] as const, spikeMs: 0, ...calm };
  const network = new SimNetwork(schedule, new Chance("gossip"), { silentMs: 1_000, redialMsMax: 100, mood });
  const join = (name: string): SimGossip =>
    new SimGossip(name as NodeId, network, new Process(name, schedule, { skewMs: 0 }, 0));
  const [a, b, c] = [join("a"), join("b"), join("c")];
  network.cutPairs([[a.self, c.self]], true);
  if (!bRuns) b.process.kill();
  let heard = 0;
  c.subscribe(async () => {
    heard += 1;
    return true;
  });
  for (let i = 0; i < bodies; i++) await a.publish(Uint8Array.of(i));
  await schedule.run(1_000);
  return heard;
}

test("gossip passes around a cut through a third host, and not through one that does not run (seed 407369)", async () => {
  assert.ok((await heardAcross({ bRuns: true })) > 0);
  assert.equal(await heardAcross({ bRuns: false }), 0);
});
