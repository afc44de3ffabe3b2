import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Leases } from "../../../core/background/leases.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { MemberRecord, MemberStatement } from "../../../core/membership/member.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { node, oneNode, type OneNode, rosterOf } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";

const leaseMs = 20_000;
const browser = node("h4");

function browserRecord(rest: Partial<MemberStatement> = {}): MemberRecord {
  return memberRecord({ id: browser, kind: "browser-host", leaseMs, ...rest });
}

interface World {
  readonly one: OneNode;
  readonly leases: Leases;
  /** What the other hosts say when they are asked: how long ago they heard of the browser host, ms. */
  readonly heardBy: Map<string, number>;
  readonly status: () => string;
}

/** h1 under test, h2 and h3 that answer, and the browser host h4, which nobody reaches. */
function worldOf({ peers = ["h2", "h3"], complete = ["h1", "h2", "h3", "h4"] } = {}): World {
  const hosts = ["h1", "h2", "h3", "h4"];
  const holdings = Object.fromEntries(
    hosts.map((host) => [host, complete.includes(host) ? "complete" : "filling"] as const),
  );
  const roster = mergeRoster(rosterOf(hosts, { holdings }), {
    members: new Map([[browser, browserRecord({ incarnation: 2 })]]),
  });
  const one = oneNode("h1", roster, peers);
  const heardBy = new Map<string, number>();
  for (const [peer, server] of one.servers) {
    server.on(methods.heard, async (_from, { id, life }) => {
      assert.deepEqual([id, life], [browser, 1]);
      const silentMs = heardBy.get(peer);
      return silentMs === undefined ? {} : { silentMs };
    });
  }
  one.server.listen(one.transport);
  one.cluster.health.sweep();
  const leases = new Leases(one);
  leases.start(one.server);
  return { one, leases, heardBy, status: () => one.cluster.roster.members.get(browser)!.status };
}

function advance({ one }: World, ms: number): Promise<void> {
  return one.clock.advance(ms);
}

describe("a browser host's lease", () => {
  test("ends when nothing was heard for its time, with one change and no token left", async () => {
    const world = worldOf();
    await advance(world, leaseMs - 2_000);
    assert.equal(world.status(), "up");
    assert.deepEqual(world.leases.leftMs(browser)! <= 3_000, true);
    await advance(world, 5_000);
    assert.equal(world.status(), "lapsed");
    const { cluster, events } = world.one;
    assert.deepEqual(cluster.ring.tokensOf(browser), []);
    assert.ok(cluster.roster.assignment.every(({ host }) => host !== browser));
    assert.deepEqual(
      cluster.roster.changes.map(({ verb, subject, life, by }) => [verb, subject, life, by]),
      [["lapse", browser, 1, node("h1")]],
    );
    assert.ok(events.some((event) => event.kind === "ring-planned" && event.change === "lapse"));
    await advance(world, leaseMs);
    assert.equal(cluster.roster.changes.length, 1);
    assert.deepEqual(world.leases.waiting, []);
  });

  test("goes on while another host has heard it, however long this one has not", async () => {
    const world = worldOf();
    world.heardBy.set("h3", leaseMs - 1);
    await advance(world, 3 * leaseMs);
    assert.equal(world.status(), "up");
    assert.match(world.leases.waiting.join(), /h4 is over, but h3 has heard it/);
    world.heardBy.set("h3", leaseMs);
    await advance(world, leaseMs);
    assert.equal(world.status(), "lapsed");
  });

  test("goes on where no majority of the members answers, the silent one counted", async () => {
    const world = worldOf({ peers: ["h2"] });
    await advance(world, 3 * leaseMs);
    assert.equal(world.status(), "up");
    assert.match(world.leases.waiting.join(), /only 2 of 4 members answer/);
  });

  test("goes on while it alone holds a partition completely", async () => {
    const world = worldOf({ complete: ["h4"] });
    await advance(world, 3 * leaseMs);
    assert.equal(world.status(), "up");
    assert.match(world.leases.waiting.join(), /it alone holds 16 partitions/);
  });

  test("ends where a former owner too holds it completely, which fills from then on what it owns again by that", async () => {
    const world = worldOf({ complete: ["h1", "h4"] });
    const { cluster, holdings } = world.one;
    for (const partition of allPartitions(16)) holdings.set(partition, "complete");
    const formerlyOwned = allPartitions(16).filter((each) => !cluster.ring.owners(each).includes(cluster.self));
    await advance(world, 2 * leaseMs);
    assert.equal(world.status(), "lapsed");
    const filling = allPartitions(16).filter((each) => holdings.get(each) === "filling");
    assert.deepEqual([formerlyOwned.length, filling], [4, formerlyOwned]);
  });

  test("begins again with each record of it, whoever passes that on, and with each life", async () => {
    const world = worldOf();
    for (const record of [{ incarnation: 3 }, { incarnation: 1, life: 2 }]) {
      await advance(world, leaseMs - 5_000);
      world.one.cluster.merge({ members: new Map([[browser, browserRecord(record)]]) });
    }
    await advance(world, leaseMs - 5_000);
    assert.equal(world.status(), "up");
    assert.ok(world.leases.leftMs(browser)! > 0);
  });

  test("is none of a host's, which is away for as long as it likes", async () => {
    const world = worldOf({ peers: ["h2"] });
    await advance(world, 10 * leaseMs);
    assert.equal(world.one.cluster.roster.members.get(node("h3"))!.status, "up");
    assert.equal(world.leases.leftMs(node("h3")), undefined);
  });

  test("is ended by nobody whose own membership has ended", async () => {
    const world = worldOf();
    const removed = memberRecord({ id: node("h1"), status: "removed" }, node("h2"));
    world.one.cluster.merge({ members: new Map([[removed.id, removed]]) });
    await advance(world, 3 * leaseMs);
    assert.equal(world.status(), "up");
  });
});

test("who is asked about a browser host says how long ago it heard it, and nothing of whom it has not heard since its start", async () => {
  const world = worldOf();
  const { one } = world;
  const h2 = one.network.node("h2");
  void h2.meet(one.transport.address);
  const ask = async (id: NodeId, life = 1): Promise<number | undefined> => {
    const request = { view: one.exchange.view(), id, life };
    const asking = call(h2, node("h1"), methods.heard, request, 2_000);
    await advance(world, 1);
    return (await asking).silentMs;
  };
  await advance(world, 5_000);
  assert.equal(await ask(browser), undefined);
  one.cluster.merge({ members: new Map([[browser, browserRecord({ incarnation: 3 })]]) });
  await advance(world, 5_000);
  const silentMs = await ask(browser);
  assert.ok(silentMs !== undefined && silentMs >= 3_000 && silentMs <= 5_000, String(silentMs));
  assert.equal(await ask(browser, 2), undefined, "another life");
  assert.equal(await ask(node("h3")), undefined, "no browser host");
  assert.equal(await ask(node("nobody")), undefined);
});
