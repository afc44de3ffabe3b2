import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { texts, utf8 } from "../../support/values.ts";
import { eventsOf, intercept, seen, withCluster } from "../coordinate/scene.ts";

const keys = ["k1", "k2", "k3", "k4", "k5"];

/** h1 keeps hints for h3, which is down; returns how many it has. */
async function oweToH3(cluster: MemoryCluster): Promise<() => Promise<number>> {
  cluster.kill("h3");
  await seen(cluster.node("h1"), "h3", false);
  for (const key of keys) await cluster.node("h1").put("b", key, utf8(key));
  const owed = async (): Promise<number> => (await cluster.node("h1").status()).hints;
  assert.equal(await owed(), keys.length);
  return owed;
}

describe("hints for a host that is back", () => {
  test("are delivered but for one that cannot be, which holds up no other and is tried again", () =>
    withCluster(3, async (cluster) => {
      const owed = await oweToH3(cluster);
      let [isBlocked, tries] = [true, 0];
      intercept(cluster, "h1", async (to, body) => {
        if (!isBlocked || to !== "h3" || body[0] !== methods.replicate.number) return;
        if (methods.replicate.request.decode(body.subarray(1)).key !== "b/k3") return;
        tries += 1;
        throw new Error("nobody can deliver this one");
      });
      const h3 = await cluster.start("h3");
      await eventually(async () => (await owed()) === 1 && tries >= 2, "all but one to be delivered");
      for (const key of keys) {
        assert.deepEqual(texts((await h3.getLocal("b", key)).siblings), key === "k3" ? [] : [key]);
      }
      isBlocked = false;
      await eventually(async () => (await owed()) === 0, "the last one");
      assert.deepEqual(texts((await h3.getLocal("b", "k3")).siblings), ["k3"]);
    }));

  test("are dropped where they are damaged, told, and hold up no other", () =>
    withCluster(3, async (cluster) => {
      await oweToH3(cluster);
      cluster.kill("h1");
      const { rows } = await cluster.disk("h1").page("hints", { limit: 10 });
      await cluster.disk("h1").rot("hints", rows[2]!.key);
      const h1 = await cluster.start("h1");
      assert.equal((await h1.status()).hints, keys.length);
      const h3 = await cluster.start("h3");
      await eventually(async () => (await h1.status()).hints === 0, "no hint to be left");
      assert.ok(eventsOf(cluster, "corrupt-record", "h1").some(({ where }) => where.includes("hint")));
      const held = await Promise.all(keys.map(async (key) => (await h3.getLocal("b", key)).siblings.length));
      assert.equal(
        held.reduce((sum, count) => sum + count, 0),
        keys.length - 1,
      );
    }));
});
