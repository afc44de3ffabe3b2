import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { NodeId } from "../../../core/identity.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { realClock } from "../../support/real-clock.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { patient, type Place, placed } from "../coordinate/scene.ts";
import { atEachHost, atHosts, flushed, offline, valuesOf, withEdges } from "./scene.ts";

describe("an edge in contact with hosts", { concurrency: true }, () => {
  test("answers a put when W hosts have it, with a context that a later put on any node is built on", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const { receipt, context, dot } = await edge.put("b", "k", utf8("v1"), { w: "all" });
      assert.deepEqual([receipt.localOnly, receipt.got, receipt.durable.toSorted()], [false, 3, ["h1", "h2", "h3"]]);
      assert.equal((await cluster.node("h2").get("b", "k")).siblings[0]?.dot, dot);
      await cluster.node("h3").put("b", "k", utf8("v2"), { context: context!, w: "all" });
      const read = await edge.get("b", "k");
      assert.deepEqual(
        [texts(read.siblings), read.source, read.degraded, read.pending],
        [["v2"], "quorum", false, false],
      );
      await edge.delete("b", "k", { context: read.context! });
      assert.deepEqual(await atHosts(cluster, "k"), []);
      assert.deepEqual(edge.facts().pending, 0);
    }));

  test("gives no context to a writer who has not seen a sibling, and shows it when he asks", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      await cluster.node("h1").put("b", "k", utf8("other"), { w: "all" });
      assert.equal((await edge.put("b", "k", utf8("mine"))).context, null);
      const { siblings, context } = await edge.put("b", "k", utf8("again"), { returnSiblings: true });
      assert.deepEqual(texts(siblings!), ["again", "mine", "other"]);
      await edge.put("b", "k", utf8("merged"), { context: context! });
      assert.deepEqual(await atHosts(cluster, "k"), ["merged"]);
    }));

  test("gives a write straight to an owner while it is connected to one, else to another host, and owners have it", () =>
    withEdges(
      5,
      async (edges, cluster) => {
        const edge = await edges.connected("e1", { config: patient });
        const transport = edges.transport("e1");
        const connected = () => [...transport.peers()].filter((peer) => peer.connected).length;
        await eventually(() => connected() === 5, "the edge to be connected to all hosts");
        const request = transport.request.bind(transport);
        let asked: string[] = [];
        transport.request = (to, body, timeoutMs) => {
          if (body[0] === methods.edgeWrite.number) asked.push(to);
          return request(to, body, timeoutMs);
        };
        /** Writes to all owners; whom it asked. */
        const put = async ({ name, walk }: Place, text: string): Promise<readonly string[]> => {
          asked = [];
          const { receipt } = await edge.put("b", name, utf8(text), { w: "all" });
          assert.deepEqual(receipt.durable.toSorted(), walk.slice(0, 3).toSorted());
          return asked;
        };
        // Whichever host answers fastest: one of these keys is none of its own.
        for (const host of cluster.nodes.keys()) {
          const place = await placed(cluster, (walk) => walk.indexOf(host) > 2);
          const [first, ...more] = await put(place, `not of ${host}`);
          assert.ok(place.walk.indexOf(first!) < 3 && more.length === 0, `${first} of ${place.walk.join()}`);
        }
        const place = await placed(cluster, undefined, "cut");
        for (const owner of place.walk.slice(0, 3)) cluster.network.cut("e1" as NodeId, owner as NodeId);
        const [first, ...more] = await put(place, "by another host");
        assert.ok(place.walk.indexOf(first!) > 2 && more.length === 0, `${first} of ${place.walk.join()}`);
        assert.deepEqual(await atHosts(cluster, place.name), ["by another host"]);
      },
      { readRepairShare: 0 },
    ));

  test("flushes the writes that were asked before, those too that are not in the outbox yet", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const writeDisk = edges.disk("e1").hold("writes");
      const written = edge.put("b", "k", utf8("v"), { w: "all" });
      const refused = assert.rejects(edge.put("b", "k", utf8("v"), { context: "AAAA" }), failsWith("bad-context"));
      await assert.rejects(edge.flush({ timeoutMs: 20 }), failsWith("quorum-not-met"));
      const flushing = edge.flush();
      writeDisk();
      await flushing;
      assert.deepEqual(await atHosts(cluster, "k"), ["v"]);
      await Promise.all([written, refused]);
    }));

  test("refuses what is beyond the limits before anything is stored", () =>
    withEdges(1, async (edges) => {
      const edge = await edges.connected("e1");
      await assert.rejects(edge.put("b", "k", new Uint8Array(1_048_577)), failsWith("value-too-large"));
      await assert.rejects(edge.put("b", "k", utf8("v"), { context: "AAAA" }), failsWith("bad-context"));
      await assert.rejects(edge.put("b", "k", utf8("v"), { contentType: "" }), failsWith("bad-request"));
      await assert.rejects(edge.put("b", "k", utf8("v"), { w: 9 }), failsWith("quorum-not-met"));
      await assert.rejects(edge.put("", "k", utf8("v")), failsWith("bad-request"));
      assert.deepEqual(edge.facts().pending, 0);
    }));

  test("checks ifAbsent and ifContext on what a quorum answers", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      await edge.put("b", "k", utf8("v1"), { ifAbsent: true });
      await assert.rejects(edge.put("b", "k", utf8("v2"), { ifAbsent: true }), failsWith("precondition-failed"));
      const { context } = await edge.get("b", "k");
      await cluster.node("h1").put("b", "k", utf8("v3"), { context: context!, w: "all" });
      const late = edge.put("b", "k", utf8("v4"), { context: context!, ifContext: context! });
      await assert.rejects(late, failsWith("precondition-failed"));
      assert.deepEqual(await atHosts(cluster, "k"), ["v3"]);
    }));

  test("waits until a write is as safe as asked, though it was acknowledged with less", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      cluster.kill("h3");
      const put = await edge.put("b", "k", utf8("v"), { w: "one" });
      assert.equal(put.receipt.localOnly, false);
      await assert.rejects(put.until("all", { timeoutMs: 100 }), failsWith("quorum-not-met"));
      await assert.rejects(put.until(9), failsWith("bad-request"));
      assert.ok((await put.until("quorum", { timeoutMs: 20_000 })) >= 2);
      await cluster.start("h3");
      assert.equal(await put.until("all", { timeoutMs: 20_000 }), 3);
    }));

  test("lists what hosts have, and what it alone has", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      for (const name of ["a1", "a2", "c1"]) await cluster.node("h1").put("b", name, utf8("v"), { w: "all" });
      const online = await edge.list("b", { prefix: "a" });
      assert.deepEqual([[...online.keys].toSorted(), online.source], [["a1", "a2"], "quorum"]);
      await edge.get("b", "a1");
      edges.cut("e1");
      await offline(edge);
      await edge.put("b", "a3", utf8("v"));
      const alone = await edge.list("b", { prefix: "a" });
      assert.deepEqual([[...alone.keys].toSorted(), alone.source, alone.next], [["a1", "a3"], "local", null]);
      const first = await edge.list("b", { limit: 1 });
      const second = await edge.list("b", { limit: 1, after: first.next! });
      assert.deepEqual([...first.keys, ...second.keys].toSorted(), ["a1", "a3"]);
    }));
});

