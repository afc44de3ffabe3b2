import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import { OutboxRow } from "../../../core/edge/outbox.ts";
import { StoreError } from "../../../core/errors.ts";
import { type ExportItem, exportStream, readExport } from "../../../core/storage/export-stream.ts";
import type { StoreNode } from "../../../core/store-node.ts";
import { collected } from "../../support/collected.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { patient } from "../coordinate/scene.ts";
import { atEachHost, atHosts, flushed, forgetful, offline, valuesOf, withEdges } from "./scene.ts";

type Portable = Pick<StoreNode, "export" | "import">;

const exported = async (node: Pick<Portable, "export">): Promise<Uint8Array> =>
  Buffer.concat(await collected(node.export()));

async function* once(all: Uint8Array): AsyncGenerator<Uint8Array> {
  yield all;
}

const imported = (node: Pick<Portable, "import">, all: Uint8Array) => node.import(once(all));

async function* listed(items: readonly ExportItem[]): AsyncGenerator<ExportItem> {
  yield* items;
}

/** What an edge answers without hosts, of some keys. */
const locally = async (edge: EdgeNode, names: readonly string[]) =>
  Promise.all(names.map(async (name) => valuesOf(edge, name, "local")));

/** Of a key two siblings, and one that is deleted. */
async function fill(cluster: MemoryCluster): Promise<void> {
  const host = cluster.node("h1");
  for (const value of ["one", "two"]) await host.put("b", "siblings", utf8(value), { w: "all" });
  const { context } = await host.put("b", "deleted", utf8("v"), { w: "all" });
  await host.delete("b", "deleted", { context: context!, w: "all" });
  await host.put("b", "plain", utf8("v"), { w: "all" });
}

const names = ["siblings", "deleted", "plain", "unsent"];

