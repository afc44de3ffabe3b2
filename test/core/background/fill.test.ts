import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { texts, utf8 } from "../../support/values.ts";
import { eventsOf, seen, withCluster } from "../coordinate/scene.ts";

const seeds = ["memory:h1"];
const keys = Array.from({ length: 40 }, (_, i) => `key${i}`);

async function writeAll(cluster: MemoryCluster): Promise<void> {
  await Promise.all(keys.map((key) => cluster.node("h1").put("b", key, utf8(key), { w: "all" })));
}

async function holdsAll(cluster: MemoryCluster, host: string): Promise<void> {
  for (const key of keys) {
    const own = await cluster.node(host).getLocal("b", key);
    assert.deepEqual([own.holding, texts(own.siblings)], ["complete", [key]]);
  }
}

describe("a host that fills a partition", () => {
  test("copies every page of it", () =>
    withCluster(1, async (cluster) => {
      await writeAll(cluster);
      await cluster.join("h2", { config: { fillPageBytes: 1 } });
      await cluster.settled(2);
      await holdsAll(cluster, "h2");
    }));

  test("stays filling while a complete holder is away and fewer than N - 1 others were copied, and goes on when it is back", () =>
    withCluster(2, async (cluster) => {
      await writeAll(cluster);
      cluster.kill("h2");
      await seen(cluster.node("h1"), "h2", false);
      const h3 = await cluster.start("h3", { seeds });
      await eventually(async () => (await h3.status()).partitions.owned === 16, "h3 to take its share");
      const rounds = eventsOf(cluster, "filled", "h3").length;
      // A few of its rounds, which tell nothing when nothing can be done.
      await new Promise((resolve) => setTimeout(resolve, 800));
      assert.deepEqual([rounds, eventsOf(cluster, "filled", "h3").length], [0, 0]);
      assert.equal((await h3.status()).partitions.filling, 16);
      await cluster.start("h2");
      await cluster.settled(3);
      await holdsAll(cluster, "h3");
      assert.equal(eventsOf(cluster, "partition-lost").length, 0);
    }));

  test("is complete although one complete holder is away when N - 1 others were copied", () =>
    withCluster(3, async (cluster) => {
      await writeAll(cluster);
      cluster.kill("h3");
      await seen(cluster.node("h1"), "h3", false);
      const h4 = await cluster.start("h4", { seeds });
      const filled = async (): Promise<boolean> => {
        const { owned, filling } = (await h4.status()).partitions;
        return owned > 0 && filling === 0;
      };
      await eventually(filled, "h4 to fill without h3");
    }));
});