describe("an edge that is offline", { concurrency: true }, () => {
  test("takes writes at once, tells how many wait, and hosts have each exactly once when it is back", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      edges.cut("e1");
      await offline(edge);
      const dots = new Map<string, string>();
      for (let i = 0; i < 20; i++) {
        const { receipt, dot } = await edge.put("b", `k${i}`, utf8(`v${i}`));
        assert.deepEqual([receipt.localOnly, receipt.durable, receipt.got], [true, ["e1"], 0]);
        dots.set(`k${i}`, dot);
      }
      assert.equal(edge.facts().pending, 20);
      assert.ok(Math.abs(edge.facts().pendingSinceMs! - Date.now()) < 60_000);
      assert.deepEqual(await atHosts(cluster, "k0"), []);
      edges.heal("e1");
      await flushed(edge);
      for (const [name, dot] of dots) {
        const { siblings } = await cluster.node("h2").get("b", name, { r: "all" });
        assert.deepEqual(
          siblings.map((each) => each.dot),
          [dot],
        );
      }
      assert.deepEqual([edge.facts().pending, edge.facts().pendingSinceMs], [0, null]);
    }));

  test("reads its own writes and its copies, and says that they are its own", () =>
    withEdges(3, async (edges, cluster) => {
      await cluster.node("h1").put("b", "read", utf8("from hosts"), { w: "all" });
      const edge = await edges.connected("e1");
      await edge.get("b", "read");
      edges.cut("e1");
      await offline(edge);
      const copy = await edge.get("b", "read");
      assert.deepEqual(
        [texts(copy.siblings), copy.source, copy.pending, copy.degraded],
        [["from hosts"], "local", false, true],
      );
      await edge.put("b", "read", utf8("mine"), { context: copy.context! });
      const own = await edge.get("b", "read");
      assert.deepEqual([texts(own.siblings), own.pending], [["mine"], true]);
      const { siblings, context } = await edge.get("b", "never seen");
      assert.deepEqual([siblings, context], [[], null]);
      edges.heal("e1");
      await flushed(edge);
      assert.deepEqual(await atHosts(cluster, "read"), ["mine"]);
    }));

  test("sends of a chain of writes the last alone, and all of them are acknowledged by it", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      let context: string | undefined;
      const waiting: Promise<number>[] = [];
      for (let i = 1; i <= 10; i++) {
        const answer = await edge.put("b", "k", utf8(`v${i}`), context === undefined ? {} : { context });
        context = answer.context!;
        waiting.push(answer.until("quorum"));
      }
      let sent = 0;
      const transport = edges.transport("e1");
      const request = transport.request.bind(transport);
      transport.request = (to, body, timeoutMs) => {
        if (body[0] === methods.edgeWrite.number) sent += 1;
        return request(to, body, timeoutMs);
      };
      await transport.meet("memory:h1");
      await Promise.all(waiting);
      assert.equal(sent, 1);
      assert.deepEqual(await atHosts(cluster, "k"), ["v10"]);
    }));

  test("keeps apart writes that have not seen each other", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [] });
      for (const value of ["one", "two", "three"]) await edge.put("b", "k", utf8(value));
      assert.deepEqual(await valuesOf(edge, "k"), ["one", "three", "two"]);
      await edges.transport("e1").meet("memory:h1");
      await flushed(edge);
      assert.deepEqual(await atHosts(cluster, "k"), ["one", "three", "two"]);
    }));

  test("and another one write one key: two siblings everywhere, and a merge in one resolves them for both", () =>
    withEdges(3, async (edges, cluster) => {
      const [one, two] = [await edges.connected("e1"), await edges.connected("e2")];
      for (const name of ["e1", "e2"]) edges.cut(name);
      await Promise.all([offline(one), offline(two)]);
      await one.put("b", "k", utf8("of one"));
      await two.put("b", "k", utf8("of two"));
      for (const name of ["e1", "e2"]) edges.heal(name);
      await Promise.all([flushed(one), flushed(two)]);
      await eventually(async () => (await valuesOf(two, "k")).length === 2, "both values");
      const seen = await one.get("b", "k");
      assert.deepEqual(texts(seen.siblings), ["of one", "of two"]);
      assert.deepEqual(await valuesOf(two, "k"), ["of one", "of two"]);
      await one.put("b", "k", utf8("merged"), { context: seen.context!, w: "all" });
      assert.deepEqual(await valuesOf(two, "k"), ["merged"]);
      assert.deepEqual(await atEachHost(cluster, "k"), [["merged"], ["merged"], ["merged"]]);
    }));

  test("has its clock an hour ahead, and its writes count all the same", () =>
    withEdges(3, async (edges, cluster) => {
      const ahead = {
        ...realClock,
        now: () => realClock.now(),
        after: realClock.after.bind(realClock),
        wallTime: () => Date.now() + 3_600_000,
      };
      const edge = await edges.start("e1", { seeds: [], clock: ahead });
      await edge.put("b", "k", utf8("v"), { kind: "lww" });
      await edges.transport("e1").meet("memory:h1");
      await flushed(edge);
      assert.deepEqual((await edge.parked()).length, 0);
      const { siblings } = await cluster.node("h2").get("b", "k", { r: "all" });
      assert.deepEqual(texts(siblings), ["v"]);
      assert.ok(siblings[0]!.timeMs < Date.now() + 61_000);
    }));

  test("is told apart from hosts that are connected and answer no quorum", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      cluster.kill("h2");
      cluster.kill("h3");
      await assert.rejects(edge.get("b", "never seen", { timeoutMs: 500 }), failsWith("quorum-not-met"));
      const { receipt } = await edge.put("b", "k", utf8("v"), { timeoutMs: 500, w: "all", pw: "all" });
      assert.equal(receipt.localOnly, true);
      await cluster.start("h2");
      await cluster.start("h3");
      await flushed(edge);
      assert.deepEqual((await edge.get("b", "k", { r: "all" })).siblings.length, 1);
      assert.equal(edge.id, "e1" as NodeId);
    }));
});