describe("an edge's export", { concurrency: true }, () => {
  test("makes an empty edge what this one is, contexts too, and a diverged one both", () =>
    withEdges(3, async (edges, cluster) => {
      await fill(cluster);
      const edge = await edges.connected("e1");
      for (const name of names) await edge.get("b", name);
      const all = await exported(edge);
      const other = await edges.start("e2", { seeds: [] });
      assert.deepEqual(await imported(other, all), { keys: 3, writes: 0, outdated: 0, failed: 0 });
      assert.deepEqual(await locally(other, names), [["one", "two"], [], ["v"], []]);
      // What it writes with an imported context has seen what that covers.
      const { context } = await other.get("b", "siblings");
      await other.put("b", "siblings", utf8("merged"), { context: context! });
      await edges.transport("e2").meet("memory:h1");
      await flushed(other);
      assert.deepEqual(await atHosts(cluster, "siblings"), ["merged"]);
      await imported(other, all);
      assert.deepEqual(await valuesOf(other, "siblings", "local"), ["merged"], "nothing that was replaced comes back");
      assert.deepEqual(await imported(edge, await exported(other)), { keys: 3, writes: 0, outdated: 0, failed: 0 });
      assert.deepEqual(await valuesOf(edge, "siblings", "local"), ["merged"]);
    }));

  test("brings unsent writes to the same edge in a new storage, once and under their dots", () =>
    withEdges(3, async (edges, cluster) => {
      await fill(cluster);
      const edge = await edges.connected("e1");
      await edge.get("b", "plain");
      edges.cut("e1");
      await offline(edge);
      const { context } = await edge.get("b", "plain");
      const first = await edge.put("b", "plain", utf8("v2"), { context: context! });
      const second = await edge.put("b", "unsent", utf8("new"));
      const all = await exported(edge);
      await edges.kill("e1");
      for (const ns of ["objects", "hints", "meta"] as const) await edges.disk("e1").clear(ns, {});
      const again = await edges.start("e1", { seeds: [] });
      assert.equal((await imported(again, all)).writes, 2);
      assert.equal((await imported(again, all)).writes, 0, "they are known by then");
      assert.equal(again.facts().pending, 2);
      edges.heal("e1");
      await edges.transport("e1").meet("memory:h1");
      await flushed(again);
      const dots = async (name: string) =>
        (await cluster.node("h2").get("b", name, { r: "all" })).siblings.map(({ dot }) => dot);
      assert.deepEqual([await dots("plain"), await dots("unsent")], [[first.dot], [second.dot]]);
      assert.equal((await imported(again, all)).writes, 0);
      await flushed(again);
      assert.deepEqual([await atHosts(cluster, "plain"), await atHosts(cluster, "unsent")], [["v2"], ["new"]]);
    }));

  test("never brings back at hosts what was deleted since", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      edges.cut("e1");
      await offline(edge);
      await edge.put("b", "k", utf8("v"));
      const all = await exported(edge);
      edges.heal("e1");
      await flushed(edge);
      const { context } = await cluster.node("h1").get("b", "k", { r: "all" });
      await cluster.node("h1").delete("b", "k", { context: context!, w: "all" });
      await edges.kill("e1");
      for (const ns of ["objects", "hints", "meta"] as const) await edges.disk("e1").clear(ns, {});
      const again = await edges.connected("e1");
      await imported(again, all);
      await flushed(again);
      assert.deepEqual(await atEachHost(cluster, "k"), [[], [], []]);
      assert.deepEqual(await valuesOf(again, "k"), []);
    }));

  test("has another edge's unsent writes parked there, with their values", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      const { dot } = await edge.put("b", "k", utf8("v"));
      const other = await edges.connected("e2");
      const all = await exported(edge);
      await imported(other, all);
      await imported(other, all);
      const [parked, ...more] = await other.parked();
      assert.equal(more.length, 0);
      assert.deepEqual(
        [parked!.name, parked!.dot, texts([{ ...parked!, body: parked!.body! }]), parked!.error.code],
        ["k", dot, ["v"], "outcome-unknown"],
      );
      assert.deepEqual([other.facts().pending, await atHosts(cluster, "k")], [0, []]);
      await other.discard(parked!);
    }));

  test("has no write parked of another edge that hosts are known to have", () =>
    withEdges(3, async (edges) => {
      const edge = await edges.start("e1", { seeds: [] });
      await edge.put("b", "k", utf8("v"));
      const all = await exported(edge);
      await edges.transport("e1").meet("memory:h1");
      await flushed(edge);
      const other = await edges.connected("e2");
      assert.deepEqual(await valuesOf(other, "k"), ["v"]);
      assert.equal((await imported(other, all)).writes, 0);
      assert.deepEqual(await other.parked(), []);
    }));

  test("is refused where a write of its own is named twice, and differently", () =>
    withEdges(1, async (edges) => {
      const edge = await edges.start("e1", { seeds: [] });
      await edge.put("b", "k", utf8("v"));
      const items = await collected(readExport(once(await exported(edge))));
      const bad = items.flatMap((item): ExportItem[] => {
        if (item.kind !== "write") return [];
        const row = OutboxRow.decode(item.row);
        return [{ kind: "write", row: OutboxRow.encode({ ...row, event: { ...row.event, counter: 7 } }) }];
      });
      const [head] = items;
      assert.ok(head?.kind === "head" && bad.length === 1);
      const all = Buffer.concat(await collected(exportStream(head.head, listed(bad))));
      await assert.rejects(imported(edge, all), failsWith("bad-request"));
      assert.equal(edge.facts().pending, 1);
    }));

  test("is refused, and changes nothing, where it is of another cluster or damaged at its head", () =>
    withEdges(3, async (edges, cluster) => {
      await fill(cluster);
      const edge = await edges.connected("e1");
      for (const name of names) await edge.get("b", name);
      const all = await exported(edge);
      const other = await edges.start("e2", { seeds: [] });
      for (const bad of [
        new Uint8Array(0),
        utf8("nothing"),
        all.slice(1),
        Uint8Array.from(all, (b, i) => (i === 9 ? b ^ 1 : b)),
      ]) {
        await assert.rejects(imported(other, bad), failsWith("bad-request"));
      }
      assert.deepEqual(await locally(other, names), [[], [], [], []]);
      // What came before the damage is there, and the rest when the whole comes.
      await assert.rejects(imported(other, all.slice(0, -20)), failsWith("bad-request"));
      await imported(other, all);
      assert.deepEqual(await locally(other, names), [["one", "two"], [], ["v"], []]);
    }));

  test("is refused by a storage that is full, as any write is, and taken when there is room", () =>
    withEdges(1, async (edges) => {
      const edge = await edges.start("e1", { seeds: [] });
      await edge.put("b", "k", utf8("v"));
      const all = await exported(edge);
      await edges.kill("e1");
      for (const ns of ["objects", "hints", "meta"] as const) await edges.disk("e1").clear(ns, {});
      const again = await edges.start("e1", { seeds: [] });
      edges.disk("e1").refusesWrites = "full";
      await assert.rejects(
        imported(again, all),
        (error) => error instanceof StoreError && error.code === "storage-full",
      );
      edges.disk("e1").refusesWrites = undefined;
      await imported(again, all);
      assert.deepEqual(await valuesOf(again, "k", "local"), ["v"]);
    }));
});

