import assert from "node:assert/strict";
import { test } from "node:test";
import { takeShare } from "../../../core/background/take-share.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";

test("a joiner replaces no owner of a partition while one of its owners is filling, and takes the rest when it is not", async () => {
  const hosts = ["h1", "h2", "h3", "h4", "h5"];
  const known = rosterOf(hosts, { partitions: 64, holdings: { h1: "filling" } });
  const joiner = node("h6");
  const roster = mergeRoster(known, { members: new Map([[joiner, memberRecord({ id: joiner })]]) });
  const one = oneNode("h6", roster, hosts);
  const before = one.cluster.ring;
  takeShare(one);
  await one.clock.advance(3_000);
  for (const partition of allPartitions(64)) {
    const owners = before.owners(partition);
    if (!owners.includes(node("h1"))) continue;
    assert.ok(owners.every((owner) => one.cluster.ring.owners(partition).includes(owner)));
  }
  const waiting = one.cluster.ring.tokensOf(joiner).length;
  const complete = rosterOf(hosts, { partitions: 64, holdings: { h1: "complete" } }).holdings.get(node("h1"))!;
  one.cluster.merge({ holdings: new Map([[complete.id, { ...complete, sequence: 2 }]]) });
  await one.clock.advance(3_000);
  const taken = one.cluster.ring.tokensOf(joiner).length;
  assert.ok(taken > waiting && taken >= Math.floor(64 / 6), `${waiting}, then ${taken} of 64 tokens`);
  await one.clock.advance(3_000);
  assert.deepEqual(one.clock.pendingMs, [], "then it is done");
});
