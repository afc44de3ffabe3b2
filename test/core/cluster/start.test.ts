import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Exchange } from "../../../core/cluster/exchange.ts";
import { meetSeeds } from "../../../core/cluster/find-cluster.ts";
import { Marks } from "../../../core/cluster/marks.ts";
import { joinCluster } from "../../../core/cluster/start.ts";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { joinsUntil } from "../../../core/membership/exchange.ts";
import { mergeRoster, type Roster } from "../../../core/membership/roster.ts";
import { type Transport, TransportError } from "../../../core/ports.ts";
import { methods, RpcServer } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster, realRandom } from "../../support/memory-cluster.ts";
import { testIdentity } from "../../support/test-identity.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { eventsOf, withCluster } from "../coordinate/scene.ts";
import { memberRecord } from "../membership/samples.ts";
import { node, oneNode, rosterOf } from "./world.ts";

test("a host that is new joins while the cluster has room for more, and one that it knows always", async () => {
  const known = mergeRoster(rosterOf(["h1"]), {
    members: new Map(
      Array.from({ length: joinsUntil - 1 }, (_, i) => [node(`b${i}`), memberRecord({ id: node(`b${i}`) })]),
    ),
  });
  const { records, clock } = oneNode("h1", known);
  const join = async (name: string): Promise<Roster> => {
    const id = node(name);
    const marks = await Marks.load({ records, random: realRandom });
    const means = { clock, random: realRandom, identity: testIdentity(id), marks };
    const { kind, capacity, zone, deviceGroup, addresses, http } = memberRecord();
    return joinCluster({ id, kind, capacity, zone, deviceGroup, addresses, http }, known, { name: "test" }, means);
  };
  await assert.rejects(join("h2"), failsWith("overloaded"));
  assert.equal((await join("b7")).members.get(node("b7"))!.incarnation, 2);
});

describe("a host that starts without data", () => {
  test("waits while its seed waits for its own seed, and joins when that one is there", () =>
    withNone(async (cluster) => {
      const starting = [cluster.start("h2", { seeds: ["memory:h1"] }), cluster.start("h3", { seeds: ["memory:h2"] })];
      const isTold = (): boolean => eventsOf(cluster, "waiting", "h3").some((event) => event.for.includes("memory:h2"));
      await eventually(isTold, "h3 to say what it waits for");
      const { ready, notices } = await cluster.node("h3").status();
      assert.deepEqual([ready, notices.length], [false, 1]);
      assert.equal(eventsOf(cluster, "cluster-created").length, 0);
      await cluster.start("h1");
      await Promise.all(starting);
      await cluster.settled(3);
    }));

  test("that is among its own seeds tries the others: one list may serve all", () =>
    withNone(async (cluster) => {
      const seeds = ["memory:h2", "memory:h1"];
      await cluster.start("h1");
      await cluster.start("h2", { seeds });
      await cluster.settled(2);
    }));

  test("that was a member once founds no cluster: it waits, and joins when a member dials in", () =>
    withCluster(3, async (cluster) => {
      await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
      for (const name of ["h1", "h2", "h3"]) cluster.kill(name);
      cluster.wipe("h1");
      const starting = cluster.start("h1", { seeds: [], mayFound: false });
      await eventually(() => eventsOf(cluster, "waiting", "h1").length > 0, "h1 to say what it waits for");
      await assert.rejects(cluster.node("h1").get("b", "k"), failsWith("not-ready"));
      for (const name of ["h2", "h3"]) await cluster.start(name);
      const h1 = await starting;
      await cluster.settled(3);
      assert.equal(eventsOf(cluster, "cluster-created", "h1").length, 1, "that of its first start");
      assert.deepEqual(texts((await h1.getLocal("b", "k")).siblings), ["v"]);
    }));

  test("waits on when an edge or a host of another cluster connects first: only a seed is asked because it is of the cluster", () =>
    withNone(async (cluster) => {
      const starting = cluster.start("h1", { seeds: ["memory:h2"], mayFound: false });
      const refusals = ["this node has no method 1", 'the asked host belongs to the cluster "other", not "test"'];
      for (const [i, text] of refusals.entries()) {
        const stranger = cluster.stranger(`stranger${i}`);
        const server = new RpcServer({ event: () => {} });
        server.on(methods.exchange, async () => {
          throw new StoreError("bad-request", text);
        });
        server.listen(stranger);
        await stranger.meet("memory:h1");
      }
      const isTold = (): boolean =>
        eventsOf(cluster, "waiting", "h1").some((event) => refusals.every((text) => event.for.includes(text)));
      await Promise.race([eventually(isTold, "h1 to say what it waits for, and who is of no use"), starting]);
      await cluster.start("h2");
      await starting;
      await cluster.settled(2);
    }));

  test("founds the cluster when its seeds lead to nobody and it is the first; the second waits for it, and joins", () =>
    withNone(async (cluster) => {
      // As at a relay: whoever came first is first for as long as nobody has founded.
      const seeds = ["memory:h1", "memory:h2"];
      const second = cluster.start("h2", { seeds, isFirst: async () => false });
      await eventually(() => eventsOf(cluster, "waiting", "h2").length > 1, "h2 to have asked in vain");
      let asked = 0;
      await cluster.start("h1", { seeds, isFirst: async () => (asked += 1) > 2 });
      await second;
      await cluster.settled(2);
      assert.deepEqual(
        eventsOf(cluster, "cluster-created").map((event) => event.cluster),
        ["test"],
      );
      assert.equal(asked, 3, "it is asked after the seeds, each time");
    }));

  test("is ready when it has tokens: while partitions are filling it waits for its share, and says so", () =>
    withCluster(3, async (cluster) => {
      cluster.kill("h3");
      cluster.wipe("h3");
      const releases = ["h1", "h2"].map((name) => cluster.disk(name).hold("reads"));
      await cluster.start("h3", { seeds: ["memory:h1"] });
      const h4 = await cluster.start("h4", { seeds: ["memory:h1"] });
      await eventually(async () => (await h4.status()).members.every(({ alive }) => alive), "h4 to see all");
      const { ready, notices } = await h4.status();
      assert.equal(ready, false);
      assert.ok(notices.some((notice) => notice.includes("share of the ring")));
      for (const release of releases) release();
      await cluster.settled(4);
      assert.ok(h4.ring().tokens.some((id) => id === "h4"));
    }));
});

