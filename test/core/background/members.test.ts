import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { keepMembership } from "../../../core/background/members.ts";
import type { NodeId } from "../../../core/identity.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";

const hosts = ["h1", "h2", "h3", "h4", "h5"];

describe("changes of the membership", () => {
  test("are passed on at once, and those that follow soon together", async () => {
    const deps = oneNode("h1", rosterOf(hosts), hosts.slice(1));
    await deps.clock.advance(10);
    const asked: NodeId[] = [];
    const exchange = Object.assign(Object.create(deps.exchange) as typeof deps.exchange, {
      with: async (peer: NodeId) => void asked.push(peer),
    });
    keepMembership({ ...deps, exchange, random: realRandom }, { reconcileIntervalMs: 1_000_000 });
    // Each of them is asked for a sign of life once.
    await deps.clock.advance(1_000);
    asked.length = 0;
    for (let i = 0; i < 5; i++) {
      deps.cluster.publishHoldings();
      await deps.clock.advance(10);
    }
    assert.equal(asked.length, 3, "of the first at once");
    await deps.clock.advance(1_000);
    assert.equal(asked.length, 6, "of the others together");
    assert.equal(new Set(asked.slice(3)).size, 3);
    deps.cluster.publishHoldings();
    assert.equal(asked.length, 9);
    assert.ok(!asked.includes(node("h1")));
    await deps.tasks.stop(0);
  });
});
