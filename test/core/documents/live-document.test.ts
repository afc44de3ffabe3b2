/** Live documents over hosts and edges: `store.doc`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LiveDocument } from "../../../core/documents/live-document.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith, utf8 } from "../../support/values.ts";

const textOf = (doc: LiveDocument): string => doc.getText("body").toJSON();

test("two people at one document, at a host and at an edge, see each other's edits; all of it is settled", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  await using atHost = storeOver(hostStoreNode(cluster, "h1"));
  await using atEdge = storeOver(await edges.connected("e1"));
  const [one, two] = [await atHost.doc("notes/plan"), await atEdge.doc("notes/plan")];
  assert.equal(await atHost.doc("notes/plan"), one);
  await Promise.all([one.loaded, two.loaded]);
  one.getText("body").insert(0, "hosts");
  await one.settled;
  await eventually(() => textOf(two) === "hosts", "the edit at the host to reach the edge");
  two.getText("body").insert(0, "edges and ");
  await two.settled;
  await eventually(() => textOf(one) === "edges and hosts", "the edit at the edge to reach the host");
  const read = await cluster.node("h3").get("notes", "plan");
  assert.deepEqual([...new Set(read.siblings.map(({ kind }) => kind))], ["yjs"]);
  await Promise.all([atHost.close(), atEdge.close()]);
  await assert.rejects(one.loaded, failsWith("closed"));
  await edges.stop();
  await cluster.stop();
});

test("offline a document is one growing write; back again it meets what others wrote, and nothing is lost", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  await edges.connected("e1");
  const other = storeOver(await edges.connected("e2"));
  const doc = await other.doc("notes/plan");
  doc.getText("body").insert(0, "0");
  await doc.settled;
  edges.cut("e1");
  await edges.kill("e1");
  const store = storeOver(await edges.start("e1"));
  const away = await store.doc("notes/plan");
  await away.loaded;
  for (let i = 0; i < 30; i++) {
    away.getText("body").insert(0, "a");
    if (i % 3 === 0) await away.flush();
  }
  await away.flush();
  assert.equal(store.status().pending, 1);
  assert.equal(away.status().settled, false);
  doc.getText("body").insert(doc.getText("body").length, "b");
  await doc.settled;
  await store.close();
  await edges.kill("e1");

  edges.heal("e1");
  const again = storeOver(await edges.start("e1"));
  const back = await again.doc("notes/plan");
  await again.flush();
  // Neither knew of the other's first letter: whose comes first is for Yjs to say.
  await eventually(() => /^(?:a{30}0b|0ba{30})$/.test(textOf(back)), "the edits of both to meet");
  await eventually(() => textOf(doc) === textOf(back), "the other to see them");
  await Promise.all([again.close(), other.close()]);
  await edges.stop();
  await cluster.stop();
});

test("a document that was deleted is absent; an edit brings it back whole, also one that was made beside the delete", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  assert.equal(doc.status().absent, true);
  doc.getText("body").insert(0, "kept");
  await doc.settled;
  await eventually(() => !doc.status().absent, "the document to be there");
  const { context } = await cluster.node("h2").get("notes", "plan", { r: "all" });
  await cluster.node("h2").delete("notes", "plan", { context: context! });
  await eventually(() => doc.status().absent, "the delete to be seen");
  doc.getText("body").insert(4, " anyway");
  await doc.settled;
  await using other = storeOver(hostStoreNode(cluster, "h3"));
  const reader = await other.doc("notes/plan");
  await eventually(() => textOf(reader) === "kept anyway", "the whole to be read");

  // The context is from before the next edit, so that one survives the delete, and what it builds on does not.
  const seen = await cluster.node("h2").get("notes", "plan", { r: "all" });
  doc.getText("body").insert(0, "once more ");
  await doc.settled;
  await cluster.node("h2").delete("notes", "plan", { context: seen.context! });
  await eventually(async () => {
    const read = await cluster.node("h3").get("notes", "plan", { r: "all" });
    return read.siblings.length > 0 && !read.deleted;
  }, "the open documents to mend it");
  await using third = storeOver(hostStoreNode(cluster, "h2"));
  const late = await third.doc("notes/plan");
  await eventually(() => textOf(late) === "once more kept anyway", "the whole to be read once more");
  await Promise.all([third.close(), other.close(), store.close()]);
  await cluster.stop();
});

test("what is no update is refused and changes nothing; an update that Yjs cannot apply is told, and holds up no other", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const put = (body: Uint8Array) => cluster.node("h2").put("notes", "plan", body, { kind: "yjs" });
  await assert.rejects(put(utf8("hostile")), failsWith("bad-request"));
  assert.equal((await cluster.node("h2").get("notes", "plan")).context, null);
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  doc.getText("body").insert(0, "sound");
  await doc.settled;
  // One struct of client 5, whose parent is the text that client 5 is to write with it.
  await put(Uint8Array.of(1, 1, 5, 0, 4, 0, 5, 0, 1, 97, 0));
  doc.getText("body").insert(5, " still");
  await doc.settled;
  await using other = storeOver(hostStoreNode(cluster, "h3"));
  const reader = await other.doc("notes/plan");
  await eventually(() => textOf(reader) === "sound still", "the sound updates to be read");
  await Promise.all([store.close(), other.close()]);
  await cluster.stop();
});

test("a document of many edits stays a few updates, and near its smallest size; one that is too large is refused until it shrinks", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  for (let i = 0; i < 200; i++) {
    doc.getText("body").insert(0, `line ${i}\n`);
    await doc.flush();
  }
  const { siblings } = await cluster.node("h2").get("notes", "plan");
  assert.ok(siblings.length < 30, `${siblings.length} updates`);
  const big = await store.doc("notes/big");
  await big.loaded;
  big.getText("body").insert(0, "x".repeat(1_000_000));
  await big.settled;
  big.getText("body").insert(0, "y".repeat(100_000));
  await assert.rejects(big.settled, failsWith("value-too-large"));
  big.getText("body").delete(0, 500_000);
  await eventually(
    () => big.status().problem === undefined && big.status().settled,
    "the smaller document to be stored",
  );
  assert.ok(big.status().bytes < 700_000);
  await store.close();
  await cluster.stop();
});

test("a document of more than 256 KiB says so to its application, until it is smaller again", async () => {
  const cluster = await MemoryCluster.of(1);
  const store = storeOver(hostStoreNode(cluster, "h1"));
  const doc = await store.doc("notes/plan");
  await doc.loaded;
  const text = doc.getText("body");
  const told: boolean[] = [];
  doc.subscribeStatus(({ large }) => {
    if (told.at(-1) !== large) told.push(large);
  });
  text.insert(0, "x".repeat(250_000));
  await doc.settled;
  assert.equal(doc.status().large, false);
  text.insert(0, "y".repeat(20_000));
  await doc.settled;
  await eventually(() => doc.status().large, "the warning");
  assert.equal(doc.status().problem, undefined);
  text.delete(0, 200_000);
  await eventually(() => doc.status().settled && !doc.status().large, "it to be small again");
  assert.deepEqual(told, [false, true, false]);
  await store.close();
  await cluster.stop();
});