async function withNone(body: (cluster: MemoryCluster) => Promise<void>): Promise<void> {
  const cluster = new MemoryCluster();
  try {
    await body(cluster);
  } finally {
    await cluster.stop();
  }
}

describe("a host that has its place already", () => {
  test("meets a seed that is started later, and their rings become one", () =>
    withNone(async (cluster) => {
      await cluster.start("h1");
      await cluster.node("h1").put("b", "k", utf8("v"), { w: 1 });
      cluster.kill("h1");
      await cluster.start("h1", { seeds: ["memory:h2"] });
      await eventually(() => eventsOf(cluster, "seed-silent", "h1").length > 0, "h1 to have asked its seed");
      await cluster.start("h2");
      await cluster.settled(2);
      assert.deepEqual(texts((await cluster.node("h2").get("b", "k", { r: "all" })).siblings), ["v"]);
    }));

  test("asks a seed that does not answer after ever longer pauses, and no more when it is a member", async () => {
    const one = oneNode("h1", rosterOf(["h1", "h2"]), []);
    let asked: number[] = [];
    const transport = {
      self: one.transport.self,
      meet: async (): Promise<NodeId> => {
        asked.push(Math.round(one.clock.now() / 1_000));
        throw new TransportError("not-sent", "nobody is there");
      },
    } as unknown as Transport;
    const meeting = meetSeeds({ ...one, transport }, ["memory:h3"]);
    await one.clock.advance(300_000);
    assert.deepEqual(asked, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    const h3 = memberRecord({ id: node("h3"), addresses: ["memory:h3"] });
    one.cluster.merge({ members: new Map([[h3.id, h3]]) });
    asked = [];
    await one.clock.advance(300_000);
    await meeting;
    assert.deepEqual(asked, [303], "then its address is that of a member");
  });

  test("goes on asking a relay through which members are reached: there may be hosts of a ring that was founded apart", async () => {
    const one = oneNode("h1", rosterOf(["h1", "h2"]), []);
    let asked = 0;
    const transport = {
      self: one.transport.self,
      meet: async (): Promise<NodeId> => {
        asked += 1;
        throw new TransportError("not-sent", "it knows of no host");
      },
    } as unknown as Transport;
    const relay = "/ip4/10.0.0.1/tcp/4002/ws";
    const addresses = [`${relay}/p2p/relay/p2p-circuit/webrtc/p2p/h1`];
    const h1 = memberRecord({ id: node("h1"), addresses, incarnation: 9 });
    one.cluster.merge({ members: new Map([[h1.id, h1]]) });
    const meeting = meetSeeds({ ...one, transport }, [relay]);
    await one.clock.advance(300_000);
    assert.ok(asked > 5, String(asked));
    const stopped = one.tasks.stop(0);
    await one.clock.advance(60_000);
    await Promise.all([stopped, meeting]);
  });

  test("goes on asking a relay that knew members only, and merges with the stranger that comes to it later", async () => {
    const one = oneNode("h1", rosterOf(["h1", "h2"]), ["h2"]);
    const met: NodeId[] = [];
    const exchanged: NodeId[] = [];
    let known = "h2";
    const transport = {
      self: one.transport.self,
      meet: async (): Promise<NodeId> => {
        met.push(node(known));
        return node(known);
      },
    } as unknown as Transport;
    const exchange = { with: async (peer: NodeId) => void exchanged.push(peer) } as unknown as Exchange;
    const meeting = meetSeeds({ ...one, transport, exchange }, ["/ip4/10.0.0.1/tcp/4002/ws"]);
    await one.clock.advance(300_000);
    assert.deepEqual(exchanged, [], "members are in contact already");
    known = "x1";
    const asked = met.length;
    await one.clock.advance(60_000);
    assert.deepEqual([met.length - asked, exchanged], [1, [node("x1")]], "once a minute");
    const stopped = one.tasks.stop(0);
    await one.clock.advance(60_000);
    await Promise.all([stopped, meeting]);
  });

  test("asks no more at an address that is its own, or of a member by its id", async () => {
    const one = oneNode("h1", rosterOf(["h1", "h2"]), ["h2"]);
    let asked = 0;
    const transport = {
      self: one.transport.self,
      meet: async (address: string): Promise<NodeId> => {
        asked += 1;
        return address.endsWith("h2") ? node("h2") : one.transport.self;
      },
    } as unknown as Transport;
    await meetSeeds({ ...one, transport }, ["/dns4/h1.example/tcp/4001/ws", "/dns4/h2.example/tcp/4001/ws/p2p/h2"]);
    assert.equal(asked, 2);
  });
});
