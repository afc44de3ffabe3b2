/** The same Store over an edge: offline, back again, beside others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Snapshot } from "../../../core/store/subscriptions.ts";
import { merge } from "../../../core/values/conflict-rules.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith } from "../../support/values.ts";

const union = merge<readonly string[]>((lists) => [...new Set(lists.flat())].toSorted());

test("offline a store writes, reads, updates and lists its own; back again everything is sent once", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  await edges.connected("e1");
  edges.cut("e1");
  await edges.kill("e1");
  await using store = storeOver(await edges.start("e1"));
  await using host = storeOver(hostStoreNode(cluster, "h2"));
  const lists = store.bucket("lists", { conflict: union });
  await store.loaded;
  assert.equal(store.status().connected, false);
  const told: Snapshot<readonly string[]>[] = [];
  lists.subscribe("k", (snapshot) => told.push(snapshot));

  const receipt = await lists.put("k", ["a"]);
  assert.equal(receipt.localOnly, true);
  await assert.rejects(receipt.until("quorum", { timeoutMs: 50 }), failsWith("quorum-not-met"));
  for (const letter of ["b", "c", "d"]) await lists.update("k", (list = []) => [...list, letter]);
  const read = await lists.get("k");
  assert.deepEqual([read.value, read.source, read.pending], [["a", "b", "c", "d"], "local", true]);
  const found: string[] = [];
  for await (const { key } of lists.entries()) found.push(key);
  assert.deepEqual(found, ["k"]);
  await eventually(() => told.at(-1)?.value?.length === 4, "the own writes to be shown");
  assert.deepEqual([told.at(-1)!.origin, told.at(-1)!.pending], ["local", true]);
  const { pending, pendingSinceMs, oldestPendingMs, settled } = store.status();
  assert.ok(pending > 0 && pendingSinceMs !== null && oldestPendingMs !== null && !settled);
  await assert.rejects(store.flush({ timeoutMs: 50 }), failsWith("quorum-not-met"));

  edges.heal("e1");
  await store.flush();
  assert.ok((await receipt.until("quorum")) >= 2);
  await store.settled;
  assert.equal(store.status().pending, 0);
  assert.deepEqual((await host.bucket("lists", { conflict: union }).get("k", { r: "all" })).values, [
    ["a", "b", "c", "d"],
  ]);
  await eventually(() => !told.at(-1)!.pending, "the snapshot to say that it was sent");
  assert.deepEqual(told.at(-1)!.value, ["a", "b", "c", "d"]);
  await store.close();
  await edges.stop();
  await cluster.stop();
});

test("a host tells of itself, of the ring and of a key; of an edge nothing of the kind can be asked", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  await using host = storeOver(hostStoreNode(cluster, "h2"));
  await using edge = storeOver(await edges.connected("e1"));
  const { dot } = await host.bucket("lists").put("k", ["a"], { w: "all" });
  const { status, ring, explanation } = await host.inspect("lists/k");
  assert.equal(status.id, "h2");
  assert.equal(ring.fingerprint, status.ring);
  assert.deepEqual(explanation.siblings, [{ dot, deleted: false, at: explanation.preferenceList.map(({ id }) => id) }]);
  await assert.rejects(host.inspect("lists"), failsWith("bad-request"));
  await assert.rejects(edge.inspect("lists/k"), failsWith("bad-request"));
  assert.deepEqual((await edge.bucket("lists").get("k", { r: "all" })).answered.toSorted(), ["h1", "h2", "h3"]);
  await edges.stop();
  await cluster.stop();
});

test("two edges write one key offline: both see both values, and what one merges reaches the other", async () => {
  const cluster = await MemoryCluster.of(3);
  const edges = new MemoryEdges(cluster);
  const names = ["e1", "e2"];
  for (const name of names) await edges.connected(name);
  for (const name of names) edges.cut(name);
  for (const name of names) await edges.kill(name);
  const [one, two] = [storeOver(await edges.start("e1")), storeOver(await edges.start("e2"))];
  const buckets = [one, two].map((store) => store.bucket("lists", { conflict: union }));
  await Promise.all(buckets.map((lists, i) => lists.put("k", [`of e${i + 1}`])));
  const told: Snapshot<readonly string[]>[] = [];
  buckets[1]!.subscribe("k", (snapshot) => told.push(snapshot));
  for (const name of names) edges.heal(name);
  await Promise.all([one.flush(), two.flush()]);
  await eventually(() => told.at(-1)?.values.length === 2, "both values to be seen");
  assert.deepEqual(told.at(-1)!.value, ["of e1", "of e2"]);
  await buckets[0]!.update("k", (list = []) => [...list, "merged"]);
  await eventually(() => told.at(-1)?.values.length === 1, "the merge to arrive");
  assert.deepEqual(told.at(-1)!.values, [["of e1", "of e2", "merged"]]);
  assert.equal(told.at(-1)!.origin, "remote");
  await Promise.all([one.close(), two.close()]);
  await edges.stop();
  await cluster.stop();
});
