import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "../../../core/errors.ts";
import { bytes, json, text } from "../../../core/values/codecs.ts";
import { lww, merge } from "../../../core/values/conflict-rules.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { MemoryEdges } from "../../support/memory-edges.ts";
import { Failing, hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith, utf8 } from "../../support/values.ts";

interface Cart {
  readonly books: readonly string[];
}

const unionOfCarts = (carts: readonly Cart[]): Cart => ({
  books: [...new Set(carts.flatMap(({ books }) => books))].toSorted(),
});

test("a value comes back as it was put, a context replaces what was seen, and a delete leaves nothing", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver<{ carts: Cart }>(hostStoreNode(cluster, "h1"));
  const carts = store.bucket("carts");
  assert.deepEqual((await carts.get("alice")).values, []);
  const receipt = await carts.put("alice", { books: ["a"] });
  assert.equal(receipt.needed, 2);
  assert.equal(receipt.localOnly, false);
  const read = await carts.get("alice");
  assert.deepEqual(read.value, { books: ["a"] });
  assert.equal(read.source, "quorum");
  await carts.put("alice", { books: ["b"] }, { context: read.context });
  const again = await carts.get("alice");
  assert.deepEqual(again.values, [{ books: ["b"] }]);
  await carts.delete("alice", { context: again.context });
  const gone = await carts.get("alice");
  assert.deepEqual([gone.values, gone.value, gone.problems], [[], undefined, []]);
  await cluster.stop();
});

test("two writers of one context make two siblings; the merge rule makes one value of them, and a write resolves them", async () => {
  const cluster = await MemoryCluster.of(3);
  await using alice = storeOver(hostStoreNode(cluster, "h1"));
  await using bob = storeOver(hostStoreNode(cluster, "h2"));
  const plain = alice.bucket<Cart>("carts");
  await Promise.all([plain.put("k", { books: ["a"] }), bob.bucket<Cart>("carts").put("k", { books: ["b"] })]);
  const siblings = await plain.get("k", { r: "all" });
  assert.equal(siblings.values.length, 2);
  assert.equal(siblings.value, undefined);
  const merging = alice.bucket<Cart>("carts", { conflict: merge(unionOfCarts) });
  assert.deepEqual((await merging.get("k")).value, { books: ["a", "b"] });
  const updated = await merging.update("k", (cart) => ({ books: [...cart!.books, "c"] }));
  assert.deepEqual(updated.value, { books: ["a", "b", "c"] });
  assert.deepEqual((await plain.get("k")).values, [{ books: ["a", "b", "c"] }]);
  await cluster.stop();
});

test("a sibling that cannot be decoded is named, hides no other, and is dropped by no write that has not seen it", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const carts = store.bucket<Cart>("carts", { conflict: merge(unionOfCarts) });
  await carts.put("k", { books: ["a"] });
  const { dot } = await store.bucket("carts", { codec: bytes }).put("k", utf8("{no json"));
  const read = await carts.get("k");
  assert.deepEqual(read.values, [{ books: ["a"] }]);
  assert.equal(read.context, undefined);
  const [problem] = read.problems;
  assert.ok(problem instanceof StoreError);
  assert.deepEqual([problem.code, problem.detail], ["undecodable", { key: "carts/k", dot }]);
  assert.equal(read.raw.siblings.length, 2);
  await assert.rejects(
    carts.update("k", (cart) => cart ?? { books: [] }),
    failsWith("undecodable"),
  );
  await carts.put("k", { books: ["b"] }, { context: read.context });
  assert.ok((await carts.get("k")).raw.siblings.some((sibling) => sibling.dot === dot));
  // Whoever has looked at the bytes may overwrite them.
  await carts.put("k", { books: ["c"] }, { context: (await carts.get("k")).raw.context! });
  assert.deepEqual((await carts.get("k")).values, [{ books: ["c"] }]);
  await cluster.stop();
});

test("codecs: bytes and text come back exactly, invalid UTF-8 and wrong types are refused", async () => {
  const cluster = await MemoryCluster.of(1);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const raw = store.bucket("raw", { codec: bytes });
  const body = Uint8Array.of(0, 255, 128);
  await raw.put("k", body);
  assert.deepEqual((await raw.get("k")).value, body);
  const notes = store.bucket("raw", { codec: text });
  assert.equal((await notes.get("k")).problems[0]?.code, "undecodable");
  await notes.put("n", "ä\u{1F4D6}");
  assert.equal((await notes.get("n")).value, "ä\u{1F4D6}");
  const values = store.bucket("values");
  await assert.rejects(values.put("k", undefined), failsWith("bad-request"));
  await assert.rejects(values.put("k", body), failsWith("bad-request"));
  await assert.rejects(values.put("", 1), failsWith("bad-request"));
  assert.throws(() => store.bucket("a/b"), failsWith("bad-request"));
  const counts = store.bucket("values", {
    codec: json((value) => {
      if (typeof value !== "number") throw new TypeError("no number");
      return value;
    }),
  });
  await values.put("k", "seven");
  assert.match((await counts.get("k")).problems[0]!.message, /values\/k .*no number/);
  await cluster.stop();
});

