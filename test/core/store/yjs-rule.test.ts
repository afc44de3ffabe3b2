/** Buckets whose values are Yjs documents, as bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as Y from "yjs";
import { yjs } from "../../../core/documents/index.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith } from "../../support/values.ts";

const docOf = (update: Uint8Array | undefined): Y.Doc => {
  const doc = new Y.Doc();
  if (update !== undefined) Y.applyUpdate(doc, update);
  return doc;
};
const wordsOf = (update: Uint8Array | undefined): readonly string[] =>
  docOf(update).getArray<string>("words").toArray();
const adding =
  (word: string) =>
  (present: Uint8Array | undefined): Uint8Array => {
    const doc = docOf(present);
    doc.getArray("words").push([word]);
    return Y.encodeStateAsUpdate(doc);
  };

test("yjs(): what live documents stored is one value, updates are in the documents, and a put adds", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  await using other = storeOver(hostStoreNode(cluster, "h2"));
  const doc = await store.doc("plans/trip");
  await doc.loaded;
  for (const word of ["Oslo", "Bergen"]) {
    doc.getArray("words").push([word]);
    await doc.settled;
  }
  // What takes the place of what lasts would take it away when it expires.
  assert.throws(() => other.bucket("plans", { conflict: yjs(), ttlMs: 60_000 }), failsWith("bad-request"));
  const plans = other.bucket("plans", { conflict: yjs() });
  const { value, problems, raw } = await plans.get("trip", { r: "all" });
  assert.deepEqual([wordsOf(value), problems, raw.siblings.length], [["Oslo", "Bergen"], [], 2]);
  await plans.update("trip", adding("Narvik"));
  await plans.put("trip", adding("Voss")(undefined));
  const words = wordsOf((await plans.get("trip", { r: "all" })).value);
  assert.deepEqual(words.toSorted(), ["Bergen", "Narvik", "Oslo", "Voss"]);
  await eventually(() => doc.getArray("words").length === 4, "the live document to show them");
  assert.deepEqual(doc.getArray("words").toArray(), words);
  await cluster.stop();
});

test("yjs(): updates of three stores at once lose nothing, and one that has seen all leaves one value without what was deleted", async () => {
  const cluster = await MemoryCluster.of(3);
  const stores = ["h1", "h2", "h3"].map((name) => storeOver(hostStoreNode(cluster, name)));
  const buckets = stores.map((store) => store.bucket("plans", { conflict: yjs() }));
  await Promise.all(
    buckets.flatMap((plans, i) => Array.from({ length: 8 }, (_, j) => plans.update("trip", adding(`${i}-${j}`)))),
  );
  const [plans] = buckets as [(typeof buckets)[number]];
  const before = await plans.get("trip", { r: "all" });
  assert.equal(new Set(wordsOf(before.value)).size, 24);
  const { value } = await plans.update("trip", (present) => {
    const doc = docOf(present);
    doc.getArray("words").delete(0, 24);
    return Y.encodeStateAsUpdate(doc);
  });
  const after = await plans.get("trip", { r: "all" });
  assert.deepEqual([after.value, after.raw.siblings.length, wordsOf(value)], [value, 1, []]);
  assert.doesNotMatch(Buffer.from(value).toString("latin1"), /0-0/);
  await Promise.all(stores.map((store) => store.close()));
  await cluster.stop();
});

test("yjs(): updates of an edge without hosts arrive as one, beside those of others", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  const edge = await edges.connected("e1");
  const store = storeOver(edge);
  const other = storeOver(hostStoreNode(cluster, "h2"));
  const plans = store.bucket("plans", { conflict: yjs() });
  await plans.update("trip", adding("Oslo"));
  edges.cut("e1");
  await eventually(() => !edge.facts().connected, "the edge to be offline");
  for (const word of ["Bergen", "Narvik", "Voss"]) await plans.update("trip", adding(word));
  await other.bucket("plans", { conflict: yjs() }).update("trip", adding("Moss"));
  edges.heal("e1");
  await store.flush();
  const { value, raw } = await other.bucket<Uint8Array>("plans").get("trip", { r: "all" });
  assert.deepEqual(wordsOf(value).toSorted(), ["Bergen", "Moss", "Narvik", "Oslo", "Voss"]);
  assert.equal(raw.siblings.length, 2);
  await Promise.all([store.close(), other.close()]);
  await edges.stop();
  await cluster.stop();
});

test("yjs(): an update leaves what expires where it is, beside what lasts, which holds it too", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const plans = store.bucket("plans", { conflict: yjs() });
  await plans.put("trip", adding("Oslo")(undefined));
  await plans.put("trip", adding("Bergen")(undefined), { ttlMs: 60_000 });
  await plans.update("trip", adding("Narvik"));
  const { raw } = await plans.get("trip", { r: "all" });
  const found = raw.siblings.map(({ body, expiresAtMs }) => [expiresAtMs !== undefined, wordsOf(body).toSorted()]);
  assert.deepEqual(
    found.toSorted(([a], [b]) => Number(a) - Number(b)),
    [
      [false, ["Bergen", "Narvik", "Oslo"]],
      [true, ["Bergen"]],
    ],
  );
  await cluster.stop();
});

test("yjs(): what is no update is refused when it is written, named when it is read, and overwritten by no update", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const plans = store.bucket("plans", { conflict: yjs() });
  const isRefused = failsWith("bad-request");
  await assert.rejects(plans.put("trip", Uint8Array.of(1)), isRefused);
  await plans.update("trip", adding("Oslo"));
  await assert.rejects(
    plans.update("trip", () => Uint8Array.of(1)),
    isRefused,
  );
  await store.bucket("plans", {}).put("trip", { no: "document" });
  const { value, problems, context } = await plans.get("trip", { r: "all" });
  assert.deepEqual([wordsOf(value), problems.map(({ code }) => code), context], [["Oslo"], ["undecodable"], undefined]);
  await assert.rejects(plans.update("trip", adding("Bergen")), failsWith("undecodable"));
  await cluster.stop();
});
