import assert from "node:assert/strict";
import { test } from "node:test";
import { profileNames } from "../profiles.ts";
import { mutations } from "./mutations.ts";
import { findPlanted } from "./plant.ts";

/** Of each profile one that its first seeds show; `npm run sim -- --planted` looks for all. */
const soonFound = [
  "a minority ends leases",
  "a cut raises no mark",
  "a host that returns sets all",
  "rings that meet",
  "an edge lets a write go",
  "a set forgets",
  "what another directory",
  "a fold takes all",
];

test("a bug is found in the seeds of the profile that it names", async () => {
  const chosen = mutations.filter(({ name }) => soonFound.some((part) => name.startsWith(part)));
  assert.deepEqual(new Set(chosen.map(({ profile }) => profile)), new Set(profileNames));
  const found = await Promise.all(chosen.map((mutation) => findPlanted(mutation, 50)));
  for (const [i, { seed }] of found.entries()) assert.ok(seed?.startsWith(`${chosen[i]!.profile}-`), chosen[i]!.name);
});
