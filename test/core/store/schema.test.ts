/** Values and the bucket's schema: on the way in, on the way out, and what was stored before there was one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { StoreError } from "../../../core/errors.ts";
import { counter } from "../../../core/values/counter.ts";
import { merge } from "../../../core/values/conflict-rules.ts";
import type { StandardSchema } from "../../../core/values/schema.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { hostStoreNode, storeOver } from "../../support/memory-stores.ts";
import { failsWith } from "../../support/values.ts";

interface Order {
  readonly lines: readonly { readonly price: number }[];
  readonly note: string;
}

const order = z.object({ lines: z.array(z.object({ price: z.number().min(0) })), note: z.string().default("") });
/** The same check, some time later. */
const slowly: StandardSchema<Order> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: async (value) => {
      await new Promise((resolve) => setImmediate(resolve));
      return order["~standard"].validate(value);
    },
  },
};

for (const [name, schema] of [
  ["a schema", order as StandardSchema<Order>],
  ["an asynchronous schema", slowly],
] as const) {
  test(`${name} refuses what does not fit, with the place of each issue, and writes nothing`, async () => {
    const cluster = await MemoryCluster.of(1);
    await using store = storeOver(hostStoreNode(cluster, "h1"));
    const orders = store.bucket<Order>("orders", { schema });
    const bad = { lines: [{ price: 1 }, { price: -1 }], note: 7 } as unknown as Order;
    await assert.rejects(orders.put("k", bad), (error: unknown) => {
      assert.ok(error instanceof StoreError && error.code === "invalid-value");
      assert.deepEqual(
        error.detail.issues?.map(({ path }) => path),
        ["lines.1.price", "note"],
      );
      return error.detail.key === "orders/k";
    });
    await assert.rejects(
      orders.update("k", () => bad),
      failsWith("invalid-value"),
    );
    assert.deepEqual((await orders.get("k")).values, []);
    await cluster.stop();
  });

  test(`${name} fills defaults in, when a value is written and when an older one is read`, async () => {
    const cluster = await MemoryCluster.of(1);
    await using store = storeOver(hostStoreNode(cluster, "h1"));
    const older = store.bucket<{ lines: [] }>("orders");
    await older.put("old", { lines: [] });
    const orders = store.bucket<Order>("orders", { schema });
    assert.deepEqual((await orders.get("old")).value, { lines: [], note: "" });
    const { value } = await orders.update("new", () => ({ lines: [] }) as unknown as Order);
    assert.deepEqual(value, { lines: [], note: "" });
    await cluster.stop();
  });

  test(`${name}: a stored value that no longer fits hides no other, is lost by no update, and can be mended`, async () => {
    const cluster = await MemoryCluster.of(1);
    await using store = storeOver(hostStoreNode(cluster, "h1"));
    const anything = store.bucket("orders");
    const { dot } = await anything.put("k", { lines: "many" });
    await anything.put("k", { lines: [] });
    const orders = store.bucket<Order>("orders", { schema, conflict: merge((all) => all[0]!) });
    const read = await orders.get("k");
    assert.deepEqual([read.values.length, read.context, read.raw.siblings.length], [1, undefined, 2]);
    assert.deepEqual(
      read.problems.map(({ code, detail }) => [code, detail.dot, detail.issues?.[0]?.path]),
      [["invalid-value", dot, "lines"]],
    );
    await assert.rejects(
      orders.update("k", (value) => value!),
      failsWith("invalid-value"),
    );
    assert.equal((await anything.get("k")).values.length, 2);
    await orders.put("k", { lines: [], note: "mended" }, { context: read.raw.context! });
    assert.deepEqual((await orders.get("k")).values, [{ lines: [], note: "mended" }]);
    await cluster.stop();
  });
}

test("a schema that throws, at once or later, is an invalid value", async () => {
  const cluster = await MemoryCluster.of(1);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const throwing = (validate: () => never | Promise<never>): StandardSchema<number> => ({
    "~standard": { version: 1, vendor: "test", validate },
  });
  const fail = (): never => {
    throw new Error("no connection");
  };
  for (const validate of [fail, async () => fail()]) {
    const bucket = store.bucket<number>("n", { schema: throwing(validate) });
    await assert.rejects(bucket.put("k", 1), failsWith("invalid-value"));
  }
  await cluster.stop();
});

test("a merge function that depends on the order is refused with what is wrong, unless it is not to be checked", async () => {
  const cluster = await MemoryCluster.of(1);
  await using store = storeOver(hostStoreNode(cluster, "h1"));
  const conflict = merge<readonly string[]>((all) => all.flat());
  const lists = store.bucket<readonly string[]>("lists", { conflict });
  await lists.put("k", ["a"]);
  assert.equal((await lists.get("k")).problems.length, 0);
  await lists.put("k", ["b"]);
  const { problems, value, values } = await lists.get("k");
  assert.deepEqual([value, values.length, problems.map(({ code }) => code)], [undefined, 2, ["bad-merge"]]);
  assert.match(problems[0]!.message, /merge function for lists\/k: .*order of the values; sort/);
  await assert.rejects(
    lists.update("k", (list) => list!),
    failsWith("bad-merge"),
  );
  const trusted = store.bucket<readonly string[]>("lists", { conflict, checkMerges: false });
  assert.equal((await trusted.get("k")).value?.length, 2);
  await cluster.stop();
});

test("values that merge by themselves are used like others: empty at first, merged when read, whole in a receipt", async () => {
  const cluster = await MemoryCluster.of(3);
  await using here = storeOver(hostStoreNode(cluster, "h1"));
  await using there = storeOver(hostStoreNode(cluster, "h2"));
  const [likes, elsewhere] = [here, there].map((store) => store.bucket("likes", { conflict: counter() }));
  const { value } = await likes!.update("post", (count) => count.add(2));
  assert.equal(value.total, 2);
  await Promise.all([
    likes!.update("post", (count) => count.add(1)),
    elsewhere!.update("post", (count) => count.add(4)),
  ]);
  // Without what was read, also without a context: it is added all the same.
  await likes!.put("post", value.add(10));
  assert.equal((await elsewhere!.get("post", { r: "all" })).value?.total, 17);
  await elsewhere!.update("post", (count) => count);
  assert.equal((await likes!.get("post", { r: "all" })).values.length, 1);
  await cluster.stop();
});
