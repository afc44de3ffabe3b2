import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import { failsWith, utf8 } from "../../support/values.ts";
import { atHosts, flushed, offline, valuesOf, withEdges } from "./scene.ts";

describe("what hosts refuse for good", { concurrency: true }, () => {
  test("is parked with its value, and holds no other write up", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [] });
        for (let i = 1; i <= 4; i++) await edge.put("b", "k", utf8(`v${i}`));
        const other = await edge.put("b", "other", utf8("o"));
        await edges.transport("e1").meet("memory:h1");
        assert.ok((await other.until("quorum", { timeoutMs: 20_000 })) >= 2);
        await flushed(edge);
        const parked = await edge.parked();
        assert.deepEqual(
          parked.map(({ error }) => error.code),
          ["too-many-siblings"],
        );
        assert.equal((await atHosts(cluster, "k")).length, 3);
        await eventually(() => edge.facts().settled, "nothing to be left");
        // The value is the application's to write anew.
        const { context } = await edge.get("b", "k");
        await edge.put("b", "k", parked[0]!.body!, { context: context!, w: "all" });
        await edge.discard(parked[0]!);
        assert.equal((await atHosts(cluster, "k")).length, 1);
      },
      { siblingsMax: 3 },
    ));

  test("rejects the put that waits for it, and what waits for it to be safe", () =>
    withEdges(
      1,
      async (edges) => {
        const edge = await edges.connected("e1");
        await edge.put("b", "k", utf8("v1"));
        await assert.rejects(edge.put("b", "k", utf8("v2")), failsWith("too-many-siblings"));
        edges.cut("e1");
        await offline(edge);
        const third = await edge.put("b", "k", utf8("v3"));
        const refused = assert.rejects(third.until("quorum"), failsWith("too-many-siblings"));
        edges.heal("e1");
        await refused;
        assert.equal((await edge.parked()).length, 2);
      },
      { siblingsMax: 1 },
    ));

  test("also after a restart is parked", () =>
    withEdges(
      1,
      async (edges) => {
        const edge = await edges.connected("e1");
        await edge.put("b", "k", utf8("v1"));
        await assert.rejects(edge.put("b", "k", utf8("v2")), failsWith("too-many-siblings"));
        await edges.kill("e1");
        const again = await edges.start("e1");
        assert.deepEqual(
          (await again.parked()).map(({ error }) => error.code),
          ["too-many-siblings"],
        );
        assert.deepEqual(await valuesOf(again, "k", "local"), ["v1"]);
      },
      { siblingsMax: 1 },
    ));
});
