import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { NodeId } from "../../../core/identity.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { texts, utf8 } from "../../support/values.ts";
import { flushed, offline, online, watching, withEdges } from "./scene.ts";

describe("an edge that watches", { concurrency: true }, () => {
  test("a key is shown its state, each change of others, and its own at once", () =>
    withEdges(3, async (edges, cluster) => {
      await cluster.node("h1").put("b", "k", utf8("v1"), { w: "all" });
      const edge = await edges.connected("e1");
      await watching(edge, { name: "k" }, async ({ all, shows }) => {
        await shows("k", "v1");
        const { context } = await cluster.node("h2").get("b", "k");
        await cluster.node("h2").put("b", "k", utf8("v2"), { context: context! });
        await shows("k", "v2");
        const read = await edge.get("b", "k");
        await edge.put("b", "k", utf8("v3"), { context: read.context! });
        await shows("k", "v3");
        await eventually(() => edge.facts().settled, "the edge to be settled");
        const origins = new Map(all.map(({ siblings, origin }) => [texts(siblings)[0], origin]));
        assert.deepEqual(
          [...origins],
          [
            ["v1", "remote"],
            ["v2", "remote"],
            ["v3", "local"],
          ],
        );
        const own = (): boolean[] =>
          all.filter(({ siblings }) => texts(siblings)[0] === "v3").map(({ pending }) => pending);
        await eventually(() => own().length === 2, "the acknowledgement to be shown");
        assert.deepEqual(own(), [true, false]);
      });
    }));

  test("a key that is not there is told so, from its host", () =>
    withEdges(1, async (edges) => {
      const edge = await edges.connected("e1");
      await watching(edge, { name: "k" }, async ({ all, shows }) => {
        await shows("k", "");
        assert.deepEqual([all[0]?.source, all[0]?.siblings.length], ["quorum", 0]);
      });
    }));

  test("a key of which its host can tell nothing is not told by hosts that it is absent", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const put = (): Promise<boolean> =>
          cluster
            .node("h1")
            .put("b", "k", utf8("v"), { w: "all" })
            .then(
              () => true,
              () => false, // a busy host is late for such timeouts
            );
        await eventually(put, "all hosts to have the key");
        for (const host of ["h2", "h3"]) cluster.kill(host);
        const edge = await edges.connected("e1", { config: { requestTimeoutMs: 300 } });
        await watching(edge, { name: "k" }, async ({ all }) => {
          await eventually(() => all.length > 0, "something to be told");
          const [first] = all;
          assert.deepEqual([first!.siblings, first!.source, first!.degraded], [[], "local", true]);
        });
      },
      { requestTimeoutMs: 300, replicaTimeoutMs: 100 },
    ));

  test("a prefix is shown what is under it, what comes and what goes, offline its own", () =>
    withEdges(3, async (edges, cluster) => {
      for (const name of ["a1", "a2", "c1"]) await cluster.node("h1").put("b", name, utf8("v"), { w: "all" });
      const edge = await edges.connected("e1");
      await watching(edge, { prefix: "a" }, async ({ all, shows }) => {
        await shows("a1", "v");
        await shows("a2", "v");
        await cluster.node("h2").put("b", "a3", utf8("new"));
        await shows("a3", "new");
        edges.cut("e1");
        await offline(edge);
        await edge.put("b", "a4", utf8("offline"));
        await shows("a4", "offline");
        const { context } = await cluster.node("h3").get("b", "a1");
        await cluster.node("h3").delete("b", "a1", { context: context! });
        edges.heal("e1");
        await shows("a1", "");
        assert.ok(!all.some(({ name }) => name === "c1"));
      });
    }));

  test("misses nothing when the host that told it of changes dies, and when it comes back", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1", { seeds: ["memory:h1", "memory:h2", "memory:h3"] });
      await watching(edge, { prefix: "" }, async ({ shows }) => {
        let written = 0;
        const write = async (host: string): Promise<void> => {
          written += 1;
          await cluster.node(host).put("b", `k${written}`, utf8("v"));
        };
        for (const host of ["h1", "h2", "h3"]) {
          const other = host === "h1" ? "h2" : "h1";
          for (let i = 0; i < 3; i++) await write(other);
          cluster.kill(host);
          for (let i = 0; i < 3; i++) await write(other);
          await cluster.start(host);
          await cluster.settled();
          for (let i = 0; i < 3; i++) await write(other);
        }
        for (let i = 1; i <= written; i++) await shows(`k${i}`, "v");
      });
    }));

  test("turns to another host when its own cannot read what changed", () =>
    withEdges(3, async (edges, cluster) => {
      await cluster.node("h1").put("b", "k", utf8("v1"), { w: "all" });
      const edge = await edges.connected("e1", { seeds: ["memory:h1", "memory:h2", "memory:h3"] });
      const { context } = await edge.get("b", "k");
      const transport = edges.transport("e1");
      const request = transport.request.bind(transport);
      let asked: NodeId | undefined;
      transport.request = (to, body, timeoutMs) => {
        if (body[0] === methods.edgeWatch.number && asked === undefined) {
          asked = to;
          for (const host of cluster.nodes.keys()) if (host !== to) cluster.network.cut(to, host as NodeId);
        }
        return request(to, body, timeoutMs);
      };
      await watching(edge, { prefix: "" }, async ({ shows }) => {
        await shows("k", "v1");
        await eventually(() => asked !== undefined, "a host to be asked");
        const other = [...cluster.nodes].find(([host]) => host !== asked)![1];
        await other.put("b", "k", utf8("v2"), { context: context! });
        await shows("k", "v2");
      });
    }));

  test("again is shown what was deleted since, though it has no copy any more, and nothing else as gone", () =>
    withEdges(3, async (edges, cluster) => {
      await cluster.node("h1").put("b", "kept", utf8("v"), { w: "all" });
      const edge = await edges.connected("e1");
      await watching(edge, { prefix: "", shown: ["kept", "gone"] }, async ({ all, shows }) => {
        await shows("kept", "v");
        await shows("gone", "");
        assert.ok(all.every(({ name, siblings }) => (name === "gone") === (siblings.length === 0)));
      });
    }));

  test("is shown what another edge writes, and settles the moment all is compared", () =>
    withEdges(3, async (edges) => {
      const [one, two] = [await edges.connected("e1"), await edges.connected("e2")];
      await watching(two, { name: "k" }, async ({ shows }) => {
        await shows("k", "");
        await eventually(() => two.facts().settled, "the watcher to have compared");
        await one.put("b", "k", utf8("of one"));
        await shows("k", "of one");
      });
    }));
});

