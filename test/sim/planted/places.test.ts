/** With the unit tests: a change of the core that moves a planted bug's place is told of before the commit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { mutations } from "./mutations.ts";
import { mutated } from "./plant.ts";
import { summary } from "./search.ts";

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

test("the table of a search counts by profile, and names what was not found", () => {
  const [plain] = mutations.filter(({ profile }) => profile === undefined);
  const [first, second] = mutations.filter(({ profile }) => profile === "moves");
  const told = mutations.find(({ isOnlyTold }) => isOnlyTold === true)!;
  const found = { rule: "a rule", seed: "7", runs: 7, told: [] };
  const results = [
    { ...found, mutation: plain! },
    { ...found, mutation: first!, seed: "moves-40", runs: 40 },
    { mutation: second!, seed: undefined, rule: "", runs: 1_000, told: ["a story"] },
    { mutation: told, seed: undefined, rule: "", runs: 0, told: ["a story"] },
  ];
  const lines = summary(results, 1_000).split("\n");
  assert.deepEqual(lines.slice(-6), [
    "| profile moves | 2 | 1 | 40 |",
    "| the swarm | 1 | 1 | 7 |",
    "| none: by a story | 1 | 1 | - |",
    "| all | 4 | 3 | 40 |",
    `by a story only: ${told.name}`,
    `not found: ${second!.name}`,
  ]);
});
