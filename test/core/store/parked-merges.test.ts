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
const increment = (by: number): Counter => rule.seal!(rule.empty!.add(by), undefined, pensOf(by).of("k"));
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

test("a parked increment is counted, once, whether or not it had arrived; what may have been deleted stays parked", async () => {
  const cluster = await MemoryCluster.of(3);
  const failing = new Failing();
  const host = hostStoreNode(cluster, "h1");
  const { contentType, encode } = {
    contentType: rule.codec!.contentType,
    encode: (value: Counter) => rule.codec!.encode(value),
  };
  const arrived = increment(5);
  const parked = [
    parkedAs("k", "a:1", encode(increment(2)), contentType, "outcome-unknown"),
    parkedAs("k", "a:2", encode(arrived), contentType, "outcome-unknown"),
    parkedAs("gone", "a:3", encode(increment(1)), contentType, "outcome-unknown"),
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
  const counters = store.bucket<Counter>("counters", { conflict: rule });
  await counters.put("k", arrived);
  failing.next("get", new StoreError("quorum-not-met", "not yet"));
  failing.next("put", new StoreError("outcome-unknown", "lost"), { after: true });
  hear();
  await eventually(() => parked.length === 3, "what can be merged to be merged");
  assert.equal((await counters.get("k", { r: "all" })).value?.total, 7);
  assert.deepEqual((await counters.get("gone", { r: "all" })).values, []);
  assert.deepEqual(
    (await store.parked()).map(({ dot }) => dot),
    ["a:3", "a:4", "a:5"],
  );
  await cluster.stop();
});
