/** Parked writes of values that merge by themselves find their way; others wait for the application. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError, type StoreErrorCode } from "../../../core/errors.ts";
import type { ParkedWrite, StoreNode } from "../../../core/store-node.ts";
import { type Counter, counter } from "../../../core/values/counter.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { Failing, hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { utf8 } from "../../support/values.ts";
import { pensOf } from "../values/devices.ts";

const rule = counter();
const increment = (by: number, of: Counter = rule.empty!): Counter => rule.seal!(of.add(by), of, pensOf(by).of("k"));
const parkedAs = (
  name: string,
  dot: string,
  body: Uint8Array,
  contentType: string,
  code: StoreErrorCode,
): ParkedWrite => ({
  bucket: "counters",
  name,
  dot,
  body,
  contentType,
  error: new StoreError(code, "parked"),
});

test("a parked increment is counted, once, whether or not it had arrived, as its bucket is written; what may be of a value that was deleted stays parked", async () => {
  const cluster = await MemoryCluster.of(3);
  const failing = new Failing();
  const host = hostStoreNode(cluster, "h1");
  const { contentType, encode } = {
    contentType: rule.codec!.contentType,
    encode: (value: Counter) => rule.codec!.encode(value),
  };
  const arrived = increment(5);
  const parked = [
    parkedAs("k", "a:1", encode(increment(2, arrived)), contentType, "outcome-unknown"),
    parkedAs("k", "a:2", encode(arrived), contentType, "outcome-unknown"),
    parkedAs("gone", "a:3", encode(increment(1)), contentType, "outcome-unknown"),
    parkedAs("anew", "a:6", encode(increment(3)), contentType, "outcome-unknown"),
    parkedAs("k", "a:4", utf8("7"), "application/json", "outcome-unknown"),
    parkedAs("k", "a:5", encode(increment(9)), contentType, "value-too-large"),
  ];
  let hear = (): void => {};
  const node: StoreNode = {
    ...failing.over(host),
    parked: async () => [...parked],
    discard: async ({ dot }) =>
      void parked.splice(
        parked.findIndex((each) => each.dot === dot),
        1,
      ),
    facts: () => ({ ...host.facts(), parked: parked.length }),
    onFacts: (listener) => {
      hear = listener;
      return () => {};
    },
  };
  await using store = storeOver(node);
  const elsewhere = storeOver(host).bucket<Counter>("counters", { conflict: rule });
  for (const name of ["k", "anew"]) await elsewhere.put(name, arrived);
  hear();
  await store.bucket("other").get("k");
  assert.equal(parked.length, 6, "until the bucket is made nobody knows how it is written");
  failing.next("get", new StoreError("quorum-not-met", "not yet"));
  failing.next("put", new StoreError("outcome-unknown", "lost"), { after: true });
  const counters = store.bucket<Counter>("counters", { conflict: rule, ttlMs: 600_000 });
  await eventually(() => parked.length === 4, "what can be merged to be merged");
  const { value, raw } = await counters.get("k", { r: "all" });
  assert.equal(value?.total, 7);
  assert.ok(raw.siblings.every(({ expiresAtMs }) => expiresAtMs !== undefined));
  assert.equal((await counters.get("anew", { r: "all" })).value?.total, 5);
  assert.deepEqual((await counters.get("gone", { r: "all" })).values, []);
  assert.deepEqual(
    (await store.parked()).map(({ dot }) => dot),
    ["a:3", "a:6", "a:4", "a:5"],
  );
  await cluster.stop();
});

test("a write that is parked while the node is asked for those that are is merged, too", async () => {
  const cluster = await MemoryCluster.of(1);
  const host = hostStoreNode(cluster, "h1");
  const parked: ParkedWrite[] = [];
  const body = rule.codec!.encode(increment(1));
  let hear = (): void => {};
  let asked = 0;
  const node: StoreNode = {
    ...new Failing().over(host),
    async parked() {
      const told = [...parked];
      if (asked++ > 0) return told;
      parked.push(parkedAs("k", "a:1", body, rule.codec!.contentType, "outcome-unknown"));
      hear();
      return told;
    },
    discard: async () => void parked.splice(0),
    facts: () => ({ ...host.facts(), parked: 1 }),
    onFacts: (listener) => {
      hear = listener;
      return () => {};
    },
  };
  const counters = { conflict: rule };
  await storeOver(host).bucket<Counter>("counters", counters).put("k", rule.codec!.decode(body));
  await using store = storeOver(node);
  store.bucket<Counter>("counters", counters);
  await eventually(() => asked > 0 && parked.length === 0, "it to be merged");
  await cluster.stop();
});
