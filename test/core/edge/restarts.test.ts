import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { field, message, text, varint } from "../../../core/bytes/codec.ts";
import { liveValue } from "../../../core/causality/encoding.ts";
import type { NodeId } from "../../../core/identity.ts";
import { TransportError } from "../../../core/ports.ts";
import { OwnEvent } from "../../../core/rpc/edge-messages.ts";
import { keyText } from "../../../core/rpc/common-messages.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { eventually } from "../../support/eventually.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { atEachHost, atHosts, flushed, losesNext, offline, valuesOf, withEdges } from "./scene.ts";

/** A row of the outbox as it was before edges measured the hosts' time. */
const OlderRow = message("OutboxWrite", {
  key: field(1, keyText),
  event: field(2, OwnEvent),
  value: field(3, liveValue),
  w: field(6, text(16)),
  acceptedMs: field(8, varint),
});

describe("an edge that is killed", { concurrency: true }, () => {
  for (const what of ["request", "answer"] as const) {
    test(`before the ${what} of a write arrived sends it again: it is one event`, () =>
      withEdges(3, async (edges, cluster) => {
        const edge = await edges.connected("e1");
        const { context } = await edge.put("b", "k", utf8("before"), { w: "all" });
        const lost = losesNext(edges, "e1", what);
        const put = edge.put("b", "k", utf8("v"), { context: context! });
        put.catch(() => {});
        await lost;
        await edges.kill("e1");
        const again = await edges.connected("e1");
        await flushed(again);
        assert.deepEqual(await atHosts(cluster, "k"), ["v"]);
        // It was repeated after hosts had replaced it, too: nothing comes back.
        const read = await cluster.node("h2").get("b", "k");
        await cluster.node("h2").put("b", "k", utf8("later"), { context: read.context!, w: "all" });
        assert.deepEqual(await valuesOf(again, "k"), ["later"]);
        assert.deepEqual(await atEachHost(cluster, "k"), [["later"], ["later"], ["later"]]);
      }));
  }

  test("starts although a row of its outbox has a damaged key, tells it, and sends the others", () =>
    withEdges(1, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      await edge.put("b", "k", utf8("v1"));
      await edges.kill("e1");
      const value = Uint8Array.of(1, 2, 3);
      const keys = [Uint8Array.of(0, 0, 1), new Uint8Array(8).fill(255), new Uint8Array(9)];
      await edges.disk("e1").batch(
        keys.map((key) => ({ kind: "put" as const, ns: "hints" as const, key, value })),
        "synced",
      );
      const again = await edges.connected("e1");
      assert.equal(edges.events.filter(({ event }) => event.kind === "corrupt-record").length, keys.length);
      const { dot } = await again.put("b", "k2", utf8("v2"));
      await flushed(again);
      assert.deepEqual([await atHosts(cluster, "k"), dot.endsWith(":1")], [["v1"], true]);
    }));

  test("sends what an older version had accepted, of which it has less in the row", () =>
    withEdges(1, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      await edge.put("b", "k", utf8("v"));
      await edges.kill("e1");
      const records = new RecordStore(edges.disk("e1"));
      const [row] = (await records.page("hints", { gte: new Uint8Array(0), limit: 1 })).rows;
      assert.ok(row !== undefined && "value" in row);
      const value = OlderRow.encode(OlderRow.decode(row.value));
      await records.commit([{ kind: "put", ns: "hints", key: row.key, value }]);
      const again = await edges.connected("e1");
      await flushed(again);
      assert.deepEqual(await atHosts(cluster, "k"), ["v"]);
    }));

  test("finds every resolved write in its storage, under the dot that it told", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      const dots = new Map<string, string>();
      for (let i = 0; i < 30; i++) {
        const name = `k${i % 10}`;
        const { context } = await edge.get("b", name);
        const { dot } = await edge.put("b", name, utf8(`v${i}`), context === null ? {} : { context });
        dots.set(name, dot);
      }
      await edges.kill("e1");
      const again = await edges.start("e1");
      assert.deepEqual(await valuesOf(again, "k3", "local"), ["v23"]);
      await flushed(again);
      for (const [name, dot] of dots) {
        const { siblings } = await cluster.node("h1").get("b", name, { r: "all" });
        assert.deepEqual(
          siblings.map((each) => each.dot),
          [dot],
        );
      }
    }));

  test("sends a write again for which a host died while it took it", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1", { seeds: ["memory:h1", "memory:h2", "memory:h3"] });
      for (let i = 0; i < 10; i++) {
        const puts = Array.from({ length: 5 }, (_, j) => edge.put("b", `k${i}-${j}`, utf8("v")));
        if (i === 4) cluster.kill("h3");
        await Promise.all(puts);
      }
      await flushed(edge);
      for (let i = 0; i < 10; i++)
        for (let j = 0; j < 5; j++) {
          const { siblings } = await cluster.node("h1").get("b", `k${i}-${j}`);
          assert.deepEqual(texts(siblings), ["v"], `k${i}-${j}`);
        }
    }));
});

