/** How long a document that is closed waits for hosts: as long as they may still take what it has written. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import * as Y from "yjs";
import { StoreError } from "../../../core/errors.ts";
import { loadDocuments } from "../../../core/load-documents.ts";
import type { Clock } from "../../../core/ports.ts";
import type { StoreNode } from "../../../core/store-node.ts";
import type { ErrorEvent } from "../../../core/store/listeners.ts";
import { Store } from "../../../core/store/store.ts";
import { eventually } from "../../support/eventually.ts";
import { holdWrites } from "../../support/held-writes.ts";
import { type MemoryCluster, realRandom } from "../../support/memory-cluster.ts";
import { hostStoreNode } from "../../support/memory-stores.ts";
import { realClock } from "../../support/real-clock.ts";
import { patient, withCluster } from "../coordinate/scene.ts";
import { withEdges } from "../edge/scene.ts";

/** Whoever waits until its time is over waits for ever. */
const endless: Clock = { ...realClock, after: (ms, run) => (ms === 5_000 ? () => {} : realClock.after(ms, run)) };

/** A document that hosts have, in a store that runs over this node. */
async function opened(node: StoreNode, told: ErrorEvent[] = []) {
  const store = new Store("test", { node, clock: endless, random: realRandom, loadDocuments });
  store.on("error", (event) => told.push(event));
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

describe("a document that is closed at a host", { concurrency: true }, () => {
  test("waits no longer for others once they are too few: this host has its edits, says so, and brings them to the others", () =>
    withCluster(
      3,
      async (cluster) => {
        const told: ErrorEvent[] = [];
        const node = hostStoreNode(cluster, "h1");
        const doc = await opened(node, told);
        fail(cluster);
        doc.getText("body").insert(1, "b");
        await doc.close();
        assert.deepEqual(
          told.map(({ bucket, error: { code, detail } }) => ({ bucket, code, detail })),
          [{ bucket: "notes", code: "quorum-not-met", detail: { needed: 2, got: 1, from: ["h1"] } }],
        );
        assert.match(
          told[0]!.error.message,
          /^notes\/plan was closed before enough hosts had .* bring them to the others: 2 of 3/,
        );
        mend(cluster);
        await eventually(async () => (await textAt(cluster)) === "ab", "its edits to be with all");
        await node.close();
      },
      patient,
    ));

  test("goes on waiting for others where its page keeps nothing", () =>
    withCluster(
      3,
      async (cluster) => {
        const told: ErrorEvent[] = [];
        const node = hostStoreNode(cluster, "h1");
        const facts = node.facts.bind(node);
        node.facts = () => ({ ...facts(), browser: { storage: "memory", notices: [] } });
        const doc = await opened(node, told);
        fail(cluster);
        doc.getText("body").insert(1, "b");
        let isClosed = false;
        const closed = doc.close().then(() => (isClosed = true));
        await setTimeout(300);
        assert.equal(isClosed, false);
        mend(cluster);
        await closed;
        assert.deepEqual(told, []);
        assert.equal(await textAt(cluster), "ab");
        await node.close();
      },
      patient,
    ));

  test("that no host has its edits is tried again for as long as it waits, and told with the reason", () =>
    withCluster(
      1,
      async (cluster) => {
        const told: ErrorEvent[] = [];
        const node = hostStoreNode(cluster, "h1");
        const refusal = new StoreError("quorum-not-met", "nobody took it", { needed: 1, got: 0, from: [] });
        const put = node.put.bind(node);
        const doc = await opened(node, told);
        let puts = 0;
        node.put = (...call) => (++puts <= 2 ? Promise.reject(refusal) : put(...call));
        doc.getText("body").insert(1, "b");
        await doc.close();
        assert.deepEqual(told, []);
        assert.equal(await textAt(cluster), "ab");
        await node.close();
      },
      patient,
    ));
});
