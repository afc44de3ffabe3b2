/** What becomes, at an edge that has it, of what all hosts have deleted and forgotten meanwhile. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { texts, utf8 } from "../../support/values.ts";
import { altered, asked, connectedToOne, reader, still } from "./reads-scene.ts";
import { forgetful, valuesOf, withEdges } from "./scene.ts";

describe("what hosts have forgotten", { concurrency: true }, () => {
  /** The edge has read a value of `b/k` that all hosts then forget, as deleted. */
  async function forget(cluster: MemoryCluster, edge: EdgeNode): Promise<void> {
    const host = cluster.node("h1");
    const { context } = await host.put("b", "k", utf8("v"), { w: "all" });
    assert.deepEqual(await valuesOf(edge, "k"), ["v"]);
    await host.delete("b", "k", { context: context!, w: "all" });
    const isForgotten = async () => (await host.get("b", "k", { r: "all" })).context === null;
    await eventually(isForgotten, "the key to be forgotten");
  }

  test("goes from an edge too, also from a copy for which memory has no room", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster, { cacheBytesMax: 0 });
        await forget(cluster, edge);
        assert.equal((await edge.get("b", "k")).context, null);
        assert.equal((await edge.get("b", "k", { r: "local" })).context, null);
      },
      { ...still, ...forgetful },
    ));

  test("goes from an edge too where reads ask for one copy", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster);
        await forget(cluster, edge);
        assert.equal((await edge.get("b", "k")).context, null);
      },
      { ...still, ...forgetful, r: "one" },
    ));

  for (const [how, isConnected] of [
    ["owners that it asks itself", true],
    ["a host that it asks", false],
  ] as const) {
    test(`does not come back beside what one of ${how} tells`, () =>
      withEdges(
        3,
        async (edges, cluster) => {
          const edge = await reader(edges, cluster);
          await forget(cluster, edge);
          await cluster.node("h1").put("b", "k", utf8("new"), { w: "all" });
          // The one host that is left is an owner, whose copy would do.
          if (!isConnected) {
            await connectedToOne(edges, cluster);
            asked(edges, "e1", altered(edges, { counts: false }));
          }
          const read = await edge.get("b", "k", { r: "one" });
          assert.deepEqual([texts(read.siblings), read.degraded], [["new"], false]);
          assert.deepEqual(await valuesOf(edge, "k", "local"), ["new"]);
        },
        { ...still, ...forgetful },
      ));
  }

  test("stays where one host is left that has told another value, and the answer says that too few were asked", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster);
        await forget(cluster, edge);
        await cluster.node("h1").put("b", "k", utf8("new"), { w: "all" });
        for (const host of ["h2", "h3"]) cluster.kill(host);
        const read = await edge.get("b", "k", { r: "one" });
        assert.deepEqual([texts(read.siblings).toSorted(), read.degraded], [["new", "v"], true]);
      },
      { ...still, ...forgetful },
    ));

  test("does not come back beside an own write that is acknowledged while a quorum is asked", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await reader(edges, cluster);
        await forget(cluster, edge);
        let release: () => void = () => {};
        const released = new Promise<void>((resolve) => (release = resolve));
        const transport = edges.transport("e1");
        const request = transport.request.bind(transport);
        const requests = asked(edges, "e1", async (to, body) => {
          const answer = await request(to, body, 60_000);
          if (body[0] === methods.edgeFetch.number) await released;
          return answer;
        });
        const read = edge.get("b", "k");
        await eventually(() => requests.length === 2, "a quorum to be asked");
        await edge.put("b", "k", utf8("own"));
        release();
        assert.deepEqual(texts((await read).siblings), ["own"]);
      },
      { ...still, ...forgetful },
    ));
});
