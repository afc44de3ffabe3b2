/** Values that expire, live on, and end: the session store (PROTOCOL 1, presets; 10). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { sessions } from "../../../core/store/sessions.ts";
import type { Store } from "../../../core/store/store.ts";
import { siblings } from "../../../core/values/conflict-rules.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith } from "../../support/values.ts";
import { patient } from "../coordinate/scene.ts";

/** Stores over two hosts and an edge of one cluster. */
async function withStores(body: (stores: readonly Store[], cluster: MemoryCluster) => Promise<void>): Promise<void> {
  const cluster = await MemoryCluster.of(3, { config: patient });
  const edges = new MemoryEdges(cluster);
  const edge = await edges.connected("e1");
  const stores = [...["h1", "h2"].map((name) => storeOver(hostStoreNode(cluster, name))), storeOver(edge)];
  try {
    await body(stores, cluster);
  } finally {
    await Promise.all(stores.map((store) => store.close()));
    await edges.stop();
    await cluster.stop();
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("a bucket of sessions", { concurrency: true }, () => {
  test("keeps a session that is read, and ends one that is not", () =>
    withStores(async ([one]) => {
      const logins = one!.bucket<string>("logins", sessions({ ttlMs: 1_500 }));
      let lastMs = Date.now();
      await Promise.all([logins.put("read", "alice"), logins.put("unread", "bob")]);
      let longestMs = 0;
      for (const untilMs = Date.now() + 3_000; Date.now() < untilMs;) {
        const { value } = await logins.get("read");
        longestMs = Math.max(longestMs, Date.now() - lastMs);
        lastMs = Date.now();
        // On a machine that is busy with other things for as long, a session may end.
        if (longestMs > 1_000) return;
        assert.equal(value, "alice");
        await pause(100);
      }
      assert.deepEqual((await logins.get("unread")).values, []);
    }));

  test("that do not slide ends them as they were written", () =>
    withStores(async ([one]) => {
      const logins = one!.bucket<string>("logins", sessions({ ttlMs: 400, sliding: false }));
      await logins.put("k", "alice");
      await eventually(async () => (await logins.get("k")).values.length === 0, "the session to end");
    }));

  for (const [who, index] of [
    ["a host", 1],
    ["an edge", 2],
  ] as const) {
    test(`a renewal by ${who} does not bring back what was deleted, or changed, since it was read`, () =>
      withStores(async (stores) => {
        const logins = stores.map((store) => store.bucket<string>("logins", sessions({ ttlMs: 600_000 })));
        for (const name of ["deleted", "changed"]) {
          await logins[0]!.put(name, "alice", { w: 3 });
          const { context } = await logins[index]!.get(name);
          if (name === "deleted") await logins[0]!.delete(name, { context, w: 3 });
          else await logins[0]!.put(name, "bob", { context, w: 3 });
          await logins[index]!.put(name, "alice", { context, renews: true, w: 3 });
          const { values } = await logins[0]!.get(name, { r: 3 });
          assert.deepEqual(values, name === "deleted" ? [] : ["bob"]);
        }
      }));
  }

  test("a renewal moves the end, and keeps the value and when it was written", () =>
    withStores(async (stores) => {
      for (const store of stores) {
        const logins = store.bucket<string>("logins", sessions({ ttlMs: 600_000, sliding: false }));
        await logins.put(store.status().id, "alice");
        const [before] = (await logins.get(store.status().id)).raw.siblings;
        await pause(20);
        assert.equal(await logins.renew(store.status().id), true);
        const [after] = (await logins.get(store.status().id)).raw.siblings;
        assert.ok(after!.expiresAtMs! >= before!.expiresAtMs! + 20);
        assert.deepEqual([after!.body, after!.timeMs], [before!.body, before!.timeMs]);
        assert.equal(await logins.renew("nobody"), false);
      }
    }));

  test("is one of lww values: under another rule a renewal would bring back what is deleted in that moment", () =>
    withStores(async ([one]) => {
      assert.throws(() => one!.bucket("x", { ttlMs: 1_000, sliding: true }), failsWith("bad-request"));
      const bucket = one!.bucket<string>("x", { conflict: siblings(), ttlMs: 600_000 });
      await bucket.put("k", "alice");
      await assert.rejects(bucket.renew("k"), failsWith("bad-request"));
    }));

  test("cannot be without a time, nor a renewal without a context", () =>
    withStores(async ([one, , edge]) => {
      assert.throws(() => one!.bucket("x", { sliding: true }), failsWith("bad-request"));
      assert.throws(() => one!.bucket("x", sessions({ ttlMs: 0.5 })), failsWith("bad-request"));
      for (const store of [one!, edge!]) {
        await assert.rejects(store.bucket("x").put("k", 1, { renews: true }), failsWith("bad-request"));
      }
    }));
});

describe("a value that expires", { concurrency: true }, () => {
  test("is gone at once for those who subscribe, watch and list, at hosts and edges, with nothing written", () =>
    withStores(async (stores) => {
      const buckets = stores.map((store) => store.bucket<string>("b", { ttlMs: 4_000 }));
      const shown = buckets.map((): string[] => []);
      const gone = buckets.map((): string[] => []);
      const end = new AbortController();
      const watching = buckets.map(async (bucket, i) => {
        for await (const { key, values } of bucket.watch({ signal: end.signal })) {
          if (values.length === 0) gone[i]!.push(key);
        }
      });
      for (const [i, bucket] of buckets.entries()) {
        bucket.subscribe("k", ({ loaded, values }) => void (loaded && shown[i]!.push(values.join())));
      }
      await buckets[0]!.put("k", "v", { w: 3 });
      for (const [i] of buckets.entries()) {
        await eventually(() => shown[i]!.includes("v"), "the value to be shown");
        await eventually(() => shown[i]!.at(-1) === "", "its expiry to be shown");
        await eventually(() => gone[i]!.includes("k"), "its expiry to be told");
      }
      for (const bucket of buckets) {
        assert.deepEqual((await bucket.get("k")).values, []);
        for await (const { key } of bucket.entries()) assert.fail(`${key} is listed`);
      }
      end.abort();
      await Promise.all(watching);
    }));

  test("may be written again: what follows has seen it, and is the only value", () =>
    withStores(async ([one, two]) => {
      const short = one!.bucket<number>("b", { ttlMs: 50 });
      await short.put("k", 1, { w: 3 });
      await eventually(async () => (await two!.bucket("b").get("k")).values.length === 0, "the value to expire");
      const { value } = await two!.bucket<number>("b").update("k", (before = 10) => before + 1);
      assert.equal(value, 11);
      const { values, deleted } = await one!.bucket("b").get("k", { r: 3 });
      assert.deepEqual([values, deleted], [[11], false]);
    }));

  test("leaves its siblings, which are then beside a delete", () =>
    withStores(async ([one, two]) => {
      await one!.bucket<string>("b", { conflict: siblings(), ttlMs: 200 }).put("k", "short", { w: 3 });
      await two!.bucket<string>("b").put("k", "long", { w: 3 });
      const read = () => one!.bucket<string>("b").get("k", { r: 3 });
      await eventually(async () => (await read()).values.length === 1, "one of them to expire");
      const { values, deleted, context } = await read();
      assert.deepEqual([values, deleted], [["long"], true]);
      await two!.bucket<string>("b").put("k", "merged", { context, w: 3 });
      assert.deepEqual([(await read()).values, (await read()).deleted], [["merged"], false]);
    }));
});
