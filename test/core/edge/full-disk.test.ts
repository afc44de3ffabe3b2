/** An edge whose disk is full: nothing is lost, nothing is said to be kept that is not, and whoever reads sees the latest. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { MemoryEdges } from "../../support/memory-edges.ts";
import { failsWith, utf8 } from "../../support/values.ts";
import { atHosts, flushed, losesNext, valuesOf, withEdges } from "./scene.ts";

describe("a full disk", { concurrency: true }, () => {
  test("is told as such, reads go on, and writes resume when there is room", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      await edge.put("b", "k", utf8("v1"), { w: "all" });
      edges.disk("e1").refusesWrites = "full";
      await assert.rejects(edge.put("b", "k2", utf8("v")), failsWith("storage-full"));
      assert.deepEqual(await valuesOf(edge, "k"), ["v1"]);
      edges.disk("e1").refusesWrites = undefined;
      await edge.put("b", "k2", utf8("v"), { w: "all" });
      assert.deepEqual(await atHosts(cluster, "k2"), ["v"]);
    }));
});

describe("a disk that is full when hosts tell of a change", { concurrency: true }, () => {
  test("keeps nobody from reading it, nor from writing on it when there is room", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const first = await edge.put("b", "k", utf8("v1"), { w: "all" });
      edges.disk("e1").refusesWrites = "full";
      const second = await cluster.node("h1").put("b", "k", utf8("v2"), { context: first.context! });
      assert.deepEqual(await valuesOf(edge, "k"), ["v2"]);
      assert.deepEqual(await valuesOf(edge, "k", "local"), ["v2"]);
      edges.disk("e1").refusesWrites = undefined;
      await edge.put("b", "k", utf8("v3"), { context: second.context!, w: "all" });
      assert.deepEqual(await atHosts(cluster, "k"), ["v3"]);
      await edges.kill("e1");
      const again = await edges.connected("e1");
      assert.deepEqual(await valuesOf(again, "k", "local"), ["v3"]);
    }));

  test("has the copy of before after a restart, which hosts then bring up to date", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const first = await edge.put("b", "k", utf8("v1"), { w: "all" });
      edges.disk("e1").refusesWrites = "full";
      await cluster.node("h1").put("b", "k", utf8("v2"), { context: first.context! });
      assert.deepEqual(await valuesOf(edge, "k"), ["v2"]);
      await edges.kill("e1");
      edges.disk("e1").refusesWrites = undefined;
      const again = await edges.connected("e1");
      assert.deepEqual(await valuesOf(again, "k", "local"), ["v1"]);
      assert.deepEqual(await valuesOf(again, "k"), ["v2"]);
      await again.put("b", "k", utf8("v3"), { w: "all" });
      assert.deepEqual(await atHosts(cluster, "k"), ["v2", "v3"]);
    }));
});

describe("a disk that is full when hosts acknowledge", { concurrency: true }, () => {
  test("lets the write go from the outbox, and what it has to tell of the key is not of before it", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const first = await edge.put("b", "k", utf8("v1"), { w: "all" });
      edges.disk("e1").fullFor = "objects";
      const second = await edge.put("b", "k", utf8("v2"), { context: first.context!, w: "all" });
      assert.equal(edge.facts().pending, 0);
      assert.deepEqual(await valuesOf(edge, "k", "local"), ["v2"]);
      await edges.kill("e1");
      edges.disk("e1").fullFor = undefined;
      const again = await edges.connected("e1");
      await flushed(again);
      assert.deepEqual(await valuesOf(again, "k"), ["v2"]);
      await again.put("b", "k", utf8("v3"), { context: second.context!, w: "all" });
      assert.deepEqual(await atHosts(cluster, "k"), ["v3"]);
    }));
});

describe("a disk that is full, and stays so", { concurrency: true }, () => {
  /** What an offline edge wrote before its disk was full. */
  const filled = async (edges: MemoryEdges, names: readonly string[]): Promise<void> => {
    const edge = await edges.start("e1", { seeds: [] });
    for (const name of names) await edge.put("b", name, utf8(`of ${name}`));
    await edges.kill("e1");
    edges.disk("e1").fullFor = "all";
  };

  test("does not keep writes from being delivered, each once", () =>
    withEdges(3, async (edges, cluster) => {
      const names = Array.from({ length: 20 }, (_, i) => `k${i}`);
      await filled(edges, names);
      const edge = await edges.connected("e1");
      await flushed(edge);
      for (const name of names) assert.deepEqual(await atHosts(cluster, name), [`of ${name}`]);
      await assert.rejects(edge.put("b", "more", utf8("v")), failsWith("storage-full"));
      edges.disk("e1").fullFor = undefined;
      await edge.put("b", "more", utf8("v"));
      assert.deepEqual(await atHosts(cluster, "more"), ["v"]);
    }));

  test("takes nothing from the writes of later runs: one that was never sent is delivered at any age", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        await filled(edges, ["k1", "k2", "k3"]);
        const edge = await edges.connected("e1");
        await flushed(edge);
        edges.disk("e1").fullFor = undefined;
        await edge.put("b", "room", utf8("v"));
        await edge.close();
        edges.transport("e1").die();
        await (await edges.start("e1", { seeds: [] })).put("b", "offline", utf8("v"));
        await edges.kill("e1");
        await new Promise((resolve) => setTimeout(resolve, 150));
        const again = await edges.connected("e1");
        await flushed(again);
        assert.deepEqual(await again.parked(), []);
        assert.deepEqual(await atHosts(cluster, "offline"), ["v"]);
      },
      { graceMs: 200 },
    ));

  test("does not make a write that was sent one that was not, though only memory knew, also when there is room again", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        await filled(edges, ["k"]);
        await edges.start("e1", { seeds: [] });
        const lost = losesNext(edges, "e1", "request");
        await edges.transport("e1").meet("memory:h1");
        await lost;
        await edges.kill("e1");
        edges.disk("e1").fullFor = undefined;
        await (await edges.start("e1", { seeds: [] })).put("b", "after", utf8("v"));
        await edges.kill("e1");
        await new Promise((resolve) => setTimeout(resolve, 150));
        const again = await edges.connected("e1");
        await flushed(again);
        assert.deepEqual(
          (await again.parked()).map(({ name, error }) => [name, error.code]),
          [["k", "outcome-unknown"]],
        );
        assert.deepEqual([await atHosts(cluster, "k"), await atHosts(cluster, "after")], [[], ["v"]]);
      },
      { graceMs: 200 },
    ));
});
