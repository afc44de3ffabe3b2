import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { NodeId } from "../../../core/identity.ts";
import { TransportError } from "../../../core/ports.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryEdges } from "../../support/memory-edges.ts";
import { texts, utf8 } from "../../support/values.ts";
import { eventsOf, local, patient, placed, seen, staleAt } from "../coordinate/scene.ts";
import { altered, type Answer, asked, connectedToOne, reader, still } from "./reads-scene.ts";
import { atHosts, valuesOf, withEdges } from "./scene.ts";

const verbs = (requests: readonly string[]) => requests.map((each) => each.split(" ")[0]);

describe("an edge that is connected to owners", { concurrency: true }, () => {
  test("asks R of them for their copies, and no host to coordinate", () =>
    withEdges(
      5,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster);
        const { name, walk } = await placed(cluster);
        const { context } = await cluster.node("h1").put("b", name, utf8("v1"), { w: "all" });
        const requests = asked(edges, "e1");
        const read = await edge.get("b", name);
        assert.deepEqual([texts(read.siblings), read.source, read.degraded], [["v1"], "quorum", false]);
        assert.equal(read.context, context);
        assert.deepEqual(verbs(requests), ["edgeFetch", "edgeFetch"]);
        const owners = walk.slice(0, 3).map((id) => `edgeFetch ${id}`);
        assert.ok(requests.every((each) => owners.includes(each)) && requests[0] !== requests[1], requests.join());
        assert.deepEqual(read.answered?.map((id) => `edgeFetch ${id}`).toSorted(), requests.toSorted());
        await cluster.node("h1").delete("b", name, { context: context!, w: "all" });
        assert.deepEqual(await valuesOf(edge, name), []);
        assert.equal((await edge.get("b", "never written")).context, null);
        assert.equal((await edge.get("b", name, { r: "all" })).source, "quorum");
        assert.deepEqual(
          verbs(requests.slice(2)),
          Array.from({ length: 2 + 2 + 3 }, () => "edgeFetch"),
        );
      },
      still,
    ));

  test("takes R from hosts where the application leaves it to them", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster);
        const requests = asked(edges, "e1");
        await edge.get("b", "k");
        assert.deepEqual(verbs(requests), ["edgeFetch", "edgeFetch", "edgeFetch"]);
      },
      { r: "all" },
    ));

  test("merges what owners differ in, and has a host mend who is behind", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster, { readRepairShare: 1 });
        await staleAt(cluster, "h3");
        assert.deepEqual(texts((await edge.get("b", "k", { r: "all" })).siblings), ["v2"]);
        await eventually(async () => (await local(cluster, "h3")).join() === "v2", "the repair of h3");
        // Told when h3 has answered.
        await eventually(() => eventsOf(cluster, "read-repair").length > 0, "the repair to be told");
        assert.deepEqual(
          eventsOf(cluster, "read-repair").map(({ replicas }) => replicas),
          [1],
        );
        const requests = asked(edges, "e1");
        await edge.get("b", "k", { r: "all" });
        assert.deepEqual(verbs(requests), ["edgeFetch", "edgeFetch", "edgeFetch"], "nothing is left to mend");
      },
      still,
    ));

  test("writes on what it has merged with a context that covers all of it", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster);
        for (const [name, value] of [
          ["h1", "one"],
          ["h2", "two"],
        ] as const) {
          const others = ["h1", "h2", "h3"].filter((other) => other !== name);
          for (const other of others) cluster.disk(other).refusesWrites = "io";
          await cluster.node(name).put("b", "k", utf8(value), { w: "one" });
          await eventually(async () => (await cluster.node(name).status()).hints === 2, "the hints of both others");
          await cluster.disk(name).clear("hints", {});
          for (const other of others) cluster.disk(other).refusesWrites = undefined;
        }
        const read = await edge.get("b", "k", { r: "all" });
        assert.deepEqual(texts(read.siblings), ["one", "two"]);
        await edge.put("b", "k", utf8("both"), { context: read.context!, w: "all" });
        assert.deepEqual(await atHosts(cluster, "k"), ["both"]);
      },
      still,
    ));

  test("asks the next owner when one is late or gone", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster, { speculativeDelayMinMs: 5 });
        await cluster.node("h1").put("b", "k", utf8("v1"), { w: "all" });
        const lost = () => Promise.reject(new TransportError("lost", "no answer"));
        const hangs: Answer = (to, body) =>
          to === "h2" && body[0] === methods.edgeFetch.number ? setTimeout(1_000).then(lost) : undefined;
        const late = asked(edges, "e1", hangs);
        for (let i = 0; i < 5; i++) assert.deepEqual(await valuesOf(edge, "k"), ["v1"]);
        assert.ok(!verbs(late).includes("edgeRead"), late.join());
        const fails: Answer = (to, body) => (to === "h3" && body[0] === methods.edgeFetch.number ? lost() : undefined);
        asked(edges, "e1", fails);
        // Only one owner is left to ask: a host has to.
        const read = await edge.get("b", "k");
        assert.deepEqual([texts(read.siblings), read.source], [["v1"], "quorum"]);
        assert.equal(late.filter((each) => each.startsWith("edgeRead")).length, 1);
      },
      still,
    ));

  test("leaves a large value that owners differ in to a host", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster, { inlineValueBytesMax: 10 });
        await staleAt(cluster, "h3");
        const requests = asked(edges, "e1");
        assert.deepEqual(texts((await edge.get("b", "k", { r: "all" })).siblings), ["v2"]);
        assert.deepEqual(new Set(verbs(requests)), new Set(["edgeFetch", "edgeRead"]));
        await edge.get("b", "k2", { r: "all" });
      },
      still,
    ));
});

