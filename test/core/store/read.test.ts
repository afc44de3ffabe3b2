/** What a bucket makes of the bytes that it reads: properties. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { StoreRead } from "../../../core/store-node.ts";
import { json } from "../../../core/values/codecs.ts";
import { decodeRead } from "../../../core/store/read.ts";
import { lww, merge, siblings } from "../../../core/values/conflict-rules.ts";
import { utf8 } from "../../support/values.ts";

/** Null: bytes that are no JSON. */
const written = fc.array(fc.option(fc.integer()), { maxLength: 6 });

function readOf(values: readonly (number | null)[]): StoreRead {
  return {
    siblings: values.map((value, i) => ({
      body: utf8(value === null ? "{" : JSON.stringify(value)),
      contentType: "application/json",
      kind: "opaque",
      timeMs: (i * 7) % 5,
      dot: `a:${i}`,
    })),
    deleted: false,
    degraded: false,
    context: values.length === 0 ? null : "sealed",
    source: "quorum",
    pending: false,
  };
}

test("every sibling is a value or a problem, in order, and a context is given only when all were understood", async () => {
  await fc.assert(
    fc.asyncProperty(written, async (values) => {
      const read = await decodeRead(readOf(values), "b/k", { codec: json<number>(), rule: siblings() });
      const good = values.filter((value) => value !== null);
      const bad = values.flatMap((value, i) => (value === null ? [`a:${i}`] : []));
      assert.deepEqual(read.values, good);
      assert.deepEqual(
        read.problems.map(({ code, detail }) => [code, detail.key, detail.dot]),
        bad.map((dot) => ["undecodable", "b/k", dot]),
      );
      assert.equal(read.context, bad.length > 0 || values.length === 0 ? undefined : "sealed");
      assert.equal(read.value, values.length === 1 ? good[0] : undefined);
      assert.equal(read.raw.siblings.length, values.length);
    }),
  );
});

test("merge is given what can be read of two values and more, in order; lww takes the latest", async () => {
  await fc.assert(
    fc.asyncProperty(written, async (values) => {
      const given: (readonly number[])[] = [];
      const sum = merge<number>((all) => {
        given.push(all);
        return all.reduce((a, b) => a + b, 0);
      });
      const good = values.filter((value) => value !== null);
      const merged = await decodeRead(readOf(values), "b/k", { codec: json<number>(), rule: sum });
      assert.equal(merged.value, good.length === 0 ? undefined : good.reduce((a, b) => a + b, 0));
      assert.deepEqual(given, good.length > 1 ? [good] : []);
      const latest = await decodeRead(readOf(values), "b/k", { codec: json<number>(), rule: lww() });
      const times = values.flatMap((value, i) => (value === null ? [] : [(i * 7) % 5]));
      assert.equal(latest.value, good[times.lastIndexOf(Math.max(...times))]);
    }),
  );
});

test("a merge function that throws is told as a problem: the values and the context stay", async () => {
  const rule = merge<number>(() => {
    throw new RangeError("never");
  });
  const read = await decodeRead(readOf([1, 2]), "b/k", { codec: json<number>(), rule });
  assert.deepEqual([read.values, read.value, read.context], [[1, 2], undefined, "sealed"]);
  assert.deepEqual(
    read.problems.map(({ code, message }) => [code, /b\/k.*never/.test(message)]),
    [["internal", true]],
  );
});