describe("an edge's dot names one event for ever", { concurrency: true }, () => {
  test("though an old copy of its storage is restored, which was in use since", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const { context } = await edge.put("b", "k", utf8("v1"), { w: "all" });
      const copy = await edges.copyDisk("e1");
      const second = await edge.put("b", "k", utf8("v2"), { context: context!, w: "all" });
      await edges.kill("e1");
      edges.putDisk("e1", copy);
      const restored = await edges.start("e1", { seeds: [] });
      const read = await restored.get("b", "k");
      assert.deepEqual(texts(read.siblings), ["v1"]);
      const third = await restored.put("b", "k", utf8("v3"), { context: read.context! });
      assert.notEqual(third.dot.split(":")[0], second.dot.split(":")[0]);
      await edges.transport("e1").meet("memory:h1");
      await flushed(restored);
      assert.deepEqual(await atHosts(cluster, "k"), ["v2", "v3"]);
    }));

  test("though two copies of its storage run at once under one identity", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      await edge.put("b", "k", utf8("v1"));
      const copy = await edges.copyDisk("e1");
      const { context } = await edge.get("b", "k");
      await edge.put("b", "k", utf8("v2"), { context: context! });
      await edges.transport("e1").meet("memory:h1");
      await flushed(edge);
      await edges.kill("e1");
      edges.putDisk("e1", copy);
      const other = await edges.start("e1", { seeds: [] });
      // It believes that the first was never sent.
      await other.put("b", "k", utf8("of the copy"));
      await edges.transport("e1").meet("memory:h1");
      await flushed(other);
      assert.deepEqual(await atHosts(cluster, "k"), ["of the copy", "v2"]);
    }));

  test("though its storage is cleared and its identity kept", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      for (let i = 1; i <= 3; i++) await edge.put("b", "k", utf8(`v${i}`), { w: "all" });
      await edges.kill("e1");
      for (const ns of ["objects", "hints", "meta"] as const) await edges.disk("e1").clear(ns, {});
      const again = await edges.start("e1", { seeds: [] });
      await again.put("b", "k", utf8("after"));
      await edges.transport("e1").meet("memory:h1");
      // Of hosts it knows none: it is given a seed only now.
      await edges.kill("e1");
      await flushed(await edges.connected("e1"));
      assert.deepEqual(await atHosts(cluster, "k"), ["after", "v1", "v2", "v3"]);
    }));

  test("though the disk failed while a write was stored, and kept it all the same", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      const first = await edge.put("b", "k", utf8("v1"));
      const disk = edges.disk("e1");
      disk.refusesWrites = "full";
      disk.writesWhatItRefuses = true;
      await assert.rejects(edge.put("b", "k", utf8("refused"), { context: first.context! }), failsWith("storage-full"));
      disk.refusesWrites = undefined;
      assert.deepEqual(await valuesOf(edge, "k", "local"), ["v1"]);
      const third = await edge.put("b", "k", utf8("v3"), { context: first.context! });
      assert.notEqual(third.dot.split(":")[0], first.dot.split(":")[0]);
      await edges.kill("e1");
      await flushed(await edges.connected("e1"));
      // The unresolved write is there, whole and once, beside the one that had not seen it.
      assert.deepEqual(await atHosts(cluster, "k"), ["refused", "v3"]);
    }));
});

describe("the age of a write", { concurrency: true }, () => {
  test("does not matter when it was never sent", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.connected("e1");
        edges.cut("e1");
        await offline(edge);
        await edge.put("b", "k", utf8("v"));
        await new Promise((resolve) => setTimeout(resolve, 150));
        edges.heal("e1");
        await flushed(edge);
        assert.deepEqual(await atHosts(cluster, "k"), ["v"]);
        assert.deepEqual(await edge.parked(), []);
      },
      { graceMs: 200 },
    ));

  test("ends its repeats when an answer was lost: hosts that cover it acknowledge it, else it is parked with its value", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        for (const what of ["answer", "request"] as const) {
          const edge = await edges.connected("e1");
          await flushed(edge); // what the end of the last run has brought back
          const lost = losesNext(edges, "e1", what);
          edge.put("b", what, utf8(`lost ${what}`)).catch(() => {});
          await lost;
          await edges.kill("e1");
          await new Promise((resolve) => setTimeout(resolve, 150));
          const again = await edges.connected("e1");
          await flushed(again);
          if (what === "answer") {
            assert.deepEqual(await again.parked(), []);
            assert.deepEqual(await atHosts(cluster, what), ["lost answer"]);
          } else {
            const [parked] = await again.parked();
            assert.deepEqual(
              [parked?.name, parked?.error.code, texts([{ body: parked!.body! }])],
              [what, "outcome-unknown", ["lost request"]],
            );
            assert.deepEqual(await atHosts(cluster, what), []);
            assert.equal(again.facts().parked, 1);
            await again.discard(parked!);
            assert.equal(again.facts().parked, 0);
            await assert.rejects(again.discard(parked!), failsWith("not-found"));
          }
          await edges.kill("e1");
        }
      },
      { graceMs: 200 },
    ));
});