describe("an edge whose copies take too much room", { concurrency: true }, () => {
  test("lets go of those that it used longest ago, never of unsent writes nor what they build on", () =>
    withEdges(3, async (edges, cluster) => {
      const body = new Uint8Array(1_000);
      for (let i = 0; i < 20; i++) await cluster.node("h1").put("b", `k${i}`, body, { w: "all" });
      const edge = await edges.connected("e1", { config: { copyBytesMax: 8_000, cacheBytesMax: 2_000 } });
      const { context } = await edge.get("b", "k0");
      edges.cut("e1");
      await offline(edge);
      await edge.put("b", "k0", utf8("unsent"), { context: context! });
      edges.heal("e1");
      await online(edge);
      const held = (): Promise<number> =>
        edges
          .disk("e1")
          .page("objects", { limit: 100 })
          .then(({ rows }) => rows.length);
      for (let i = 1; i < 20; i++) await edge.get("b", `k${i}`);
      await eventually(async () => (await held()) <= 7, "copies to go");
      await flushed(edge);
      edges.cut("e1");
      await offline(edge);
      const isKnown = async (name: string): Promise<boolean> => (await edge.get("b", name)).siblings.length > 0;
      assert.deepEqual([await isKnown("k1"), await isKnown("k19"), await isKnown("k18")], [false, true, true]);
    }));

  test("keeps what unsent writes build on: their context is whole when they are sent", () =>
    withEdges(3, async (edges, cluster) => {
      const body = new Uint8Array(1_000);
      await cluster.node("h1").put("b", "first", utf8("old"), { w: "all" });
      for (let i = 0; i < 20; i++) await cluster.node("h1").put("b", `k${i}`, body, { w: "all" });
      const edge = await edges.connected("e1", { config: { copyBytesMax: 4_000, cacheBytesMax: 2_000 } });
      await edge.get("b", "first");
      edges.cut("e1");
      await offline(edge);
      const { context } = await edge.get("b", "first");
      await edge.put("b", "first", utf8("new"), { context: context! });
      for (let i = 0; i < 20; i++) await edge.put("b", `own${i}`, body);
      assert.deepEqual(texts((await edge.get("b", "first")).siblings), ["new"]);
      await edges.kill("e1");
      edges.heal("e1");
      const again = await edges.connected("e1", { config: { copyBytesMax: 4_000, cacheBytesMax: 2_000 } });
      await flushed(again);
      assert.deepEqual(texts((await cluster.node("h2").get("b", "first", { r: "all" })).siblings), ["new"]);
    }));

  test("writes under another actor than that which a forgotten copy named", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1", { config: { copyBytesMax: 3_000 } });
      const actorOf = (dot: string): string => dot.split(":")[0]!;
      const first = await edge.put("b", "k", utf8("v1"), { w: "all" });
      const same = await edge.put("b", "k2", utf8("v1"), { w: "all" });
      assert.equal(actorOf(same.dot), actorOf(first.dot));
      const body = new Uint8Array(1_000);
      for (let i = 0; i < 10; i++) await cluster.node("h1").put("b", `big${i}`, body, { w: "all" });
      for (let i = 0; i < 10; i++) await edge.get("b", `big${i}`);
      const read = await edge.get("b", "k");
      const next = await edge.put("b", "k", utf8("v2"), { context: read.context! });
      assert.notEqual(actorOf(next.dot), actorOf(first.dot));
      assert.deepEqual(texts((await cluster.node("h1").get("b", "k", { r: "all" })).siblings), ["v2"]);
    }));

  test("that are damaged are read anew from hosts", () =>
    withEdges(3, async (edges, cluster) => {
      await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
      const edge = await edges.connected("e1", { config: { cacheBytesMax: 0 } });
      await edge.get("b", "k");
      const { rows } = await edges.disk("e1").page("objects", { limit: 1 });
      await edges.disk("e1").rot("objects", rows[0]!.key);
      assert.deepEqual(texts((await edge.get("b", "k")).siblings), ["v"]);
      assert.ok(edges.events.some(({ event }) => event.kind === "corrupt-record"));
    }));
});
