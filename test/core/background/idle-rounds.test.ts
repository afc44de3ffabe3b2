import assert from "node:assert/strict";
import { test } from "node:test";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { utf8 } from "../../support/values.ts";
import { eventsOf, sentBy, withCluster } from "../coordinate/scene.ts";

test("after convergence each round is exactly one small request and its answer", () =>
  withCluster(
    3,
    async (cluster) => {
      for (let i = 0; i < 60; i++) await cluster.node("h1").put("b", `k${i}`, utf8("1"), { w: "all" });
      const idle = (): boolean =>
        eventsOf(cluster, "anti-entropy")
          .slice(-9)
          .every(({ bytes }) => bytes <= 52);
      await eventually(() => eventsOf(cluster, "anti-entropy").length > 9 && idle(), "nothing to differ any more");
      const { number: compare } = methods.compare;
      const all = ["compare", "compareLeaves", "compareKeys", "swap", "replicate", "scan", "fetch"] as const;
      const sent = new Map(
        all.map((name) => [name, [...cluster.nodes.keys()].map((host) => sentBy(cluster, host, methods[name]))]),
      );
      const before = eventsOf(cluster, "anti-entropy").length;
      await eventually(() => eventsOf(cluster, "anti-entropy").length >= before + 12, "twelve more rounds");
      const rounds = eventsOf(cluster, "anti-entropy").slice(before);
      const counts = Object.fromEntries([...sent].map(([name, hosts]) => [name, hosts.flat().length]));
      // A round that is under way has sent its request already, and one was under way when the counting began.
      assert.ok(Math.abs(counts["compare"]! - rounds.length) <= cluster.nodes.size, JSON.stringify(counts));
      assert.deepEqual(
        { ...counts, compare },
        { compare, compareLeaves: 0, compareKeys: 0, swap: 0, replicate: 0, scan: 0, fetch: 0 },
      );
      for (const { bytes, roundTrips } of rounds) {
        assert.equal(roundTrips, 1);
        assert.ok(bytes <= 52, `${bytes} bytes both ways`);
      }
    },
    { antiEntropyIntervalMs: 50, readRepairShare: 0 },
  ));