test("an option that is given as undefined says nothing: the bucket's own holds; a context of another type is refused", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const strict = store.bucket<string>("b", { w: "all", r: "all", ttlMs: 60_000 });
  const nothing = { w: undefined, r: undefined, ttlMs: undefined } as object;
  const put = await strict.put("k", "x", nothing);
  assert.equal(put.needed, 3);
  const { raw } = await strict.get("k");
  assert.ok(raw.siblings[0]!.expiresAtMs !== undefined);
  assert.equal((await strict.delete("k", nothing)).needed, 3);
  for (const context of [null, 7, {}] as unknown as string[]) {
    await assert.rejects(strict.put("k", "y", { context }), failsWith("bad-context"));
    await assert.rejects(strict.delete("k", { context }), failsWith("bad-context"));
  }
  cluster.kill("h3");
  await assert.rejects(strict.get("k", { ...nothing, timeoutMs: 300 }), failsWith("quorum-not-met"));
  await cluster.stop();
});

test("lww: one value is left, and a value that lost to a write that had not seen it is told", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const told: { key: string; discardedDot: string }[] = [];
  store.on("conflict", (event) => told.push(event));
  const sessions = store.bucket<string>("sessions", { conflict: lww() });
  const first = await sessions.put("s", "one");
  const seen = await sessions.get("s");
  const second = await sessions.put("s", "two", { context: seen.context });
  await second.until("all");
  assert.deepEqual(told, []);
  await sessions.put("s", "three");
  assert.equal((await sessions.get("s")).value, "three");
  await eventually(() => told.length > 0, "the conflict to be told");
  assert.deepEqual(
    told.map(({ key, discardedDot }) => ({ key, discardedDot })),
    [{ key: "s", discardedDot: second.dot }],
  );
  assert.notEqual(first.dot, second.dot);
  await cluster.stop();
});

test("ttlMs of the bucket ends its values; ifAbsent and pw reach the node", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const short = store.bucket<number>("short", { ttlMs: 1 });
  await short.put("k", 1);
  await eventually(async () => (await short.get("k")).values.length === 0, "the value to expire");
  const long = store.bucket<number>("long", { w: "all" });
  assert.equal((await long.put("k", 1, { ifAbsent: true, pw: 3 })).needed, 3);
  await assert.rejects(long.put("k", 2, { ifAbsent: true }), failsWith("precondition-failed"));
  await cluster.stop();
});

test("until: the levels are met as the replicas have the write, and one that cannot be is refused", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const notes = store.bucket<number>("notes");
  const receipt = await notes.put("k", 1, { w: "one" });
  assert.ok((await receipt.until("local")) >= 1);
  assert.ok((await receipt.until("quorum")) >= 2);
  assert.equal(await receipt.until("all"), 3);
  await assert.rejects(receipt.until(7), failsWith("bad-request"));
  for (const level of [0, -1, 1.5, NaN, "bogus", "one", "", undefined, null, {}] as never[])
    await assert.rejects(receipt.until(level), failsWith("bad-request"));

  cluster.kill("h3");
  const late = await notes.put("late", 1);
  await assert.rejects(late.until("all", { timeoutMs: 100 }), failsWith("quorum-not-met"));
  const abort = new AbortController();
  const waiting = late.until("all", { signal: abort.signal });
  abort.abort();
  await assert.rejects(waiting, failsWith("aborted"));
  const whenBack = late.until("all");
  await cluster.start("h3", { seeds: ["memory:h1"] });
  assert.equal(await whenBack, 3);
  await cluster.stop();
});

