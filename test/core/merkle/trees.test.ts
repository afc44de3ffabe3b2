import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeKey } from "../../../core/bytes/key.ts";
import { sameClock } from "../../../core/causality/clock.ts";
import type { Versioned } from "../../../core/causality/version-set.ts";
import { compareBytes } from "../../../core/bytes/compare.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { clockHash, entryHash, type Hash64 } from "../../../core/merkle/hash.ts";
import { HashTrees, partitionOfLeaf } from "../../../core/merkle/trees.ts";
import { locate } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { actor, dot, value } from "../causality/samples.ts";

const partitionCounts = fc.constantFrom(1, 2, 16, 1_024);

/** A key's number and the counter of its state; 0: not there. */
const writes = fc.array(fc.tuple(fc.nat({ max: 30 }), fc.nat({ max: 5 })), { maxLength: 200 });

const rowOf = (key: number, partitions: number): Uint8Array => locate(makeKey("b", String(key)), partitions).row;

function hashOf(key: number, counter: number): Hash64 | undefined {
  if (counter === 0) return undefined;
  const state = { vector: [{ ...dot(key, counter), timeMs: 0 }], values: [value(key, counter, counter)] };
  return entryHash(rowOf(key, 1), clockHash(state));
}

function show(trees: HashTrees): unknown {
  return allPartitions(trees.partitions)
    .filter((partition) => trees.keysIn(partition) > 0 || trees.rootOf(partition).low > 0)
    .map((partition) => [
      partition,
      trees.rootOf(partition),
      trees.keysIn(partition),
      Buffer.from(trees.leafHashes(partition)).toString("hex"),
    ]);
}

test("trees that were updated write by write equal trees built from what is left, in any order", () => {
  fc.assert(
    fc.property(partitionCounts, writes, (partitions, history) => {
      const updated = new HashTrees(partitions);
      const last = new Map<number, number>();
      for (const [key, counter] of history) {
        updated.update(rowOf(key, partitions), hashOf(key, last.get(key) ?? 0), hashOf(key, counter));
        last.set(key, counter);
      }
      const built = new HashTrees(partitions);
      for (const [key, counter] of [...last].toReversed()) {
        if (counter > 0) built.update(rowOf(key, partitions), undefined, hashOf(key, counter));
      }
      assert.deepEqual(show(updated), show(built));
    }),
  );
});

test("a cleared partition is empty, and its neighbours are not", () => {
  const trees = new HashTrees(16);
  for (let key = 0; key < 100; key++) trees.update(rowOf(key, 16), undefined, hashOf(key, 1));
  const kept = trees.leafHashes(4 as PartitionIndex);
  trees.clear(3 as PartitionIndex);
  assert.equal(trees.keysIn(3 as PartitionIndex), 0);
  assert.deepEqual(trees.rootOf(3 as PartitionIndex), { high: 0, low: 0 });
  assert.ok(trees.leafHashes(3 as PartitionIndex).every((byte) => byte === 0));
  assert.deepEqual(trees.leafHashes(4 as PartitionIndex), kept);
});

test("the rows of a leaf are those in its range, and its partition is the one of its keys", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(1, 16, 1_024, 65_536),
      fc.string({ minLength: 1, unit: "grapheme-ascii" }),
      (q, name) => {
        const trees = new HashTrees(q);
        const { row, partition } = locate(makeKey("b", name), q);
        const leaf = trees.leafOf(row);
        const { gte, lt } = trees.rangeOfLeaf(leaf);
        assert.ok(compareBytes(gte, row) <= 0 && (lt === undefined || compareBytes(row, lt) < 0));
        assert.equal(partitionOfLeaf(leaf), partition);
      },
    ),
  );
});

const entries = fc.uniqueArray(fc.record({ n: fc.nat({ max: 3 }), counter: fc.integer({ min: 1, max: 3 }) }), {
  selector: ({ n }) => n,
  maxLength: 3,
});
const states: fc.Arbitrary<Versioned> = fc.record({
  vector: entries.map((list) =>
    list
      .map(({ n, counter }) => ({ actor: actor(n), counter, timeMs: counter }))
      .toSorted((a, b) => (a.actor < b.actor ? -1 : 1)),
  ),
  values: fc.array(
    fc
      .record({
        n: fc.nat({ max: 2 }),
        counter: fc.integer({ min: 1, max: 2 }),
        atMs: fc.constantFrom(1, 2, 2 ** 40),
        tombstone: fc.boolean(),
        kind: fc.constantFrom("opaque" as const, "lww" as const, "yjs" as const),
        expiresAtMs: fc.option(fc.constantFrom(0, 1, 2 ** 42)),
      })
      .map(({ n, counter, atMs, expiresAtMs, ...rest }) =>
        value(n, counter, atMs, { ...rest, ...(expiresAtMs === null ? {} : { expiresAtMs }) }),
      ),
    { maxLength: 2 },
  ),
});

test("two states have one hash exactly when they have one clock", () => {
  fc.assert(
    fc.property(states, states, (a, b) => {
      const same = JSON.stringify(clockHash(a)) === JSON.stringify(clockHash(b));
      assert.equal(same, sameClock(a, b));
    }),
    { numRuns: 2_000 },
  );
});

test("neither the vector's times nor types nor bodies enter the hash", () => {
  const state = { vector: [{ ...dot(1, 1), timeMs: 5 }], values: [value(1, 1, 5)] };
  const other = {
    vector: [{ ...dot(1, 1), timeMs: 9 }],
    values: [value(1, 1, 5, { body: new Uint8Array(9), contentType: "a/b" })],
  };
  assert.deepEqual(clockHash(state), clockHash(other));
});

test("hashes of keys and clocks that hardly differ spread over all 64 bits", () => {
  const seen = { high: new Set<number>(), low: new Set<number>() };
  const ones = Array.from({ length: 64 }, () => 0);
  const count = 20_000;
  for (let i = 0; i < count; i++) {
    const clock = clockHash({ vector: [dot(i % 3, 1 + (i >> 4))], values: [value(i % 3, 1, i)] });
    const { high, low } = entryHash(rowOf(i % 50, 16), clock);
    seen.high.add(high);
    seen.low.add(low);
    for (let bit = 0; bit < 32; bit++) {
      ones[bit]! += (high >>> bit) & 1;
      ones[32 + bit]! += (low >>> bit) & 1;
    }
  }
  // Of 20,000 random numbers of 32 bits about 0.05 pairs are equal.
  assert.ok(seen.high.size > count - 3 && seen.low.size > count - 3);
  for (const each of ones) assert.ok(Math.abs(each / count - 0.5) < 0.03, `a bit is set in ${each} of ${count}`);
});