test("what an edge of another release has stored of hosts is asked of them anew, where it cannot be read", () =>
  withEdges(1, async (edges) => {
    const edge = await edges.connected("e1");
    await edge.put("b", "k", utf8("v"));
    await edges.kill("e1");
    const rows = ["edge-roster", "edge-periods"].map((name) => ({
      kind: "put" as const,
      ns: "meta" as const,
      key: utf8(name),
      value: Uint8Array.of(255, 255),
    }));
    await new RecordStore(edges.disk("e1")).commit(rows);
    const again = await edges.connected("e1");
    assert.deepEqual(await valuesOf(again, "k"), ["v"]);
  }));

describe("a write of an edge that was offline", { concurrency: true }, () => {
  test("counts as sent from the moment that a host may have it, also after a restart", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [] });
        await edge.put("b", "k", utf8("v"));
        const lost = losesNext(edges, "e1", "request");
        await edges.transport("e1").meet("memory:h1");
        await lost;
        await edges.kill("e1");
        await new Promise((resolve) => setTimeout(resolve, 150));
        const again = await edges.connected("e1");
        await flushed(again);
        assert.deepEqual(
          (await again.parked()).map(({ error }) => error.code),
          ["outcome-unknown"],
        );
        assert.deepEqual(await atHosts(cluster, "k"), []);
      },
      { graceMs: 200 },
    ));

  test("counts as sent with a later one that has seen it: what was deleted and forgotten since does not come back", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [] });
        const first = await edge.put("b", "k", utf8("first"));
        await edge.put("b", "k", utf8("second"), { context: first.context! });
        const lost = losesNext(edges, "e1", "answer");
        await edges.transport("e1").meet("memory:h1");
        await lost;
        await edges.kill("e1");
        assert.deepEqual(await atHosts(cluster, "k"), ["second"]);
        const { context } = await cluster.node("h2").get("b", "k", { r: "all" });
        await cluster.node("h2").delete("b", "k", { context: context!, w: "all" });
        const isForgotten = async (): Promise<boolean> =>
          (await cluster.node("h1").get("b", "k", { r: "all" })).context === null;
        await eventually(isForgotten, "hosts to forget the delete");
        const again = await edges.connected("e1");
        await flushed(again);
        assert.deepEqual(await atHosts(cluster, "k"), []);
        assert.deepEqual(
          (await again.parked()).map(({ error, body }) => [error.code, ...texts([{ body: body! }])]),
          [
            ["outcome-unknown", "first"],
            ["outcome-unknown", "second"],
          ],
        );
      },
      { graceMs: 200, reapIntervalMs: 20 },
    ));

  test("is not repeated for more copies after hosts have forgotten it, though it went with a later one", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [] });
        const first = await edge.put("b", "k", utf8("first"));
        const second = await edge.put("b", "k", utf8("second"), { context: first.context! });
        const others = (["h1", "h2"] as NodeId[]).map((host) => [host, "h3" as NodeId] as const);
        for (const [host, away] of others) cluster.network.cut(host, away);
        await edges.transport("e1").meet("memory:h1");
        assert.equal(await second.until("quorum", { timeoutMs: 20_000 }), 2);
        for (const [host, away] of others) cluster.network.heal(host, away);
        edges.cut("e1");
        await offline(edge);
        const { context } = await cluster.node("h2").get("b", "k");
        const isDeleted = (): Promise<boolean> =>
          cluster
            .node("h2")
            .delete("b", "k", { context: context!, w: "all" })
            .then(() => true)
            .catch(() => false);
        await eventually(isDeleted, "all to have the delete");
        const isForgotten = async (): Promise<boolean> =>
          (await cluster.node("h1").get("b", "k", { r: "all" })).context === null;
        await eventually(isForgotten, "hosts to forget the delete");
        const waiting = assert.rejects(first.until("all", { timeoutMs: 20_000 }), failsWith("outcome-unknown"));
        edges.heal("e1");
        await waiting;
        assert.deepEqual(await atHosts(cluster, "k"), []);
      },
      { graceMs: 200, reapIntervalMs: 20 },
    ));

  test("stays in the outbox through every failure of hosts to answer", () =>
    withEdges(1, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [], config: { requestTimeoutMs: 50 } });
      await edge.put("b", "k", utf8("v"));
      const transport = edges.transport("e1");
      const request = transport.request.bind(transport);
      let failures = 0;
      transport.request = async (to, body, timeoutMs) => {
        if (body[0] !== methods.edgeWrite.number || failures === 3) return request(to, body, timeoutMs);
        failures += 1;
        throw new TransportError(failures === 1 ? "not-sent" : "lost", "as the test wants it");
      };
      await transport.meet("memory:h1");
      await flushed(edge);
      assert.equal(failures, 3);
      assert.deepEqual(await atHosts(cluster, "k"), ["v"]);
    }));
});
