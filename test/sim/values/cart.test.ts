/** The cart that remembers what its writers had seen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { play, tenThousand } from "./play.ts";

test("carts that merge by themselves: of 3,000 none is lost either, and what was removed returns only where it was added unseen", async () => {
  const { acknowledged } = await play("values-3", { ...tenThousand, changes: 3_300, keys: 8, kinds: ["cart"] });
  assert.ok(acknowledged >= 3_000, `${acknowledged} were acknowledged`);
});
