import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../../core/errors.ts";
import { bytes } from "../../../core/values/codecs.ts";
import type { BucketChange, WatchOptions } from "../../../core/store/bucket.ts";
import type { Bucket } from "../../../core/store/bucket.ts";
import type { Snapshot } from "../../../core/store/subscriptions.ts";
import type { StoreNode } from "../../../core/store-node.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith, microtasks, utf8 } from "../../support/values.ts";

interface Gathered<T> {
  readonly changes: BucketChange<T>[];
  readonly ended: Promise<void>;
}

function gather<T>(bucket: Bucket<T>, options: WatchOptions): Gathered<T> {
  const changes: BucketChange<T>[] = [];
  const read = async (): Promise<void> => {
    for await (const change of bucket.watch(options)) changes.push(change);
  };
  return { changes, ended: read() };
}

test("a subscriber gets the state as it is, then each change with its origin; the snapshot is one object until it changes", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  await using other = storeOver(hostStoreNode(cluster, "h2"));
  const notes = store.bucket<string>("notes");
  await notes.put("k", "found");
  assert.equal(notes.getSnapshot("k").loaded, false);
  assert.equal(notes.getSnapshot("k"), notes.getSnapshot("other"));

  const told: Snapshot<string>[] = [];
  const stop = notes.subscribe("k", (snapshot) => told.push(snapshot));
  await eventually(() => told.length === 1, "the first snapshot");
  const [first] = told;
  assert.deepEqual([first!.loaded, first!.value, first!.origin, first!.pending], [true, "found", "storage", false]);
  assert.equal(notes.getSnapshot("k"), first);
  assert.ok(Object.isFrozen(first) && Object.isFrozen(first!.values));

  await notes.put("k", "own", { context: notes.getSnapshot("k").context });
  await eventually(() => told.at(-1)?.value === "own", "the own change");
  assert.equal(told.at(-1)!.origin, "local");
  const seen = await other.bucket<string>("notes").get("k");
  await other.bucket<string>("notes").put("k", "theirs", { context: seen.context });
  await eventually(() => told.at(-1)?.value === "theirs", "the other's change");
  assert.equal(told.at(-1)!.origin, "remote");
  assert.equal(new Set(told).size, told.length);

  const late: Snapshot<string>[] = [];
  const stopLate = notes.subscribe("k", (snapshot) => late.push(snapshot));
  await microtasks();
  assert.deepEqual(late, [told.at(-1)]);
  stopLate();
  await notes.delete("k", { context: notes.getSnapshot("k").context });
  await eventually(() => told.at(-1)!.values.length === 0, "the own delete");
  assert.equal(told.at(-1)!.origin, "local");
  assert.equal(late.length, 1);
  const before = told.length;
  stop();
  assert.equal(notes.getSnapshot("k").loaded, false);
  await notes.put("k", "unheard");
  await microtasks();
  assert.equal(told.length, before);
  await cluster.stop();
});

test("a watch of a prefix tells what is there, what is made, changed and deleted, and whose it is", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  await using other = storeOver(hostStoreNode(cluster, "h3"));
  const notes = store.bucket<number>("notes");
  await notes.put("a1", 1);
  await notes.put("b1", 1);
  const abort = new AbortController();
  const { changes, ended } = gather(notes, { prefix: "a", signal: abort.signal });
  const last = (key: string): BucketChange<number> | undefined => changes.findLast((change) => change.key === key);
  await eventually(() => last("a1") !== undefined, "what is there");
  assert.equal(last("a1")!.origin, "storage");
  await notes.put("a2", 2);
  await eventually(() => last("a2") !== undefined, "the own new key");
  assert.equal(last("a2")!.origin, "local");
  await other.bucket<number>("notes").put("a3", 3);
  await eventually(() => last("a3") !== undefined, "the other's new key");
  assert.equal(last("a3")!.origin, "remote");
  await notes.delete("a1", { context: (await notes.get("a1")).context });
  await eventually(() => last("a1")!.values.length === 0, "the delete");
  assert.equal(last("a1")!.origin, "local");
  assert.equal(last("b1"), undefined);
  abort.abort();
  await ended;
  await cluster.stop();
});

test("a watch ends when its reader leaves, when it is returned from while it waits, and when the store closes", async () => {
  const cluster = await MemoryCluster.of(1);
  const store = storeOver(hostStoreNode(cluster, "h1"));
  const notes = store.bucket<number>("notes");
  await notes.put("k", 1);
  for await (const { value } of notes.watch({ key: "k" })) {
    assert.equal(value, 1);
    break;
  }
  const watch = notes.watch({ key: "k" });
  await watch.next();
  const waiting = watch.next();
  await watch.return?.();
  assert.equal((await waiting).done, true);
  const { changes, ended } = gather(notes, { key: "k" });
  await eventually(() => changes.length === 1, "the first state");
  await store.close();
  await ended;
  assert.throws(() => notes.watch({ key: "k", prefix: "k" }), failsWith("bad-request"));
  await cluster.stop();
});

