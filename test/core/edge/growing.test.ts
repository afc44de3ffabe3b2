/** Updates of a document that wait for hosts and take in what follows: each time another event. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Y from "yjs";
import type { PutOptions } from "../../../core/api.ts";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import type { RequestName, StoreRead } from "../../../core/store-node.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { failsWith } from "../../support/values.ts";
import { flushed, offline, withEdges } from "./scene.ts";

/** The text in one growing document of one client, as an update of all of it. */
function grower(): (text: string) => Uint8Array {
  const doc = new Y.Doc();
  return (text) => {
    doc.getText("body").insert(doc.getText("body").length, text);
    return Y.encodeStateAsUpdate(doc);
  };
}

function textIn({ siblings }: Pick<StoreRead, "siblings">): string {
  const doc = new Y.Doc();
  for (const { body } of siblings) Y.applyUpdate(doc, body);
  return doc.getText("body").toJSON();
}

const put = (edge: EdgeNode, body: Uint8Array, options: PutOptions & RequestName = {}) =>
  edge.put("b", "k", body, { kind: "yjs", ...options });

const atHosts = (cluster: MemoryCluster) => cluster.node("h2").get("b", "k", { r: "all" });

describe("an update that waits for hosts", { concurrency: true }, () => {
  test("takes in the one that contains it, and is another event then: a dot names one content", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      const add = grower();
      const first = await put(edge, add("one "));
      const second = await put(edge, add("two "), { folds: [first.dot] });
      assert.notEqual(second.dot, first.dot);
      assert.equal(edge.facts().pending, 1);
      // Of another tab, which has seen only the first: it contains no more than that.
      const other = new Y.Doc();
      other.getText("body").insert(0, "three ");
      await put(edge, Y.encodeStateAsUpdate(other), { folds: [first.dot] });
      await edges.transport("e1").meet("memory:h1");
      await flushed(edge);
      const told = textIn(await atHosts(cluster));
      assert.ok(told.includes("one two ") && told.includes("three "), told);
    }));

  test("is not covered by a context from before what it took in", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      const add = grower();
      const first = await put(edge, add("seen "));
      const seen = await edge.get("b", "k");
      await put(edge, add("unseen"), { folds: [first.dot] });
      await edge.delete("b", "k", { context: seen.context! });
      assert.equal(textIn(await edge.get("b", "k")), "seen unseen");
      await edges.transport("e1").meet("memory:h1");
      await flushed(edge);
      assert.equal(textIn(await atHosts(cluster)), "seen unseen");
    }));

  test("of an earlier run is left as it is: a copy of the storage may have sent it", () =>
    withEdges(3, async (edges, cluster) => {
      const away = await edges.start("e1", { seeds: [] });
      const add = grower();
      const first = await put(away, add("one "));
      const copy = await edges.copyDisk("e1");
      await edges.transport("e1").meet("memory:h1");
      await flushed(away);
      await edges.kill("e1");
      edges.putDisk("e1", copy);
      const again = await edges.start("e1", { seeds: [] });
      const second = await put(again, add("two "), { folds: [first.dot] });
      assert.notEqual(second.dot, first.dot);
      await edges.transport("e1").meet("memory:h1");
      await flushed(again);
      assert.equal(textIn(await atHosts(cluster)), "one two ");
    }));

  test("is waited for under the request of each write in it, in this run and in the next, and copied as a whole", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      const add = grower();
      const [short, long] = [add("one "), add("two ")];
      const [one, two] = ["0000000000000001", "0000000000000002"];
      const first = await put(edge, short, { request: one, w: "one" });
      const second = await put(edge, long, { request: two, w: "one", folds: [first.dot] });
      assert.equal((await put(edge, short, { request: one, w: "one" })).dot, first.dot);
      const written = { bucket: "b", name: "k" };
      cluster.kill("h3");
      const waiting = [
        edge.until({ ...written, body: short, request: one, answer: first }, "quorum"),
        edge.until({ ...written, body: long, request: two, answer: second }, "quorum"),
      ];
      await edges.transport("e1").meet("memory:h1");
      for (const copies of await Promise.all(waiting)) assert.ok(copies >= 2);
      await edges.kill("e1");
      await cluster.start("h3");
      const next = await edges.connected("e1");
      assert.equal((await put(next, short, { request: one })).dot, first.dot);
      assert.equal(await next.until({ ...written, body: short, request: one, answer: first }, "all"), 3);
      const copies = await Promise.all([...cluster.nodes.values()].map((host) => host.getLocal("b", "k")));
      for (const { siblings } of copies) {
        assert.deepEqual(
          siblings.map(({ dot }) => dot),
          [second.dot],
        );
        assert.equal(textIn({ siblings }), "one two ");
      }
    }));

  test("grows only as far as the outbox has room, and is kept as it was then", () =>
    withEdges(1, async (edges) => {
      const edge = await edges.start("e1", { seeds: [], config: { outboxBytesMax: 10_000 } });
      const add = grower();
      const first = await put(edge, add("a"));
      await assert.rejects(put(edge, add("x".repeat(10_000)), { folds: [first.dot] }), failsWith("overloaded"));
      assert.equal(textIn(await edge.get("b", "k")), "a");
    }));
});

test("an update that has seen a delete which waits for hosts, too, does not stand for it: what was deleted stays so", () =>
  withEdges(3, async (edges, cluster) => {
    const edge = await edges.connected("e1");
    await put(edge, grower()("former"), { w: "all" });
    edges.cut("e1");
    await offline(edge);
    const { context } = await edge.get("b", "k");
    await edge.delete("b", "k", { kind: "yjs", context: context! });
    const { context: seen } = await edge.get("b", "k");
    await put(edge, grower()("latter"), { context: seen! });
    assert.equal(textIn(await edge.get("b", "k")), "latter");
    edges.heal("e1");
    await flushed(edge);
    assert.equal(textIn(await edge.get("b", "k")), "latter");
    assert.equal(textIn(await atHosts(cluster)), "latter");
  }));

test("an edge folds a document of as many updates as a key may have values, as a host does", () =>
  withEdges(
    3,
    async (edges, cluster) => {
      const edge = await edges.connected("e1", { config: { siblingsMax: 5 } });
      for (let i = 0; i < 5; i++) await cluster.node("h1").put("b", "k", grower()("x"), { kind: "yjs", w: "all" });
      const { siblings } = await edge.get("b", "k");
      assert.equal(siblings.length, 5);
      await assert.rejects(put(edge, grower()("x")), failsWith("too-many-siblings"));
      await put(edge, Y.mergeUpdates(siblings.map(({ body }) => body)), { folds: siblings.map(({ dot }) => dot) });
      assert.equal(textIn(await atHosts(cluster)), "xxxxx");
      assert.equal((await atHosts(cluster)).siblings.length, 1);
    },
    { siblingsMax: 5 },
  ));
