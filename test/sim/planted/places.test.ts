/** With the unit tests: a change of the core that moves a planted bug's place is told of before the commit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mutations } from "./mutations.ts";
import { mutated } from "./plant.ts";

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
