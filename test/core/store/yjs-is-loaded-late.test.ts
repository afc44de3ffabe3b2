/** In a process of its own, in which nobody has loaded Yjs yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { yjs } from "../../../core/index.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";

test("yjs() brings Yjs with the first value that is read: whoever imports everwrite, a host say, does not load it", async () => {
  const isLoaded = (): boolean => "__ $YJS$ __" in globalThis;
  const cluster = await MemoryCluster.of(1);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const plans = store.bucket("plans", { conflict: yjs() });
  await plans.put("trip", Uint8Array.of(0, 0));
  assert.equal((await plans.get("none")).value, undefined);
  assert.equal(isLoaded(), false);
  assert.deepEqual((await plans.get("trip")).value, Uint8Array.of(0, 0));
  assert.equal(isLoaded(), true);
  await cluster.stop();
});
