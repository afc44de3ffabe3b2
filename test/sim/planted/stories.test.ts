import assert from "node:assert/strict";
import { test } from "node:test";
import { stories } from "../stories/all.ts";
import { mutations } from "./mutations.ts";
import { storiesBroken } from "./plant.ts";

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
