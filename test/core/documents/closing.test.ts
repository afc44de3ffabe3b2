/** How long a document that is closed at an edge waits for hosts: as long as they may still take what it has written. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import * as Y from "yjs";
import { loadDocuments } from "../../../core/load-documents.ts";
import type { Clock } from "../../../core/ports.ts";
import type { StoreNode } from "../../../core/store-node.ts";
import { Store } from "../../../core/store/store.ts";
import { eventually } from "../../support/eventually.ts";
import { holdWrites } from "../../support/held-writes.ts";
import { type MemoryCluster, realRandom } from "../../support/memory-cluster.ts";
import { realClock } from "../../support/real-clock.ts";
import { withEdges } from "../edge/scene.ts";

/** Whoever waits until its time is over waits for ever. */
const endless: Clock = { ...realClock, after: (ms, run) => (ms === 5_000 ? () => {} : realClock.after(ms, run)) };

/** A document that hosts have, in a store that runs over this node. */
async function opened(node: StoreNode) {
  const store = new Store("test", { node, clock: endless, random: realRandom, loadDocuments });
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  doc.getText("body").insert(0, "a");
  await doc.settled;
  return doc;
}

/** Hosts that answer, and are too few. */
const fail = (cluster: MemoryCluster): void => {
  for (const name of ["h2", "h3"]) cluster.disk(name).refusesWrites = "io";
};
const mend = (cluster: MemoryCluster): void => {
  for (const name of ["h2", "h3"]) cluster.disk(name).refusesWrites = undefined;
};

async function textAt(cluster: MemoryCluster): Promise<string> {
  const { siblings } = await cluster.node("h1").get("notes", "plan", { r: "all" });
  const stored = new Y.Doc();
  for (const { body } of siblings) Y.applyUpdate(stored, body);
  return stored.getText("body").toJSON();
}

describe("a document that is closed at an edge", { concurrency: true }, () => {
  test("waits no longer for hosts that have said that they are too few: they are given its edits when they are enough", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const doc = await opened(edge);
      fail(cluster);
      doc.getText("body").insert(1, "b");
      await doc.close();
      assert.ok(edge.facts().connected && edge.facts().pending === 1 && edge.facts().delayed === 1);
      mend(cluster);
      await edge.flush();
      assert.equal(edge.facts().delayed, 0);
      assert.equal(await textAt(cluster), "ab");
    }));

  test("waits no longer for hosts that are lost while it waits", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1", { config: { requestTimeoutMs: 60_000 } });
      const doc = await opened(edge);
      const held = holdWrites(edges.transport("e1"));
      doc.getText("body").insert(1, "b");
      const closed = doc.close();
      await eventually(() => held.sent.length === 1, "its edit to be on its way");
      edges.cut("e1");
      await closed;
      held.go();
      edges.heal("e1");
      await edge.flush();
      assert.equal(await textAt(cluster), "ab");
    }));

  test("goes on waiting for them where nothing is kept, as in a browser without storage", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const facts = edge.facts.bind(edge);
      edge.facts = () => ({ ...facts(), browser: { storage: "memory", notices: [] } });
      const doc = await opened(edge);
      fail(cluster);
      doc.getText("body").insert(1, "b");
      let isClosed = false;
      const closed = doc.close().then(() => (isClosed = true));
      await eventually(() => edge.facts().delayed === 1, "hosts to say that they are too few");
      await setTimeout(100);
      assert.equal(isClosed, false);
      mend(cluster);
      await closed;
      assert.equal(edge.facts().pending, 0);
      assert.equal(await textAt(cluster), "ab");
    }));
});
