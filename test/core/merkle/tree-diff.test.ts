import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeKey } from "../../../core/bytes/key.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { type Hash64, hashOfNumbers } from "../../../core/merkle/hash.ts";
import { type Section, SharedTrees } from "../../../core/merkle/shared-trees.ts";
import { type DiffLimits, type RemoteTrees, treeDiff } from "../../../core/merkle/tree-diff.ts";
import { HashTrees, partitionOfLeaf } from "../../../core/merkle/trees.ts";
import { locate } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";

const noLimits: DiffLimits = { partitionsMax: 1_000_000, leavesMax: 1_000_000 };
const inOrder = <T>(items: readonly T[]): readonly T[] => items;
const hash = (key: number, version: number): Hash64 => hashOfNumbers(key, version);

/** Key -> version. */
type Data = ReadonlyMap<number, number>;

function treesOf(data: Data, q: number): HashTrees {
  const trees = new HashTrees(q);
  for (const [key, version] of data) trees.update(rowOf(key, q), undefined, hash(key, version));
  return trees;
}

const rowOf = (key: number, q: number): Uint8Array => locate(makeKey("b", String(key)), q).row;

function remoteOf(shared: SharedTrees): RemoteTrees & { readonly trips: { count: number } } {
  const trips = { count: 0 };
  return {
    trips,
    async groups(digest) {
      trips.count += 1;
      return Buffer.from(digest).equals(shared.digest()) ? undefined : shared.groups();
    },
    async leaves(groups) {
      trips.count += 1;
      return shared.answerGroups(groups);
    },
  };
}

const data = fc.uniqueArray(fc.tuple(fc.nat({ max: 300 }), fc.nat({ max: 1 })), {
  selector: ([key]) => key,
  maxLength: 120,
});
const cases = fc.record({
  q: fc.constantFrom(1, 2, 8, 64, 1_024),
  common: data,
  ours: data,
  theirs: data,
  hiddenHere: fc.array(fc.nat({ max: 63 }), { maxLength: 4 }),
  hiddenThere: fc.array(fc.nat({ max: 63 }), { maxLength: 4 }),
});

test("a diff names exactly the leaves that hold a key which differs, in partitions that both share", async () => {
  await fc.assert(
    fc.asyncProperty(cases, async ({ q, common, ours, theirs, hiddenHere, hiddenThere }) => {
      const here: Data = new Map([...common, ...ours]);
      const there: Data = new Map([...common, ...theirs]);
      const trees = treesOf(here, q);
      const sharedHere = allPartitions(q).filter((p) => !hiddenHere.includes(p));
      const sharedThere = allPartitions(q).filter((p) => !hiddenThere.includes(p));
      const local = new SharedTrees(trees, sharedHere);
      const remote = remoteOf(new SharedTrees(treesOf(there, q), sharedThere));
      const found = await treeDiff(local, remote, noLimits, inOrder);

      const both = new Set(sharedHere.filter((p) => sharedThere.includes(p)));
      const keys = [...new Set([...here.keys(), ...there.keys()])].filter((key) => here.get(key) !== there.get(key));
      const expected = new Set(
        keys.map((key) => trees.leafOf(rowOf(key, q))).filter((l) => both.has(partitionOfLeaf(l))),
      );
      assert.deepEqual(found.leaves.toSorted(byNumber), [...expected].toSorted(byNumber));
      const different = new Set([...expected].map(partitionOfLeaf));
      assert.deepEqual([...found.different].toSorted(byNumber), [...different].toSorted(byNumber));
      assert.deepEqual(
        [...found.equal].toSorted(byNumber),
        [...both].filter((p) => !different.has(p)),
      );
      assert.equal(found.cut, false);
      assert.ok(remote.trips.count <= 2);
    }),
  );
});

const byNumber = (a: number, b: number): number => a - b;

test("equal sides part after one digest of 8 bytes, and one that shares less is not taken for equal", async () => {
  const trees = treesOf(new Map([[1, 1]]), 16);
  const local = new SharedTrees(trees, allPartitions(16));
  const same = remoteOf(new SharedTrees(treesOf(new Map([[1, 1]]), 16), allPartitions(16)));
  const found = await treeDiff(local, same, noLimits, inOrder);
  assert.deepEqual(found, { equal: allPartitions(16), different: [], leaves: [], cut: false });
  assert.equal(same.trips.count, 1);
  assert.equal(local.digest().length, 8);

  const empty = allPartitions(16).find((partition) => trees.keysIn(partition) === 0)!;
  const less = remoteOf(
    new SharedTrees(
      trees,
      allPartitions(16).filter((partition) => partition !== empty),
    ),
  );
  assert.deepEqual(
    (await treeDiff(local, less, noLimits, inOrder)).equal,
    allPartitions(16).filter((p) => p !== empty),
  );
});

test("a diff that meets a limit says that it is cut, and what it leaves out is neither equal nor different", async () => {
  const here = new Map(Array.from({ length: 500 }, (_, key) => [key, 1] as const));
  const local = new SharedTrees(treesOf(here, 64), allPartitions(64));
  const remote = (): RemoteTrees => remoteOf(new SharedTrees(new HashTrees(64), allPartitions(64)));
  const few = await treeDiff(local, remote(), { partitionsMax: 8, leavesMax: 1_000 }, inOrder);
  assert.equal(few.cut, true);
  assert.equal(few.different.length, 8);
  assert.deepEqual(few.equal, []);
  const tiny = await treeDiff(local, remote(), { partitionsMax: 64, leavesMax: 5 }, inOrder);
  assert.equal(tiny.cut, true);
  assert.equal(tiny.leaves.length, 5);
});

test("whatever a hostile peer answers, a diff ends, and names only leaves and partitions that are shared here", async () => {
  const section = fc.record({
    index: fc.oneof(fc.nat({ max: 20 }), fc.maxSafeNat()),
    hashes: fc.uint8Array({ maxLength: 600 }),
  });
  const hashes = fc.uint8Array({ maxLength: 200 });
  await fc.assert(
    fc.asyncProperty(fc.option(hashes), fc.array(section, { maxLength: 30 }), async (groups, answer) => {
      const shared = allPartitions(16).slice(3);
      const local = new SharedTrees(treesOf(new Map([[1, 1]]), 16), shared);
      const remote: RemoteTrees = { groups: async () => groups ?? undefined, leaves: async () => answer };
      const found = await treeDiff(local, remote, noLimits, inOrder);
      for (const each of [...found.equal, ...found.different, ...found.leaves.map(partitionOfLeaf)]) {
        assert.ok(shared.includes(each));
      }
      assert.ok(found.leaves.length <= 64 * shared.length);
    }),
  );
});

test("whatever a hostile peer asks, the answer holds at most the leaves of as many partitions as it sent hashes", () => {
  const question = fc.array(
    fc.record({ index: fc.oneof(fc.nat({ max: 5 }), fc.maxSafeNat()), hashes: fc.uint8Array({ maxLength: 200 }) }),
  );
  fc.assert(
    fc.property(question, (groups: readonly Section[]) => {
      const shared = new SharedTrees(treesOf(new Map([[1, 1]]), 16), allPartitions(16).slice(0, 9));
      const answer = shared.answerGroups(groups);
      const sent = groups.reduce((sum, { hashes }) => sum + hashes.length / 8, 0);
      assert.ok(answer.length <= Math.ceil(sent) + groups.length);
      for (const { index, hashes } of answer) {
        assert.equal(hashes.length, index < 9 ? 512 : 0);
        assert.ok(allPartitions(16).includes(index as PartitionIndex));
      }
    }),
  );
});
