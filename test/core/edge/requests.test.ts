/** A write that is asked for again under its request, as tabs do when the one that ran the node is gone. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import type { PutOptions } from "../../../core/api.ts";
import type { RequestName } from "../../../core/store-node.ts";
import { eventually } from "../../support/eventually.ts";
import { failsWith, utf8 } from "../../support/values.ts";
import { atHosts, flushed, forgetful, valuesOf, withEdges } from "./scene.ts";

const request = "00000000000000a1";
const put = (edge: EdgeNode, options: PutOptions & RequestName = {}) =>
  edge.put("b", "k", utf8("v"), { request, ...options });

describe("a request that is repeated", { concurrency: true }, () => {
  test("while its write waits for hosts is that write, in the same run and in the next", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      const [first, second] = await Promise.all([put(edge), put(edge)]);
      assert.equal(second.dot, first.dot);
      await edges.kill("e1");
      const again = await edges.start("e1", { seeds: [] });
      assert.equal((await put(again)).dot, first.dot);
      assert.equal(again.facts().pending, 1);
      await edges.kill("e1");
      const online = await edges.connected("e1");
      assert.equal((await put(online)).dot, first.dot);
      await flushed(online);
      assert.deepEqual(await atHosts(cluster, "k"), ["v"]);
    }));

  for (const kind of ["opaque", "lww"] as const) {
    test(`after hosts have acknowledged its ${kind} write is answered as before, whatever was written since`, () =>
      withEdges(3, async (edges, cluster) => {
        const edge = await edges.connected("e1");
        const first = await put(edge, { kind });
        assert.equal((await put(edge, { kind })).dot, first.dot);
        await edge.put("b", "k", utf8("later"), { kind, context: first.context! });
        await edges.kill("e1");
        const again = await edges.connected("e1");
        const repeated = await put(again, { kind });
        assert.equal(repeated.dot, first.dot);
        assert.deepEqual(repeated.receipt, first.receipt);
        await flushed(again);
        assert.deepEqual(await atHosts(cluster, "k"), ["later"]);
      }));
  }

  test("finds no conflict in what it has written itself", () =>
    withEdges(3, async (edges) => {
      const edge = await edges.connected("e1");
      const first = await put(edge, { ifAbsent: true });
      await edges.kill("e1");
      const again = await edges.connected("e1");
      assert.equal((await put(again, { ifAbsent: true })).dot, first.dot);
      await assert.rejects(
        put(again, { ifAbsent: true, request: "00000000000000a2" }),
        failsWith("precondition-failed"),
      );
    }));

  test("can be waited for in a later run, until it is as safe as is asked then", () =>
    withEdges(3, async (edges) => {
      const edge = await edges.connected("e1");
      const body = utf8("v");
      const answer = await put(edge, { w: 1 });
      await edges.kill("e1");
      const again = await edges.connected("e1");
      const write = { bucket: "b", name: "k", body, request, answer };
      assert.equal(await again.until(write, "all"), 3);
      assert.deepEqual(await valuesOf(again, "k"), ["v"]);
      await assert.rejects(again.until({ ...write, request: "00000000000000a3" }, "all"), failsWith("outcome-unknown"));
      await assert.rejects(again.until({ ...write, name: "other" }, "all"), failsWith("bad-request"));
    }));

  test("does not bring back what was deleted and forgotten since, however long one waits for it", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.connected("e1");
        const answer = await put(edge, { w: 1 });
        await edge.put("b", "other", utf8("v")); // flushes what is known of the first
        await edges.kill("e1");
        const host = cluster.node("h1");
        const { context } = await host.get("b", "k", { r: "all" });
        await host.delete("b", "k", { context: context!, w: "all" });
        const isForgotten = async () => (await host.get("b", "k", { r: "all" })).context === null;
        await eventually(isForgotten, "the key to be forgotten");
        const again = await edges.connected("e1");
        const write = { bucket: "b", name: "k", body: utf8("v"), request, answer };
        await assert.rejects(again.until(write, "all", { timeoutMs: 5_000 }), failsWith("outcome-unknown"));
        assert.deepEqual(await atHosts(cluster, "k"), []);
      },
      forgetful,
    ));

  test("is known as long as it is among the latest thousand, however often the node was started since", () =>
    withEdges(1, async (edges) => {
      const requestOf = (i: number): string => ((i * 0x9e3779b97f4a7) % 2 ** 52).toString(16).padStart(16, "0");
      const fifty = (edge: EdgeNode, from: number) =>
        Promise.all(
          Array.from({ length: 50 }, (_, i) => edge.put("b", `k${i}`, utf8("v"), { request: requestOf(from + i) })),
        );
      let edge = await edges.connected("e1");
      for (let from = 0; from < 1_000; from += 50) await fifty(edge, from);
      const latest = await put(edge);
      for (let run = 1; run <= 8; run++) {
        await edges.kill("e1");
        edge = await edges.connected("e1");
        await fifty(edge, run * 1_000);
      }
      assert.equal((await put(edge)).dot, latest.dot);
      const { rows } = await edges.disk("e1").page("meta", { limit: 5_000, keysOnly: true });
      assert.ok(rows.length < 1_030, `${rows.length} rows`);
    }));

  test("must be named as a request is", () =>
    withEdges(1, async (edges) => {
      const edge = await edges.connected("e1");
      await assert.rejects(put(edge, { request: "mine" }), failsWith("bad-request"));
    }));
});

test("a request whose asker goes while the edge closes is accepted, and fails nowhere behind the edge's back", () =>
  withEdges(3, async (edges) => {
    const edge = await edges.start("e1");
    const release = edges.disk("e1").hold("writes");
    const asker = new AbortController();
    const put = edge.put("b", "k", utf8("a"), { until: "local", signal: asker.signal });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const closed = edge.close();
    asker.abort();
    release();
    // A rejection that nobody handles fails the test.
    assert.equal((await put).receipt.localOnly, true);
    await closed;
  }));