describe("a host's export", { concurrency: true }, () => {
  test("brings everything to an empty cluster's hosts of that name, and changes nothing where it came from", () =>
    withEdges(3, async (edges, cluster) => {
      await fill(cluster);
      const all = await exported(cluster.node("h1").portable);
      const before = await Promise.all(names.map((name) => atEachHost(cluster, name)));
      assert.deepEqual(await imported(cluster.node("h2").portable, all), {
        keys: 3,
        writes: 0,
        outdated: 0,
        failed: 0,
      });
      assert.deepEqual(await Promise.all(names.map((name) => atEachHost(cluster, name))), before);
      await withEdges(2, async (_edges, empty) => {
        assert.equal((await imported(empty.node("h2").portable, all)).keys, 3);
        assert.deepEqual(await atEachHost(empty, "siblings"), [
          ["one", "two"],
          ["one", "two"],
        ]);
        assert.deepEqual(await atEachHost(empty, "deleted"), [[], []]);
      });
      // An edge takes it as copies.
      const edge = await edges.start("e1", { seeds: [] });
      await imported(edge, all);
      assert.deepEqual(await locally(edge, names), [["one", "two"], [], ["v"], []]);
    }));

  test("does not bring back what was deleted, or replaced, since", () =>
    withEdges(3, async (_edges, cluster) => {
      await fill(cluster);
      const all = await exported(cluster.node("h1").portable);
      for (const name of ["siblings", "plain"]) {
        const { context } = await cluster.node("h1").get("b", name);
        await cluster.node("h1").delete("b", name, { context: context!, w: "all" });
      }
      await imported(cluster.node("h3").portable, all);
      assert.deepEqual(await atEachHost(cluster, "siblings"), [[], [], []]);
      assert.deepEqual(await atEachHost(cluster, "plain"), [[], [], []]);
    }));

  test("does not bring back what was deleted and forgotten since, but tells how much it left out", () =>
    withEdges(
      3,
      async (_edges, cluster) => {
        await fill(cluster);
        const host = cluster.node("h1");
        const all = await exported(host.portable);
        const { context } = await host.get("b", "plain", { r: "all" });
        await host.delete("b", "plain", { context: context!, w: "all" });
        const isForgotten = async () => (await host.get("b", "plain", { r: "all" })).context === null;
        await eventually(isForgotten, "the key to be forgotten");
        const { outdated } = await imported(cluster.node("h2").portable, all);
        assert.ok(outdated >= 1, String(outdated));
        assert.equal((await host.get("b", "plain", { r: "all" })).context, null);
      },
      forgetful,
    ));

  test("is taken whole by its ring, although one founded apart had forgotten something there before they met", () =>
    withEdges(
      1,
      async (_edges, cluster) => {
        const host = cluster.node("h1");
        await host.put("b", "plain", utf8("v"));
        const all = await exported(host.portable);
        const apart = await cluster.start("g1", { config: { ...patient, ...forgetful } });
        const { context } = await apart.put("b", "plain", utf8("theirs"));
        await apart.delete("b", "plain", { context: context! });
        const isForgotten = async () => (await apart.get("b", "plain")).context === null;
        await eventually(isForgotten, "the key to be forgotten");
        cluster.kill("g1");
        await cluster.start("g1", { seeds: ["memory:h1"], config: { ...patient, ...forgetful } });
        await cluster.settled(2);
        assert.deepEqual(await imported(host.portable, all), { keys: 1, writes: 0, outdated: 0, failed: 0 });
        assert.deepEqual(await atEachHost(cluster, "plain"), [["v"], ["v"]]);
      },
      forgetful,
    ));
});
