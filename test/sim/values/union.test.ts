/** The paper's cart: a list of which nothing that was added is lost, and in which removed items may return. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { play, tenThousand } from "./play.ts";

test("carts merged by union: of 10,000 additions and removals by edges and hosts no added item is lost; removed ones return", async () => {
  const { acknowledged, returned } = await play("values-3", { ...tenThousand, kinds: ["union"] });
  assert.ok(acknowledged >= 10_000, `${acknowledged} were acknowledged`);
  assert.ok(returned.length > 0, "the paper says that deleted items can resurface");
});