describe("siblings of an edge that is offline", { concurrency: true }, () => {
  test("are as many as hosts would keep: the next one that has seen none is refused, and one that has seen all is taken", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [], config: { siblingsMax: 5 } });
        for (let round = 1; round <= 3; round++) {
          const known = (await edge.get("b", "k")).siblings.length;
          for (let i = known; i < 5; i++) await edge.put("b", "k", utf8(`${round}-${i}`));
          await assert.rejects(edge.put("b", "k", utf8("one too many")), failsWith("too-many-siblings"));
          const { context } = await edge.get("b", "k");
          await edge.put("b", "k", utf8(`merged ${round}`), { context: context! });
        }
        await edges.transport("e1").meet("memory:h1");
        await flushed(edge);
        assert.deepEqual([await atHosts(cluster, "k"), (await edge.parked()).length], [["merged 3"], 0]);
      },
      { siblingsMax: 5 },
    ));

  test("that were merged again and again make a long clock, which hosts cut by force, and tell", () =>
    withEdges(
      3,
      async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [] });
        for (let i = 0; i < 60; i++) {
          await Promise.all([edge.put("b", "k", utf8("a")), edge.put("b", "k", utf8("b"))]);
          const { context } = await edge.get("b", "k");
          await edge.put("b", "k", utf8(`merged ${i}`), { context: context! });
        }
        await edges.transport("e1").meet("memory:h1");
        await flushed(edge);
        assert.deepEqual(await atHosts(cluster, "k"), ["merged 59"]);
        const { preferenceList } = await cluster.node("h1").explain("b", "k");
        // Ten times `clockEntriesMax`: PROTOCOL 3, *Truncation*.
        for (const { clock } of preferenceList) assert.ok(clock!.length <= 50, String(clock!.length));
        const forced = cluster.events.flatMap(({ event }) => (event.kind === "clock-truncated" ? [event.forced] : []));
        assert.ok(forced.some((count) => count > 0));
      },
      { clockEntriesMax: 5 },
    ));
});
