/** Whom a watch of one key follows, as hosts come to own it and own it no more; and its end, with the membership. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { sweepIntervalMs } from "../../core/cluster/health.ts";
import type { NodeId } from "../../core/identity.ts";
import { methods } from "../../core/rpc/rpc.ts";
import { eventually } from "../support/eventually.ts";
import type { MemoryCluster } from "../support/memory-cluster.ts";
import { failsWith, texts, utf8 } from "../support/values.ts";
import { intercept, patient, placed, sentBy, withCluster } from "./coordinate/scene.ts";
import { Watcher, watching } from "./watcher.ts";

test("who comes to own what it watches misses nothing that others tell of before its own copy has it", () =>
  withCluster(
    4,
    async (cluster) => {
      const { name, walk } = await placed(cluster);
      const [first, second, leaving, watcherAt] = walk as [string, string, string, string];
      const node = cluster.node(watcherAt);
      await watching(node, { name }, async (watcher) => {
        await watcher.shows(name, "");
        await cluster.node(first).put("b", name, utf8("v1"), { w: "all" });
        await watcher.shows(name, "v1");
        await cluster.node(leaving).changeRing({ kind: "leave", host: leaving });
        await eventually(
          async () => (await node.getLocal("b", name)).holding === "complete",
          `${watcherAt} to hold the key as its owner`,
        );
        let release = (): void => {};
        const released = new Promise<void>((resolve) => (release = resolve));
        for (const host of [first, second]) {
          intercept(cluster, host, (to, body) =>
            to === watcherAt && body[0] === methods.replicate.number ? released : undefined,
          );
        }
        const { context } = await cluster.node(first).get("b", name);
        await cluster.node(first).put("b", name, utf8("v2"), { context: context!, w: "one" });
        await pause(200); // what is told of it is told
        release();
        await watcher.shows(name, "v2");
      });
    },
    { r: "one" },
  ));

/** `host` asks `peer` last from now on, for it has answered slowly. */
async function asksLast(cluster: MemoryCluster, host: string, peer: string): Promise<void> {
  const transport = cluster.transport(host);
  const peers = transport.peers.bind(transport);
  transport.peers = () =>
    [...peers()].map((each) => (each.id === peer ? { ...each, rttMs: 10_000, rttP95Ms: 10_000 } : each));
  await pause(3 * sweepIntervalMs); // its health sees that
}

test("who owns nothing of what it watches misses nothing that one owner tells of before those that it reads from have it", () =>
  withCluster(
    4,
    async (cluster) => {
      const { name, walk } = await placed(cluster);
      const [first, second, third, outsider] = walk as [string, string, string, string];
      await asksLast(cluster, outsider, first);
      await watching(cluster.node(outsider), { name }, async (watcher) => {
        await watcher.shows(name, "");
        await cluster.node(first).put("b", name, utf8("v1"), { w: "all" });
        await watcher.shows(name, "v1");
        let release = (): void => {};
        const released = new Promise<void>((resolve) => (release = resolve));
        intercept(cluster, first, (_to, body) => (body[0] === methods.replicate.number ? released : undefined));
        const asked = sentBy(cluster, outsider, methods.fetch);
        const { context } = await cluster.node(first).get("b", name);
        await cluster.node(first).put("b", name, utf8("v2"), { context: context!, w: "one" });
        await eventually(() => asked.length >= 2, `${outsider} to read what ${first} has told of`);
        await pause(200); // it is answered
        assert.deepEqual([watcher.values.at(-1), asked.includes(first as NodeId)], ["v1", false]);
        release();
        await watcher.shows(name, "v2");
        assert.deepEqual(new Set(asked), new Set([second, third]));
      });
    },
    { ...patient, readRepairShare: 0 },
  ));

for (const refusal of ["full", "io"] as const)
  test(`an owner whose disk refuses writes (${refusal}) hears of what the others take, and follows itself again afterwards`, () =>
    withCluster(
      3,
      async (cluster) => {
        const { name, walk } = await placed(cluster);
        const [first, , watcherAt] = walk as [string, string, string];
        const node = cluster.node(watcherAt);
        await watching(node, { name }, async (watcher) => {
          await watcher.shows(name, "");
          await cluster.node(first).put("b", name, utf8("v1"), { w: "all" });
          await watcher.shows(name, "v1");
          cluster.disk(watcherAt).refusesWrites = refusal;
          for (const value of ["v2", "v3"]) {
            const { context } = await cluster.node(first).get("b", name);
            await cluster.node(first).put("b", name, utf8(value), { context: context! });
            await watcher.shows(name, value);
          }
          cluster.disk(watcherAt).refusesWrites = undefined;
          await eventually(async () => (await node.status()).storage.state === "ok", "its disk to take writes");
          const { context } = await cluster.node(first).get("b", name);
          await cluster.node(first).put("b", name, utf8("v4"), { context: context!, w: "all" });
          await watcher.shows(name, "v4");
        });
      },
      patient,
    ));

test("a watch of a key goes on when its host owns the key no more", () =>
  withCluster(3, async (cluster) => {
    const names = Array.from({ length: 12 }, (_, i) => `k${i}`);
    const end = new AbortController();
    const told = new Map<string, string>();
    const watches = names.map(async (name) => {
      for await (const { siblings } of cluster.node("h1").watch("b", { name }, end.signal)) {
        told.set(name, texts(siblings).join());
      }
    });
    await eventually(() => told.size === names.length, "the present state");
    for (const host of ["h4", "h5", "h6"]) await cluster.join(host);
    await cluster.settled(6);
    for (const name of names) await cluster.node("h5").put("b", name, utf8("moved"));
    const limit = new Promise((resolve) => setTimeout(resolve, 3_000));
    const allTold = eventually(() => names.every((name) => told.get(name) === "moved"), "every key").catch(() => {});
    await Promise.race([allTold, limit]);
    end.abort();
    await Promise.all(watches);
    assert.deepEqual(
      names.filter((name) => told.get(name) !== "moved"),
      [],
    );
  }));

test("the watches of a host that is removed end with the reason, and it takes no more", () =>
  withCluster(3, async (cluster) => {
    const node = cluster.node("h3");
    const ends: unknown[] = [];
    for (const what of [{ name: "k" }, { prefix: "" }]) {
      const watcher = new Watcher(node, what);
      void watcher.done.then(
        () => ends.push("without a reason"),
        (error: unknown) => ends.push(error),
      );
      await cluster.node("h1").put("b", "k", utf8("v"));
      await eventually(() => watcher.told.some(({ name }) => name === "k"), "the watcher to be told of k");
    }
    await cluster.node("h1").changeRing({ kind: "remove", host: "h3", force: true });
    await eventually(() => ends.length === 2, "both watches to end");
    assert.deepEqual(ends.map(failsWith("not-member")), [true, true]);
    const watch = () => node.watch("b", { name: "k" }, new AbortController().signal);
    assert.throws(watch, failsWith("not-member"));
  }));