describe("an edge has a host coordinate", { concurrency: true }, () => {
  for (const [what, change] of [
    ["an owner says that its copy does not count", { counts: false }],
    ["an owner is on another ring", { ring: "0123456789abcdef" }],
  ] as const) {
    test(`when ${what}`, () =>
      withEdges(3, async (edges, cluster) => {
        const edge = await reader(edges, cluster);
        await cluster.node("h1").put("b", "k", utf8("v1"), { w: "all" });
        const requests = asked(edges, "e1", altered(edges, change));
        assert.deepEqual(await valuesOf(edge, "k"), ["v1"]);
        assert.deepEqual(
          verbs(requests).filter((verb) => verb === "edgeRead"),
          ["edgeRead"],
        );
      }));
  }

  test("when it is not connected to R owners", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await reader(edges, cluster);
      await cluster.node("h1").put("b", "k", utf8("v1"), { w: "all" });
      await connectedToOne(edges, cluster);
      const requests = asked(edges, "e1");
      const read = await edge.get("b", "k");
      assert.deepEqual([texts(read.siblings), read.source, read.degraded], [["v1"], "quorum", false]);
      assert.deepEqual(requests, ["edgeRead h1"]);
      // The host names those that it asked, and itself.
      assert.ok(
        read.answered?.includes("h1" as NodeId) && new Set(read.answered).size >= 2,
        `${read.answered?.join()}`,
      );
      assert.equal((await edge.get("b", "k", { r: "local" })).answered, undefined);
    }));

  test("on a ring that has changed, which it learns of by that", () =>
    withEdges(4, async (edges, cluster) => {
      const edge = await reader(edges, cluster, { refreshIntervalMs: 2_000_000_000 });
      const { name } = await placed(cluster, (walk) => walk.slice(0, 3).includes("h4"));
      await cluster.node("h1").put("b", name, utf8("v1"), { w: "all" });
      await cluster.node("h4").changeRing({ kind: "leave", host: "h4" });
      await eventually(
        () =>
          ["h1", "h2", "h3"].every(
            (each) =>
              !cluster
                .node(each)
                .ring()
                .tokens.includes("h4" as NodeId),
          ),
        "the ring without h4",
      );
      assert.deepEqual(await valuesOf(edge, name), ["v1"]);
      const requests = asked(edges, "e1");
      await eventually(async () => {
        requests.length = 0;
        await edge.get("b", name);
        return verbs(requests).join() === "edgeFetch,edgeFetch";
      }, "the edge to coordinate by itself on the new ring");
    }));
});

