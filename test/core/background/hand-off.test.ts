import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Transfers } from "../../../core/background/transfers.ts";
import type { NodeId } from "../../../core/identity.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { oneNode, rosterOf, type RosterSpec } from "../cluster/world.ts";

const owners = ["h2", "h3", "h4"];
const complete = { h2: "complete", h3: "complete", h4: "complete" } as const;

/** h1 holds all partitions as a former owner; how often `up` were asked about them in a while, and what is left here. */
async function handOff(up: readonly string[], holdings: RosterSpec["holdings"]) {
  const roster = rosterOf(owners, { holdings: { ...complete, ...holdings } });
  const { members } = rosterOf(["h1"]);
  const one = oneNode("h1", { ...roster, members: new Map([...roster.members, ...members]) }, up);
  for (const partition of allPartitions(16)) one.holdings.set(partition, "former");
  await one.replica.index.build({ isStopped: () => false, throttle: async () => {} });
  const asked: NodeId[] = [];
  for (const [id, server] of one.servers) {
    server.on(methods.handOff, async (_from, { partitions }) => {
      asked.push(id as NodeId);
      const state = holdings?.[id] ?? "complete";
      return { partitions: partitions.map(({ index }) => ({ partition: index, state, differing: new Uint8Array(0) })) };
    });
  }
  new Transfers(one, one.config).start(one);
  await one.clock.advance(5_000);
  const stopping = one.tasks.stop(100);
  await one.clock.advance(100);
  await stopping;
  const left = allPartitions(16).filter((partition) => one.holdings.get(partition) !== "none").length;
  return { asked, left };
}

describe("a former owner", () => {
  test("lets go of what all owners confirm", async () => {
    assert.deepEqual(await handOff(owners, {}), { asked: owners, left: 0 });
  });

  test("lets go without one owner that is away", async () => {
    assert.deepEqual(await handOff(["h2", "h3"], {}), { asked: ["h2", "h3"], left: 0 });
  });

  test("offers what it has, but does not ask again and again, while too many owners are away to let it go", async () => {
    assert.deepEqual(await handOff(["h2"], {}), { asked: ["h2"], left: 16 });
  });

  test("does the same while an owner says that it is filling", async () => {
    assert.deepEqual(await handOff(owners, { h3: "filling" }), { asked: owners, left: 16 });
  });
});
