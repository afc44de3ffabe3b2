/** Counters under faults. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { play, tenThousand } from "./play.ts";

test("counters: 10,000 increments by ten nodes, with crashes, retries and partitions, are counted once each", async () => {
  const { acknowledged } = await play("values-3", { ...tenThousand, kinds: ["counter"] });
  assert.ok(acknowledged >= 10_000, `${acknowledged} were acknowledged`);
});