describe("a host's copy", { concurrency: true }, () => {
  const fetch = async (edges: MemoryEdges, host: string, name: string) =>
    call(edges.transport("e1"), host as NodeId, methods.edgeFetch, { key: `b/${name}` }, 60_000);

  test("counts at its owners, and at no other host", () =>
    withEdges(5, async (edges, cluster) => {
      await reader(edges, cluster);
      const { name, walk } = await placed(cluster);
      await cluster.node("h1").put("b", name, utf8("v1"), { w: "all" });
      const counts = await Promise.all(walk.map(async (host) => (await fetch(edges, host, name)).counts));
      assert.deepEqual(counts, [true, true, true, false, false]);
    }));

  test("does not count as long as its host has met no co-owner since its start", () =>
    withEdges(3, async (edges, cluster) => {
      await reader(edges, cluster);
      await cluster.node("h1").put("b", "k", utf8("v1"), { w: "all" });
      for (const host of ["h1", "h2", "h3"]) cluster.kill(host);
      await cluster.start("h2", { seeds: ["memory:h1"], mayFound: false });
      await eventually(
        () =>
          edges
            .transport("e1")
            .meet("memory:h2")
            .then(() => true),
        "the edge to meet h2 again",
      );
      const { counts, state } = await fetch(edges, "h2", "k");
      assert.deepEqual([counts, state === undefined], [false, false]);
    }));
});

test("what an edge has heard of one owner is not lost by a read from a quorum that has not met it", () =>
  withEdges(
    3,
    async (edges, cluster) => {
      const edge = await reader(edges, cluster);
      const { context } = await cluster.node("h1").put("b", "k", utf8("v1"), { w: "all" });
      for (const host of ["h2", "h3"]) cluster.disk(host).refusesWrites = "io";
      await cluster.node("h1").put("b", "k", utf8("v2"), { context: context!, w: 1 });
      assert.deepEqual(texts((await edge.get("b", "k", { r: "all" })).siblings), ["v2"]);
      const lost = Promise.reject(new TransportError("not-sent", "h1 is slow"));
      lost.catch(() => undefined);
      asked(edges, "e1", (to, body) => (to === "h1" && body[0] === methods.edgeFetch.number ? lost : undefined));
      assert.deepEqual(await valuesOf(edge, "k"), ["v2"]);
      assert.deepEqual(await valuesOf(edge, "k", "local"), ["v2"]);
    },
    still,
  ));

test("an edge that is asked for more answers than there are hosts refuses, rather than answer from its copy", () =>
  withEdges(3, async (edges, cluster) => {
    const host = cluster.node("h1");
    await host.put("b", "k", utf8("v1"), { w: "all" });
    const edge = await edges.connected("e1");
    await edge.get("b", "k");
    const tooMany = { code: "quorum-not-met" };
    await assert.rejects(host.get("b", "k", { r: 5 }), tooMany);
    await assert.rejects(edge.get("b", "k", { r: 5 }), tooMany);
  }));

test("a read that is under way when its edge is closed ends", () =>
  withEdges(3, async (edges) => {
    const edge = await edges.connected("e1");
    await edge.get("b", "k"); // hosts have told R
    const ended = edge.get("b", "k").then(
      () => "ended",
      () => "ended",
    );
    await edge.close();
    assert.equal(await Promise.race([ended, setTimeout(8_000, "waiting")]), "ended");
  }));

test("an edge whose host finds only a delete, with too few others, takes it for what it knows itself: newer may exist", () =>
  withEdges(5, async (edges, cluster) => {
    const { name, walk } = await placed(cluster);
    const [cut, b, c, d, e] = walk as [string, string, string, string, string];
    const edge = await edges.connected("e1", { config: patient });
    const node = cluster.node(cut);
    const { context } = await node.put("b", name, utf8("v1"), { w: "all" });
    await node.delete("b", name, { context: context!, w: "all" });
    for (const host of [b, c, d, e]) cluster.network.cut("e1" as NodeId, host as NodeId);
    cluster.isolate(cut);
    for (const other of [b, c, d]) await seen(node, other, false);
    cluster.network.heal(cut as NodeId, e as NodeId);
    await seen(node, e, true);
    const read = await edge.get("b", name);
    assert.deepEqual([read.siblings, read.source, read.degraded], [[], "local", true]);
    assert.equal(typeof read.context, "string");
  }));
