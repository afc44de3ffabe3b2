/** Edits at an edge that is connected by a link on which writes stall: it has them at once all the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import type { LiveDocument } from "../../../core/documents/live-document.ts";
import { eventually } from "../../support/eventually.ts";
import { holdWrites } from "../../support/held-writes.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { storeOver } from "../../support/memory-stores.ts";
import { failsWith } from "../../support/values.ts";

const textOf = (doc: Y.Doc): string => doc.getText("body").toJSON();

async function opened() {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  // A request outlasts the test.
  const edge = await edges.connected("e1", { config: { requestTimeoutMs: 20_000 } });
  const store = storeOver(edge);
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  doc.getText("body").insert(0, "0");
  await doc.settled;
  const stop = async (): Promise<void> => {
    await edges.stop();
    await cluster.stop();
  };
  return { cluster, edges, edge, store, doc, stop };
}

const type = (doc: LiveDocument, text: string): void => doc.getText("body").insert(textOf(doc).length, text);

async function readAt(cluster: MemoryCluster): Promise<string> {
  const { siblings } = await cluster.node("h2").get("notes", "plan", { r: "all" });
  const stored = new Y.Doc();
  for (const { body } of siblings) Y.applyUpdate(stored, body);
  return textOf(stored);
}

test("an edit that is made while the one before it stalls survives the process, a tenth of a second later", async () => {
  const { cluster, edges, doc, stop } = await opened();
  const held = holdWrites(edges.transport("e1"));
  type(doc, "1");
  await eventually(() => held.sent.length === 1, "the first write to be on its way");
  type(doc, "2");
  await new Promise((resolve) => setTimeout(resolve, 250));
  await edges.kill("e1");
  edges.cut("e1");
  const back = await edges.start("e1");
  const again = await storeOver(back).doc("notes/plan");
  await again.loaded;
  assert.equal(textOf(again), "012");
  edges.heal("e1");
  await back.flush();
  assert.equal(await readAt(cluster), "012");
  await stop();
});

test("edits behind a write that stalls are with the node at once, wait as one write, and are sent as that, once each", async () => {
  const { cluster, edges, edge, store, doc, stop } = await opened();
  const held = holdWrites(edges.transport("e1"));
  const letters = "abcdefghij";
  for (const letter of letters) {
    type(doc, letter);
    await doc.flush();
  }
  assert.equal(held.sent.length, 1, "one write of a document is on its way at a time");
  assert.equal(edge.facts().pending, 2, "what waits behind it is one write");
  assert.equal(doc.status().settled, false);
  held.go();
  await doc.settled;
  assert.equal(edge.facts().pending, 0);
  const sent = held.sent.map((update) => Y.decodeUpdate(update).structs.reduce((sum, { length }) => sum + length, 0));
  assert.deepEqual(sent, [1, letters.length - 1]);
  assert.equal(await readAt(cluster), `0${letters}`);
  await store.close();
  await stop();
});

test("a document that is closed waits for hosts, for whoever opened it may keep nothing", async () => {
  const { cluster, edges, store, doc, stop } = await opened();
  const held = holdWrites(edges.transport("e1"));
  type(doc, "1");
  const closed = store.close();
  await eventually(() => held.sent.length === 1, "the write to be on its way");
  setTimeout(held.go, 1_500); // beyond what a node that is closed waits for by itself
  await closed;
  assert.equal(await readAt(cluster), "01");
  await stop();
});

test("what hosts refuse after the edge had it is tried once more as a whole, told, and stored when it is smaller", async () => {
  const cluster = await MemoryCluster.of(3, { config: { valueBytesMax: 100_000 } });
  const edges = new MemoryEdges(cluster);
  const edge = await edges.connected("e1");
  const store = storeOver(edge);
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  type(doc, "0");
  await doc.settled;
  type(doc, "x".repeat(150_000));
  await doc.flush();
  assert.equal(doc.status().problem, undefined);
  await assert.rejects(doc.settled, failsWith("value-too-large"));
  doc.getText("body").delete(1, 149_990);
  await eventually(
    () => doc.status().settled && doc.status().problem === undefined,
    "the smaller document to be taken",
  );
  assert.equal(await readAt(cluster), `0${"x".repeat(10)}`);
  assert.equal(edge.facts().parked, 0, "what was refused is in what was taken");
  await store.close();
  await edges.stop();
  await cluster.stop();
});
