/** The cart that remembers what its writers had seen. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { play, tenThousand } from "./play.ts";

test("carts that merge by themselves: of 10,000 none is lost either, and what was removed returns only where it was added unseen", async () => {
  const { acknowledged } = await play("values-3", { ...tenThousand, kinds: ["cart"] });
  assert.ok(acknowledged >= 10_000, `${acknowledged} were acknowledged`);
});
