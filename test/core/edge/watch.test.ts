import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as Y from "yjs";
import type { Watched } from "../../../core/api.ts";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import type { NodeId } from "../../../core/identity.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import type { StoreChange } from "../../../core/store-node.ts";
import { eventually } from "../../support/eventually.ts";
import { texts, utf8 } from "../../support/values.ts";
import { flushed, offline, online, withEdges } from "./scene.ts";

/** What a watcher was shown. */
async function watching(
  edge: EdgeNode,
  what: Watched,
  body: (seen: {
    readonly all: readonly StoreChange[];
    readonly shows: (name: string, value: string) => Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const all: StoreChange[] = [];
  const end = new AbortController();
  const follow = async (): Promise<void> => {
    for await (const change of edge.watch("b", what, end.signal)) all.push(change);
  };
  const done = follow();
  const last = (name: string): string | undefined => {
    const change = all.findLast((each) => each.name === name);
    return change && texts(change.siblings).join("+");
  };
  try {
    await body({
      all,
      shows: (name, value) =>
        eventually(
          () => last(name) === value,
          () => `${name}: ${value}, not ${last(name)}`,
        ),
    });
  } finally {
    end.abort();
    await done;
  }
}

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

  test("a document is told what is new in it and reads nothing; whoever wrote that is told with the answer to his write", () =>
    withEdges(1, async (edges) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const asked = (name: string): Map<number, number> => {
        const counts = new Map<number, number>();
        const transport = edges.transport(name);
        const request = transport.request.bind(transport);
        transport.request = (to, body, timeoutMs) => {
          counts.set(body[0]!, (counts.get(body[0]!) ?? 0) + 1);
          return request(to, body, timeoutMs);
        };
        return counts;
      };
      const [ofWriter, ofReader] = [asked("e1"), asked("e2")];
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on("update", (update) => updates.push(update));
      for (let i = 0; i < 12; i++) doc.getText("body").insert(0, "x");
      const isShown = (all: readonly StoreChange[], count: number): Promise<void> =>
        eventually(() => all.at(-1)?.siblings.length === count, `${count} updates to be shown`);
      await watching(writer, { name: "k" }, (written) =>
        watching(reader, { name: "k" }, async ({ all }) => {
          for (const [i, update] of updates.entries()) {
            await writer.put("b", "k", update, { kind: "yjs" });
            await isShown(all, i + 1);
            await isShown(written.all, i + 1);
            if (i > 0) continue;
            await eventually(() => writer.facts().settled && reader.facts().settled, "both to have compared");
            for (const counts of [ofWriter, ofReader]) counts.clear();
          }
          assert.equal(ofReader.get(methods.edgeRead.number), undefined, "the reader was told all of it");
          const [told, read] = [ofWriter, ofReader].map((counts) => counts.get(methods.edgeWatch.number) ?? 0);
          assert.ok(told! < read!, `the writer asked ${told} times for changes, the reader ${read} times`);
          const bodies = all.at(-1)!.siblings.map(({ body }) => body);
          const here = new Y.Doc();
          for (const body of bodies) Y.applyUpdate(here, body);
          assert.equal(here.getText("body").length, updates.length);
        }),
      );
    }));

  test("a document that is written again and again is told some times a second, the first time at once, and whole in the end", () =>
    withEdges(1, async (edges) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const transport = edges.transport("e2");
      const request = transport.request.bind(transport);
      let asked = 0;
      transport.request = (to, body, timeoutMs) => {
        if (body[0] === methods.edgeWatch.number) asked += 1;
        return request(to, body, timeoutMs);
      };
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on("update", (update) => updates.push(update));
      for (let i = 0; i < 30; i++) doc.getText("body").insert(0, "x");
      await watching(reader, { name: "k" }, async ({ all }) => {
        const isShown = (count: number): Promise<void> =>
          eventually(() => all.at(-1)?.siblings.length === count, `${count} updates to be shown`);
        await writer.put("b", "k", updates[0]!, { kind: "yjs" });
        await isShown(1);
        await eventually(() => reader.facts().settled, "the reader to have compared");
        asked = 0;
        const beganMs = performance.now();
        for (const update of updates.slice(1)) await writer.put("b", "k", update, { kind: "yjs" });
        await isShown(updates.length);
        const tookMs = performance.now() - beganMs;
        assert.ok(asked <= 3 + tookMs / 200, `${asked} questions in ${tookMs} ms`);
      });
    }));

  test("a document is told no more often where another key under the same prefix changes all the time", () =>
    withEdges(1, async (edges, cluster) => {
      const [writer, reader] = [await edges.connected("e1"), await edges.connected("e2")];
      const transport = edges.transport("e2");
      const request = transport.request.bind(transport);
      let [answers, told] = [0, 0];
      transport.request = async (to, body, timeoutMs) => {
        const answer = await request(to, body, timeoutMs);
        if (body[0] !== methods.edgeWatch.number || answer[0] !== 0) return answer;
        const { keys } = methods.edgeWatch.response.decode(answer.subarray(1));
        answers += 1;
        if (keys.includes("b/k")) told += 1;
        return answer;
      };
      const doc = new Y.Doc();
      const updates: Uint8Array[] = [];
      doc.on("update", (update) => updates.push(update));
      for (let i = 0; i < 60; i++) doc.getText("body").insert(0, "x");
      await watching(reader, { prefix: "" }, async ({ all, shows }) => {
        const isShown = (count: number): Promise<void> =>
          eventually(
            () => all.findLast(({ name }) => name === "k")?.siblings.length === count,
            `${count} updates to be shown`,
          );
        await writer.put("b", "k", updates[0]!, { kind: "yjs" });
        await isShown(1);
        await eventually(() => reader.facts().settled, "the reader to have compared");
        [answers, told] = [0, 0];
        const beganMs = performance.now();
        for (const [i, update] of updates.slice(1).entries()) {
          await writer.put("b", "k", update, { kind: "yjs" });
          await flushed(writer);
          await cluster.node("h1").put("b", `busy${i}`, utf8("now"));
          await shows(`busy${i}`, "now");
        }
        await isShown(updates.length);
        const tookMs = performance.now() - beganMs;
        assert.ok(told <= 3 + tookMs / 200, `${told} of ${answers} answers in ${tookMs} ms`);
        assert.ok(told < answers, `${told} of ${answers} answers told of the document`);
      });
    }));

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
