import assert from "node:assert/strict";
import { test } from "node:test";
import { leaveWhenTold } from "../../../core/background/leave.ts";
import { StoreError } from "../../../core/errors.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";

test("a host that has left ends when a member has heard so, not when an exchange ends that began before (seed 3133)", async () => {
  const leaving = memberRecord({ id: node("h1"), status: "leaving" });
  const roster = mergeRoster(rosterOf(["h2", "h3"]), { members: new Map([[leaving.id, leaving]]) });
  const one = oneNode("h1", roster, ["h2", "h3"]);
  let answers = false;
  for (const server of one.servers.values()) {
    server.on(methods.exchange, async () => {
      if (!answers) throw new StoreError("not-ready", "busy");
      return { same: true, lacking: [] };
    });
  }
  let hasLeft = false;
  leaveWhenTold({ ...one, requests: { close: () => {}, underWay: 0 } }, () => (hasLeft = true));
  await one.clock.advance(1_000);
  assert.equal(one.cluster.ownRecord.status, "left");
  // What the peers asked for while it was leaving is answered now.
  for (const peer of one.servers.keys()) one.cluster.exchangedWith(node(peer));
  await one.clock.advance(30_000);
  assert.equal(hasLeft, false, "nobody knows that it has left");
  answers = true;
  await one.clock.advance(1_000);
  assert.equal(hasLeft, true);
});

test("a host that leaves while its disk refuses to keep that leaves when it takes writes again", async () => {
  const leaving = memberRecord({ id: node("h1"), status: "leaving" });
  const roster = mergeRoster(rosterOf(["h2", "h3"]), { members: new Map([[leaving.id, leaving]]) });
  const one = oneNode("h1", roster, ["h2", "h3"]);
  let told = 0;
  for (const server of one.servers.values()) {
    server.on(methods.exchange, async () => {
      told += 1;
      return { same: true, lacking: [] };
    });
  }
  let hasLeft = false;
  one.disk.refusesWrites = "full";
  leaveWhenTold({ ...one, requests: { close: () => {}, underWay: 0 } }, () => (hasLeft = true));
  await one.clock.advance(2_000);
  assert.deepEqual([hasLeft, told], [false, 0], "nobody hears of what a restart would not know");
  one.disk.refusesWrites = undefined;
  await one.clock.advance(2_000);
  assert.deepEqual([hasLeft, told, one.cluster.ownRecord.status], [true, 2, "left"]);
});
