import assert from "node:assert/strict";
import { test } from "node:test";
import { stories } from "../stories/all.ts";
import { mutations } from "./mutations.ts";
import { mutated, storiesBroken } from "./plant.ts";

test("each planted bug has exactly one place in the core", () => {
  const misplaced = mutations.flatMap((mutation) => {
    try {
      assert.notEqual(mutated(mutation), "");
      return [];
    } catch (error: unknown) {
      return [`${mutation.name}: ${String(error)}`];
    }
  });
  assert.deepEqual(misplaced, []);
});

test("planted bugs differ in their names", () => {
  assert.equal(new Set(mutations.map(({ name }) => name)).size, mutations.length);
});

test("a story fails where the bug that it tells of is planted", async () => {
  const bugs = new Set(stories.flatMap(({ brokenBy }) => brokenBy ?? []));
  const waiting = bugs.values();
  const lane = async (): Promise<void> => {
    for (const bug of waiting) {
      const mutation = mutations.find(({ name }) => name === bug);
      assert.ok(mutation, `no planted bug is called: ${bug}`);
      const names = stories.filter(({ brokenBy }) => brokenBy === bug).map(({ name }) => name);
      assert.deepEqual(await storiesBroken(mutation, names), names, bug);
    }
  };
  await Promise.all([lane(), lane(), lane()]);
});
