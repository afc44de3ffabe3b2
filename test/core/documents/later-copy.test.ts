/** Yjs twice, where everwrite's came first: nothing tells of the other until a document of it is linked. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EverwriteProvider } from "../../../core/documents/provider.ts";
import { StoreError } from "../../../core/errors.ts";
import { loadCopiedYjs } from "../../support/copied-yjs.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";

test("a document of another copy of Yjs is refused with the reason, and stays as it was; others go on", async () => {
  const cluster = await MemoryCluster.of(1);
  const store = storeOver(hostStoreNode(cluster, "h1"));
  const own = await store.doc("notes/own");
  const copy = await loadCopiedYjs();
  const doc = new copy.Doc();
  doc.getText("body").insert(0, "theirs");
  const isNamed = (error: unknown): boolean =>
    error instanceof StoreError && error.code === "bad-request" && /two copies of Yjs/.test(error.message);
  await assert.rejects(store.link("notes/plan", doc), isNamed);
  const provider = new EverwriteProvider(store, "notes/plan", doc);
  await assert.rejects(provider.whenSynced, isNamed);
  await assert.rejects(provider.linked, isNamed);
  provider.destroy();
  assert.equal(doc.getText("body").toJSON(), "theirs");
  own.getText("body").insert(0, "ours");
  await own.settled;
  assert.deepEqual((await cluster.node("h1").get("notes", "plan")).siblings, []);
  await store.close();
  await cluster.stop();
});
