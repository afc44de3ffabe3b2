import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { intercept, placed, seen, sentBy, withCluster } from "./scene.ts";

describe("a put at a host that does not own the key", () => {
  test("is coordinated by an owner, not by this host", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const { receipt } = await cluster.node(walk[3]!).put("b", name, utf8("v"), { w: "all" });
      assert.deepEqual([...receipt.durable].toSorted(), walk.slice(0, 3).toSorted());
      assert.equal((await cluster.node(walk[3]!).getLocal("b", name)).holding, "none");
    }));

  test("is coordinated by an owner that is complete while another one fills, though nobody is slower than it yet", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster, (hosts) => hosts[3] === "h1");
      const [wiped, ...others] = walk as [string, ...string[]];
      await cluster.node("h1").put("b", name, utf8("v"), { w: "all" });
      cluster.kill(wiped);
      cluster.wipe(wiped);
      // What is known of the key is in memory; nothing can be copied from a disk.
      const releases = others.map((other) => cluster.disk(other).hold("reads"));
      await cluster.start(wiped, { seeds: ["memory:h1"] });
      await seen(cluster.node("h1"), wiped, true);
      await eventually(async () => {
        return (await cluster.node("h1").status()).partitions.everywhere.filling > 0;
      }, `h1 to know that ${wiped} fills`);
      const forwarded = sentBy(cluster, "h1", methods.write);
      for (let i = 0; i < 10; i++) await cluster.node("h1").put("b", name, utf8(`v${i}`));
      assert.equal(forwarded.length, 10);
      assert.ok(!forwarded.includes(wiped as NodeId), `some went to ${wiped}: ${forwarded.join()}`);
      for (const release of releases) release();
    }));

  test("whose owner falls silent is outcome-unknown, is tried nowhere else, and may survive", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const owners = walk.slice(0, 3);
      const releases = owners.map((owner) => cluster.disk(owner).hold("writes"));
      await assert.rejects(
        cluster.node(walk[3]!).put("b", name, utf8("v"), { timeoutMs: 150 }),
        failsWith("outcome-unknown"),
      );
      for (const release of releases) release();
      await eventually(async () => {
        const { siblings } = await cluster.node(owners[0]!).get("b", name, { r: "all" });
        assert.ok(siblings.length <= 1, "one owner minted it");
        return siblings.length === 1;
      }, "the silent owner's write");
    }));

  test("goes to no owner that is still starting while another one answers", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster, (hosts) => hosts[3] === "h1");
      const starting = walk[0]!;
      cluster.kill(starting);
      // Above what the host that was killed took to answer.
      cluster.network.delayMs = [5, 5];
      for (let i = 0; i < 10; i++) await cluster.node("h1").put("b", name, utf8("v"));
      cluster.stranger(starting).serve(() => new Promise(() => {}));
      await seen(cluster.node("h1"), starting, true);
      await cluster.node("h1").put("b", name, utf8("w"));
    }));

  test("whose owner finds too few others in time is told so, for the owner gives up first", () =>
    withCluster(
      5,
      async (cluster) => {
        const { name, walk } = await placed(cluster);
        const ended = new AbortController();
        const end = new Promise((resolve) => ended.signal.addEventListener("abort", resolve));
        for (const owner of walk.slice(0, 3)) {
          intercept(cluster, owner, (_to, body) => (body[0] === methods.replicate.number ? end : undefined));
        }
        const writing = cluster.node(walk[3]!).put("b", name, utf8("v"), { w: 2, timeoutMs: 2_000 });
        await assert.rejects(writing, failsWith("quorum-not-met"));
        ended.abort();
      },
      { replicaTimeoutMs: 60_000 },
    ));

  test("is passed on to the next owner when one refuses, as often as it takes", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      cluster.disk(walk[0]!).refusesWrites = "full";
      cluster.disk(walk[1]!).refusesWrites = "full";
      await cluster.node(walk[3]!).put("b", name, utf8("v"), { w: "one" });
      assert.deepEqual(texts((await cluster.node(walk[2]!).getLocal("b", name)).siblings), ["v"]);
      cluster.disk(walk[2]!).refusesWrites = "full";
      await assert.rejects(cluster.node(walk[3]!).put("b", name, utf8("w"), { w: "one" }), failsWith("storage-full"));
    }));

  test("is passed on to nobody after an owner whose disk ran full in the middle of it, and may survive there", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      for (const owner of walk.slice(0, 3)) {
        cluster.disk(owner).writesWhatItRefuses = true;
        cluster.disk(owner).refusesWrites = "full";
      }
      const forwarded = sentBy(cluster, walk[3]!, methods.write);
      await assert.rejects(cluster.node(walk[3]!).put("b", name, utf8("v"), { w: "one" }), (error: unknown) => {
        return failsWith("storage-full")(error) && (error as StoreError).detail.nothingWritten === undefined;
      });
      assert.equal(forwarded.length, 1);
    }));

  test("is forwarded once: a host that is no owner does not pass on what was passed on to it", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster, (hosts) => hosts[3] !== "h1");
      const forwarded = { ring: (await cluster.node("h1").status()).ring, life: 1 };
      const request = { key: `b/${name}`, body: utf8("v"), folds: [], forwarded };
      const asked = call(cluster.transport("h1"), walk[3] as NodeId, methods.write, request, 1_000);
      await assert.rejects(asked, failsWith("not-ready"));
    }));

  test("is not minted by an owner that is about to stop: nobody would be told of it", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster, (hosts) => hosts[3] === "h1");
      const owner = walk[0]!;
      // What runs is waited for: a copy that is on its way.
      let end = (): void => {};
      const gate = new Promise<void>((resolve) => (end = resolve));
      intercept(cluster, owner, (_to, body) => (body[0] === methods.replicate.number ? gate : undefined));
      await cluster.node(owner).put("b", name, utf8("v"), { w: "one" });
      const stopped = cluster.node(owner).stop();
      const forwarded = { ring: (await cluster.node("h1").status()).ring, life: 1 };
      const request = { key: `b/${name}`, body: utf8("w"), folds: [], w: "one", forwarded };
      const answer = call(cluster.transport("h1"), owner as NodeId, methods.write, request, 1_000);
      await assert.rejects(answer, { code: "not-ready", message: /is stopping/ });
      end();
      await stopped;
    }));

  test("keeps the refusal of a precondition as it is", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const node = cluster.node(walk[3]!);
      await node.put("b", name, utf8("v"), { ifAbsent: true });
      await assert.rejects(node.put("b", name, utf8("w"), { ifAbsent: true }), failsWith("precondition-failed"));
    }));
});
