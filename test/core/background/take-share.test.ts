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
  takeShare(one, { isDue: true });
  await one.clock.advance(3_000);
  for (const partition of allPartitions(64)) {
    const owners = before.owners(partition);
    if (!owners.includes(node("h1"))) continue;
    assert.ok(owners.every((owner) => one.cluster.ring.owners(partition).includes(owner)));
  }
  const waiting = one.cluster.ring.tokensOf(joiner).length;
  await one.clock.advance(60_000);
  await one.clock.advance(one.clock.pendingMs[0]! - one.clock.now());
  const pauseMs = one.clock.pendingMs[0]! - one.clock.now();
  assert.ok(pauseMs > 500 && pauseMs < 700, `it plans in vain ever more seldom: again after ${pauseMs} ms`);
  const complete = rosterOf(hosts, { partitions: 64, holdings: { h1: "complete" } }).holdings.get(node("h1"))!;
  one.cluster.merge({ holdings: new Map([[complete.id, { ...complete, sequence: 2 }]]) });
  await one.clock.advance(3_000);
  const taken = one.cluster.ring.tokensOf(joiner).length;
  assert.ok(taken > waiting && taken >= Math.floor(64 / 6), `${waiting}, then ${taken} of 64 tokens`);
  await one.clock.advance(3_000);
  assert.deepEqual(one.clock.pendingMs, [], "then it is done");
});

test("a joiner that lost all its tokens to another joiner takes its share again", async () => {
  const hosts = ["h1", "h2", "h3"];
  const complete = { h1: "complete", h2: "complete", h3: "complete" } as const;
  const joiners = new Map(["h4", "h6"].map((name) => [node(name), memberRecord({ id: node(name) })]));
  const one = oneNode("h4", mergeRoster(rosterOf(hosts, { holdings: complete }), { members: joiners }), [
    ...hosts,
    "h6",
  ]);
  takeShare(one, { isDue: true });
  await one.clock.advance(1_500);
  assert.ok(one.cluster.ring.tokensOf(node("h4")).length > 0);
  // Planned on the same view under the same epochs: of two entries that of the greater host wins.
  const theirs = one.cluster.roster.assignment.map((entry) =>
    entry.host === "h4" ? { ...entry, host: node("h6") } : entry,
  );
  one.cluster.merge({ assignment: theirs });
  for (const host of [...hosts, "h6"]) {
    const bits = one.cluster.roster.holdings.get(node(host)) ?? one.cluster.roster.holdings.get(node("h1"))!;
    one.cluster.merge({ holdings: new Map([[node(host), { ...bits, id: node(host), sequence: 5 }]]) });
  }
  await one.clock.advance(5_000);
  assert.ok(one.cluster.ring.tokensOf(node("h4")).length > 0, "it waits for its share for ever");
});

test("a joiner whose disk refused to keep its share takes it when it takes writes again", async () => {
  const hosts = ["h1", "h2", "h3"];
  const complete = { h1: "complete", h2: "complete", h3: "complete" } as const;
  const joiner = new Map([[node("h4"), memberRecord({ id: node("h4") })]]);
  const one = oneNode("h4", mergeRoster(rosterOf(hosts, { holdings: complete }), { members: joiner }), hosts);
  one.disk.refusesWrites = "full";
  takeShare(one, { isDue: true });
  await one.clock.advance(1_500);
  const lost = one.cluster.roster.assignment.map((entry) =>
    entry.host === "h4" ? { host: node("h1"), epoch: entry.epoch + 1 } : entry,
  );
  one.cluster.merge({ assignment: lost });
  one.disk.refusesWrites = undefined;
  await one.clock.advance(1_500);
  assert.ok(one.cluster.ring.tokensOf(node("h4")).length > 0, "it waits for its share for ever");
});
