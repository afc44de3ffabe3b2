import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { StoreError } from "../../../core/errors.ts";
import { backoffMs } from "../../../core/store/follow.ts";
import { counter } from "../../../core/values/counter.ts";
import { merge } from "../../../core/values/conflict-rules.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { Failing, hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith } from "../../support/values.ts";

test("the waits between tries grow up to two seconds, each drawn from nought to its bound", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_000 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (attempt, drawn) => {
        const waitMs = backoffMs(attempt, { next: () => drawn, bytes: () => new Uint8Array(0) });
        assert.equal(waitMs, drawn * Math.min(2_000, 50 * 2 ** attempt));
      },
    ),
  );
});

const increment = (count = 0): number => count + 1;

test("updates of one key by one store wait for each other: none is lost, no sibling is made", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const counts = store.bucket<number>("counts");
  await Promise.all(Array.from({ length: 20 }, () => counts.update("k", increment)));
  assert.deepEqual((await counts.get("k", { r: "all" })).values, [20]);
  await cluster.stop();
});

test("updates of three stores at once: the merge rule keeps what each has added", async () => {
  const cluster = await MemoryCluster.of(3);
  const union = merge<readonly string[]>((lists) => [...new Set(lists.flat())].toSorted());
  const stores = ["h1", "h2", "h3"].map((name) => storeOver(hostStoreNode(cluster, name)));
  await Promise.all(
    stores.flatMap((store, i) => {
      const lists = store.bucket("lists", { conflict: union });
      return Array.from({ length: 8 }, (_, j) => lists.update("k", (list = []) => [...list, `${i}-${j}`]));
    }),
  );
  const { value } = await stores[0]!.bucket("lists", { conflict: union }).get("k", { r: "all" });
  assert.equal(value?.length, 24);
  await Promise.all(stores.map((store) => store.close()));
  await cluster.stop();
});

test("updates of stores that share a node, as tabs do, with lost answers and refusals: each counts once", async () => {
  const cluster = await MemoryCluster.of(3);
  const failing = new Failing();
  const node = failing.over(hostStoreNode(cluster, "h1"));
  const [left, right] = [storeOver(node), storeOver(node)];
  const outcomes = ["outcome-unknown", "quorum-not-met", "overloaded"] as const;
  for (let i = 0; i < 30; i++) {
    const verb = i % 4 === 0 ? "get" : "put";
    failing.next(verb, new StoreError(outcomes[i % 3]!, "lost"), { after: i % 2 === 0 });
  }
  const counters = [left, right].map((store) => store.bucket("counters", { conflict: counter() }));
  await Promise.all(
    Array.from({ length: 40 }, (_, i) => counters[i % 2]!.update("k", (count) => count.add(1), { timeoutMs: 60_000 })),
  );
  assert.equal((await counters[0]!.get("k", { r: "all" })).value?.total, 40);
  await Promise.all([left.close(), right.close()]);
  await cluster.stop();
});

test("a write whose answer was lost is repeated as the same event: the change is made once", async () => {
  const cluster = await MemoryCluster.of(3);
  const failing = new Failing();
  await using store = storeOver(failing.over(hostStoreNode(cluster, "h1")));
  const counts = store.bucket<number>("counts");
  failing.next("put", new StoreError("outcome-unknown", "lost"), { after: true });
  failing.next("put", new StoreError("quorum-not-met", "lost"), { after: true });
  await counts.update("k", increment);
  assert.deepEqual((await counts.get("k", { r: "all" })).values, [1]);
  assert.equal(failing.calls.filter(({ verb }) => verb === "put").length, 3);
  await cluster.stop();
});

test("a read that found no quorum is tried again, a refusal for good is not", async () => {
  const cluster = await MemoryCluster.of(3);
  const failing = new Failing();
  await using store = storeOver(failing.over(hostStoreNode(cluster, "h1")));
  const counts = store.bucket<number>("counts");
  failing.next("get", new StoreError("quorum-not-met", "not yet"));
  failing.next("get", new StoreError("not-ready", "not yet"));
  assert.equal((await counts.update("k", increment)).value, 1);
  failing.next("put", new StoreError("storage-full", "full"));
  await assert.rejects(counts.update("k", increment), failsWith("storage-full"));
  failing.next("put", new StoreError("bad-context", "of other secrets"));
  assert.equal((await counts.update("k", increment)).value, 2);
  await cluster.stop();
});

test("siblings without a rule are not replaced by an update", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const counts = store.bucket<number>("counts");
  await counts.put("k", 1);
  await counts.put("k", 2);
  await assert.rejects(counts.update("k", increment), failsWith("precondition-failed"));
  assert.equal((await counts.get("k")).values.length, 2);
  await cluster.stop();
});

test("an update ends with its signal wherever it is: before, in its turn, in the change, between tries", async () => {
  const cluster = await MemoryCluster.of(3);
  const failing = new Failing();
  await using store = storeOver(failing.over(hostStoreNode(cluster, "h1")));
  const counts = store.bucket<number>("counts");
  let changes = 0;
  const counting = (count = 0): number => {
    changes += 1;
    return count + 1;
  };
  await assert.rejects(counts.update("k", counting, { signal: AbortSignal.abort() }), failsWith("aborted"));
  assert.equal(changes, 0);

  const never = new Promise<number>(() => {});
  const holding = new AbortController();
  const held = counts.update("k", () => never, { signal: holding.signal });
  const waiting = new AbortController();
  const waits = counts.update("k", counting, { signal: waiting.signal });
  waiting.abort();
  await assert.rejects(waits, failsWith("aborted"));
  holding.abort();
  await assert.rejects(held, failsWith("aborted"));
  assert.equal(changes, 0);

  for (let i = 0; i < 50; i++) failing.next("get", new StoreError("not-ready", "not yet"));
  const trying = counts.update("k", counting, { signal: AbortSignal.timeout(100) });
  await assert.rejects(trying, failsWith("aborted"));
  await assert.rejects(counts.update("k", counting, { timeoutMs: 100 }), failsWith("not-ready"));
  assert.equal(changes, 0);
  assert.deepEqual((await cluster.node("h1").get("counts", "k")).siblings, []);
  await cluster.stop();
});

test("what the change throws comes out as it is, and nothing is written", async () => {
  const cluster = await MemoryCluster.of(1);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const counts = store.bucket<number>("counts");
  const failure = new RangeError("no more");
  await assert.rejects(
    counts.update("k", () => {
      throw failure;
    }),
    failure,
  );
  assert.deepEqual((await counts.get("k")).values, []);
  assert.equal((await counts.update("k", increment)).value, 1);
  await cluster.stop();
});