for (const at of ["a host", "an edge", "an edge that is offline"] as const) {
  test(`a call at ${at} that is aborted before it begins rejects, asks nobody and stores nothing`, async () => {
    const cluster = await MemoryCluster.of(3);
    const edges = new MemoryEdges(cluster);
    const edge = await edges.connected("e1");
    if (at === "an edge that is offline") edges.cut("e1");
    const store = storeOver(at === "a host" ? hostStoreNode(cluster, "h1") : edge);
    const transport = at === "a host" ? cluster.transport("h1") : edges.transport("e1");
    const disk = at === "a host" ? cluster.disk("h1") : edges.disk("e1");
    const { fetch, replicate, list, edgeRead, edgeFetch, edgeWrite, edgeList, edgeWatch } = methods;
    const ofCalls = [fetch, replicate, list, edgeRead, edgeFetch, edgeWrite, edgeList, edgeWatch];
    const asked: string[] = [];
    const request = transport.request.bind(transport);
    transport.request = (to, body, timeoutMs) => {
      asked.push(...ofCalls.filter(({ number }) => number === body[0]).map(({ name }) => name));
      return request(to, body, timeoutMs);
    };
    const notes = store.bucket<number>("notes", { conflict: lww() });
    const signal = AbortSignal.abort();
    const calls = [
      () => notes.get("k", { signal }),
      () => notes.put("k", 1, { signal }),
      () => notes.put("k", 1, { signal, ifAbsent: true }),
      () => notes.delete("k", { signal }),
      () => notes.update("k", () => 1, { signal }),
      () => notes.renew("k", { signal }),
      () => notes.entries({ signal }).next(),
      () => store.flush({ signal }),
    ];
    for (const call of calls) await assert.rejects(call(), failsWith("aborted"));
    assert.equal((await notes.watch({ key: "k", signal }).next()).done, true);
    assert.deepEqual(asked, []);
    for (const ns of ["objects", "hints"] as const) assert.deepEqual((await disk.page(ns, { limit: 10 })).rows, []);
    assert.equal(store.status().pending, 0);
    await store.close();
    await edges.stop();
    await cluster.stop();
  });
}

test("a host's own API carries out nothing that is aborted before it begins", async () => {
  const cluster = await MemoryCluster.of(1);
  const node = cluster.node("h1");
  const signal = AbortSignal.abort();
  await assert.rejects(node.put("b", "k", utf8("v"), { signal }), failsWith("closed"));
  await assert.rejects(node.delete("b", "k", { signal }), failsWith("closed"));
  assert.equal((await node.get("b", "k")).context, null);
  await cluster.stop();
});

test("calls end with their signal, and with the store", async () => {
  const cluster = await MemoryCluster.of(3);
  const store = storeOver(hostStoreNode(cluster, "h1"));
  const notes = store.bucket<number>("notes");
  const release = ["h1", "h2", "h3"].map((name) => cluster.disk(name).hold("writes"));
  const abort = new AbortController();
  const writing = notes.put("k", 1, { signal: abort.signal });
  abort.abort();
  await assert.rejects(writing, failsWith("aborted"));
  for (const go of release) go();
  await store.close();
  await store.close();
  await assert.rejects(notes.get("k"), failsWith("closed"));
  await assert.rejects(notes.put("k", 1), failsWith("closed"));
  await assert.rejects(store.flush(), failsWith("closed"));
  assert.throws(() => notes.subscribe("k", () => {}), failsWith("closed"));
  assert.throws(() => notes.watch(), failsWith("closed"));
  await cluster.stop();
});

test("r: local answers from the own copy while the quorum cannot", async () => {
  const cluster = await MemoryCluster.of(3);
  const failing = new Failing();
  await using store = storeOver(failing.over(hostStoreNode(cluster, "h1")));
  const notes = store.bucket<number>("notes");
  await (await notes.put("k", 1)).until("all");
  cluster.isolate("h1");
  await assert.rejects(notes.get("k", { timeoutMs: 300 }), failsWith("quorum-not-met"));
  const read = await notes.get("k", { r: "local" });
  assert.deepEqual([read.value, read.source], [1, "local"]);
  await cluster.stop();
});

test("entries gives every key under a prefix with its values, and none that was deleted", async () => {
  const cluster = await MemoryCluster.of(3);
  await using store = storeOver(hostStoreNode(cluster, "h2"));
  const notes = store.bucket<number>("notes");
  const names = Array.from({ length: 40 }, (_, i) => `a${i}`);
  await Promise.all([...names.map((name, i) => notes.put(name, i)), notes.put("b", 1)]);
  await notes.delete("a7", { context: (await notes.get("a7")).context });
  const found: string[] = [];
  for await (const { key, value } of notes.entries({ prefix: "a" })) found.push(`${key} ${value}`);
  const expected = names.map((name, i) => `${name} ${i}`).filter((entry) => entry !== "a7 7");
  assert.deepEqual(found.toSorted(), expected.toSorted());
  await cluster.stop();
});