/** A node whose watches fail when the test says so; `begun` counts them. */
function withFailingWatch(host: StoreNode): { readonly node: StoreNode; readonly begun: () => number; fail(): void } {
  let begun = 0;
  let fail = (): void => {};
  const node = new Proxy(host, {
    get(target, property) {
      if (property !== "watch") {
        const member: unknown = Reflect.get(target, property, target);
        return typeof member === "function" ? member.bind(target) : member;
      }
      return async function* watch(...args: Parameters<StoreNode["watch"]>) {
        begun += 1;
        const failed = new Promise<never>((_resolve, reject) => {
          fail = () => reject(new StoreError("not-ready", "it begins anew"));
        });
        const changes = target.watch(...args)[Symbol.asyncIterator]();
        for (;;) {
          const { done, value } = await Promise.race([changes.next(), failed]);
          if (done === true) return;
          yield value;
        }
      };
    },
  });
  return { node, begun: () => begun, fail: () => fail() };
}

test("a subscription goes on when the node's watch fails, tells of it once, and does not tell a state twice", async () => {
  const cluster = await MemoryCluster.of(1);
  const failing = withFailingWatch(hostStoreNode(cluster, "h1"));
  await using store = storeOver(failing.node);
  const errors: StoreError[] = [];
  store.on("error", ({ error }) => errors.push(error));
  const notes = store.bucket<number>("notes");
  await notes.put("k", 1);
  const told: (number | undefined)[] = [];
  notes.subscribe("k", ({ value }) => told.push(value));
  await eventually(() => told.length === 1, "the first state");
  failing.fail();
  await eventually(() => failing.begun() === 2, "the watch to begin again");
  await notes.put("k", 2, { context: notes.getSnapshot("k").context });
  await eventually(() => told.includes(2), "the change");
  assert.deepEqual(told, [1, 2]);
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["not-ready"],
  );
  await cluster.stop();
});

test("a watch of a prefix that is begun again tells what was deleted meanwhile", async () => {
  const cluster = await MemoryCluster.of(1);
  const failing = withFailingWatch(hostStoreNode(cluster, "h1"));
  await using store = storeOver(failing.node);
  const notes = store.bucket<number>("notes");
  const [kept, gone] = [await notes.put("kept", 1), await notes.put("gone", 1)];
  assert.notEqual(kept.dot, gone.dot);
  const abort = new AbortController();
  const { changes, ended } = gather(notes, { signal: abort.signal });
  await eventually(() => changes.length === 2, "both keys");
  failing.fail();
  // Written past the store, and before its watch is begun again.
  await cluster.node("h1").delete("notes", "gone", { context: gone.context! });
  await eventually(() => changes.some(({ key, values }) => key === "gone" && values.length === 0), "the delete");
  abort.abort();
  await ended;
  await cluster.stop();
});

test("flush waits for the writes that are under way, as long as it may", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const notes = store.bucket<number>("notes");
  let done = 0;
  const writes = Array.from({ length: 5 }, (_, i) => notes.put(`k${i}`, i).then(() => (done += 1)));
  await store.flush();
  await microtasks();
  assert.equal(done, 5);
  await Promise.all(writes);
  const release = ["h1", "h2", "h3"].map((name) => cluster.disk(name).hold("writes"));
  const slow = notes.put("k", 1);
  await assert.rejects(store.flush({ timeoutMs: 50 }), failsWith("quorum-not-met"));
  const abort = new AbortController();
  const flushing = store.flush({ signal: abort.signal });
  abort.abort();
  await assert.rejects(flushing, failsWith("aborted"));
  for (const go of release) go();
  await slow;
  await store.flush();
  await cluster.stop();
});

test("a value that cannot be decoded is told as an error, and the subscription goes on", async () => {
  const cluster = await MemoryCluster.of(1);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const errors: string[] = [];
  store.on("error", ({ bucket, error }) => errors.push(`${bucket} ${error.code} ${error.detail.key}`));
  const notes = store.bucket<number>("notes");
  const told: Snapshot<number>[] = [];
  notes.subscribe("k", (snapshot) => told.push(snapshot));
  await store.bucket("notes", { codec: bytes }).put("k", utf8("}"));
  await eventually(() => errors.length > 0, "the error");
  assert.deepEqual(errors, ["notes undecodable notes/k"]);
  await notes.put("k", 2, { context: told.at(-1)!.raw.context! });
  await eventually(() => told.at(-1)?.value === 2, "the good value");
  await cluster.stop();
});

test("status: loaded, connected and settled are told apart, and change with the cluster", async () => {
  const cluster = await MemoryCluster.of(2);
  const store = storeOver(hostStoreNode(cluster, "h1"));
  await Promise.all([store.loaded, store.connected, store.settled]);
  const status = store.status();
  assert.equal(store.status(), status);
  assert.deepEqual(
    { ...status },
    {
      name: "test",
      id: "h1",
      loaded: true,
      connected: true,
      settled: true,
      pending: 0,
      pendingSinceMs: null,
      oldestPendingMs: null,
      parked: 0,
      closed: false,
    },
  );
  const told: boolean[] = [];
  const stop = store.subscribeStatus(({ connected }) => told.push(connected));
  cluster.kill("h2");
  await eventually(() => !store.status().connected, "the loss to be seen");
  assert.equal(store.status().loaded, true);
  const back = store.connected;
  await cluster.start("h2", { seeds: ["memory:h1"] });
  await back;
  await microtasks();
  assert.deepEqual(told, [false, true]);
  stop();
  cluster.kill("h2");
  await eventually(() => !store.status().connected, "the second loss");
  const never = store.connected;
  await store.close();
  await assert.rejects(never, failsWith("closed"));
  assert.equal(store.status().closed, true);
  assert.equal(store.status().loaded, false);
  await cluster.stop();
});
