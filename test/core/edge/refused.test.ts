import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Y from "yjs";
import { actorFromRandom } from "../../../core/causality/actor.ts";
import { contextSecret, sealContext } from "../../../core/causality/context.ts";
import { nothingSeen } from "../../../core/causality/version-set.ts";
import { textOf } from "../../../core/edge/evidence.ts";
import type { Key } from "../../../core/identity.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { atHosts, flushed, offline, valuesOf, withEdges } from "./scene.ts";

/** What another cluster's hosts have seen. */
const ofAnother = { ...nothingSeen, vector: [{ actor: actorFromRandom(new Uint8Array(8)), counter: 3 }] };

/** A cluster that has lost all its disks, and was founded anew: nobody knows what sealed the former contexts. */
async function foundedAnew(cluster: MemoryCluster): Promise<void> {
  cluster.kill("h1");
  cluster.wipe("h1");
  await cluster.start("h1");
}

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

  test("of what an edit of a document has seen is only what hosts cannot open", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      await edge.put("b", "k", utf8("before"), { w: "all" });
      const { context } = await edge.get("b", "k");
      const lost = sealContext(ofAnother, "b/k" as Key, contextSecret(new Uint8Array(32)));
      const subject = { edge: edges.transport("e1").self, key: "b/k" as Key };
      const seen = textOf(subject, { contexts: [lost, context!], own: [] });
      const edit = updateOf("edit");
      await edge.put("b", "k", edit, { kind: "yjs", context: seen!, w: "all" });
      assert.deepEqual(await edge.parked(), []);
      assert.deepEqual(await atHosts(cluster, "k"), texts([{ body: edit }]));
    }));

  for (const kind of ["yjs", "opaque"] as const) {
    const what = kind === "yjs" ? "is not an edit of a document, though" : "is another write, where";
    test(`${what} its context is of a ring that is lost`, () =>
      withEdges(1, async (edges, cluster) => {
        const edge = await edges.connected("e1");
        const [before, edit] = ["before", "edit"].map(kind === "yjs" ? updateOf : utf8) as [Uint8Array, Uint8Array];
        await edge.put("b", "k", before, { kind });
        const { context } = await edge.get("b", "k");
        await edge.delete("b", "k", { context: context! });
        const { context: seen } = await edge.get("b", "k");
        edges.cut("e1");
        await offline(edge);
        await edge.put("b", "k", edit, { kind, context: seen! });
        await foundedAnew(cluster);
        edges.heal("e1");
        await eventually(() => edge.facts().pending === 0, "it to be delivered or parked");
        const codes = (await edge.parked()).map(({ error }) => error.code);
        assert.deepEqual(codes, kind === "yjs" ? [] : ["bad-context"]);
        assert.deepEqual(await atHosts(cluster, "k"), kind === "yjs" ? texts([{ body: edit }]) : []);
      }));
  }
});

function updateOf(text: string): Uint8Array {
  const doc = new Y.Doc();
  doc.getText("body").insert(0, text);
  return Y.encodeStateAsUpdate(doc);
}
