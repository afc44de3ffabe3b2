/** Clocks that are wrong by an hour: of edges, and of a host (PROTOCOL 3, *lww*; 10). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { EdgeNode } from "../../../core/edge/edge-node.ts";
import { StoreError } from "../../../core/errors.ts";
import { TransportError } from "../../../core/ports.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import type { LwwConflict } from "../../../core/store-node.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { clockOff } from "../../support/real-clock.ts";
import type { MemoryTransport } from "../memory-transport.ts";
import { failsWith, utf8 } from "../../support/values.ts";
import { patient } from "../coordinate/scene.ts";
import { atHosts, flushed, losesNext, offline, online, valuesOf, withEdges } from "./scene.ts";

const hour = 3_600_000;
const lww = { kind: "lww" as const };

function conflictsOf(edge: EdgeNode): LwwConflict[] {
  const told: LwwConflict[] = [];
  edge.onConflict((conflict) => told.push(conflict));
  return told;
}

/** Dots that hosts told as discarded, by host. */
const toldByHosts = (cluster: MemoryCluster, name: string): string[] =>
  cluster.events.flatMap(({ node, event }) =>
    event.kind === "conflict" && event.key === `b/${name}` ? [`${node} ${event.discardedDot}`] : [],
  );

/** Two writes so far apart that half a round trip on a busy machine does not turn them round. */
const apart = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 500));

/** They tell the time after a second and more, or when the test says. */
function hostsAreFar(transport: MemoryTransport, tripMs = 1_200): void {
  const request = transport.request.bind(transport);
  transport.request = async (to, body, timeoutMs) => {
    if (body[0] !== methods.time.number) return request(to, body, timeoutMs);
    await new Promise((resolve) => setTimeout(resolve, Math.min(timeoutMs, tripMs)));
    if (timeoutMs <= tripMs) throw new TransportError("lost", "too far away");
    return request(to, body, timeoutMs - tripMs);
  };
}

/** Ready for its first write by a clock that hosts have set right. */
async function connectedAndTimed(edge: EdgeNode): Promise<void> {
  await online(edge);
  await edge.put("b", "first", utf8("v"), lww);
}

describe("an edge whose clock is wrong by an hour", { concurrency: true }, () => {
  for (const offMs of [hour, -hour]) {
    const way = offMs > 0 ? "ahead" : "behind";

    test(`${way}: the later of two lww writes wins, whoever made it`, () =>
      withEdges(3, async (edges, cluster) => {
        const edge = await edges.connected("e1", { clock: clockOff(offMs) });
        await connectedAndTimed(edge);
        for (const [name, writers] of [
          ["k", [cluster.node("h1"), edge]] as const,
          ["l", [edge, cluster.node("h1")]] as const,
        ]) {
          await writers[0].put("b", name, utf8("earlier"), { ...lww, w: "all" });
          await apart();
          await writers[1].put("b", name, utf8("later"), { ...lww, w: "all" });
          assert.deepEqual(await atHosts(cluster, name), ["later"]);
        }
      }));

    test(`${way}: a renewal is later than the own write that it has seen, and than nothing else, also where copies were let go`, () =>
      withEdges(3, async (edges, cluster) => {
        const config = { copyBytesMax: 1, cacheBytesMax: 0 };
        const edge = await edges.start("e1", { seeds: [], clock: clockOff(offMs), config });
        const seen = new Map<string, string>();
        for (const name of ["k", "deleted"]) {
          await edge.put("b", name, utf8("own"), lww);
          seen.set(name, (await edge.get("b", name)).context!);
        }
        await edges.transport("e1").meet("memory:h1");
        await flushed(edge);
        await apart();
        const host = cluster.node("h1");
        await host.delete("b", "deleted", { context: (await host.get("b", "deleted")).context!, w: "all" });
        edges.cut("e1");
        await offline(edge);
        for (const [name, context] of seen) {
          await eventually(async () => (await valuesOf(edge, name)).length === 0, "the copy to be let go");
          await edge.put("b", name, utf8("renewed"), { ...lww, context, renews: true });
        }
        edges.heal("e1");
        await flushed(edge);
        assert.deepEqual(await atHosts(cluster, "k"), ["renewed"]);
        assert.deepEqual(await atHosts(cluster, "deleted"), []);
      }));

    test(`${way}: an lww write from before it met hosts is of the time when it was made`, () =>
      withEdges(3, async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [], clock: clockOff(offMs) });
        const writtenMs = Date.now();
        await edge.put("b", "k", utf8("before"), lww);
        await edge.put("b", "alone", utf8("before"), { ...lww, ttlMs: 60_000 });
        await apart();
        await cluster.node("h1").put("b", "k", utf8("after"), { ...lww, w: "all" });
        await edges.transport("e1").meet("memory:h1");
        await flushed(edge);
        assert.deepEqual(await edge.parked(), []);
        assert.deepEqual(await atHosts(cluster, "k"), ["after"]);
        const [alone] = (await cluster.node("h2").get("b", "alone", { r: "all" })).siblings;
        assert.ok(Math.abs(alone!.timeMs - writtenMs) < 5_000, `${alone!.timeMs - writtenMs} ms off`);
        assert.ok(Math.abs(alone!.expiresAtMs! - writtenMs - 60_000) < 5_000);
      }));
  }

  test("ahead: a write that goes before those that it has not seen goes by the hosts' time", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [], clock: clockOff(hour) });
      const { context } = await edge.put("b", "k", utf8("first"), lww);
      await edge.put("b", "k", utf8("second"), lww);
      await edge.put("b", "k", utf8("third"), { ...lww, context: context! });
      await edges.transport("e1").meet("memory:h1");
      await flushed(edge);
      assert.deepEqual(await edge.parked(), []);
      assert.deepEqual(await atHosts(cluster, "k"), ["third"]);
    }));

  test("sees a value expire when hosts do", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1", { clock: clockOff(hour) });
      await connectedAndTimed(edge);
      await cluster.node("h1").put("b", "k", utf8("v"), { ttlMs: 60_000, w: "all" });
      assert.deepEqual(await valuesOf(edge, "k"), ["v"]);
      assert.deepEqual(await valuesOf(edge, "k", "local"), ["v"]);
    }));

  for (const [offMs, tripMs] of [
    [24 * hour, 100],
    [-hour, 100],
    [-hour, 1_200],
  ] as const) {
    const way = `${offMs > 0 ? "a day ahead" : "behind"}, of hosts that tell the time after ${tripMs} ms`;
    test(`${way}: what was on its way when its process ended is delivered by the next, by the hosts' time`, () =>
      withEdges(3, async (edges, cluster) => {
        const clock = clockOff(offMs);
        const edge = await edges.connected("e1", { clock });
        await connectedAndTimed(edge);
        const lost = losesNext(edges, "e1", "request");
        edge.put("b", "k", utf8("v")).catch(() => undefined);
        await lost;
        await edges.kill("e1");
        const again = await edges.start("e1", { clock, seeds: [] });
        hostsAreFar(edges.transport("e1"), tripMs);
        await edges.transport("e1").meet("memory:h1");
        await flushed(again);
        assert.deepEqual(await again.parked(), []);
        assert.deepEqual(await atHosts(cluster, "k"), ["v"]);
      }));
  }

  test("set while hosts are connected: the next write is right all the same", () =>
    withEdges(3, async (edges, cluster) => {
      const clock = clockOff(0);
      const edge = await edges.connected("e1", { clock });
      await connectedAndTimed(edge);
      clock.offMs = hour;
      await edge.put("b", "k", utf8("v"), { ...lww, w: "all" });
      const [value] = (await cluster.node("h2").get("b", "k", { r: "all" })).siblings;
      assert.ok(Math.abs(value!.timeMs - Date.now()) < 60_000);
    }));

  test("is set right by hosts that are far away: seconds are little beside an hour", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [], clock: clockOff(hour) });
      hostsAreFar(edges.transport("e1"));
      await edges.transport("e1").meet("memory:h1");
      await online(edge);
      await edge.put("b", "k", utf8("v"), { ...lww, timeoutMs: 20_000 });
      await flushed(edge);
      assert.deepEqual([await atHosts(cluster, "k"), await edge.parked()], [["v"], []]);
    }));

  test("is set right by them also where one host beside them loses each question", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [], clock: clockOff(hour) });
      const transport = edges.transport("e1");
      hostsAreFar(transport);
      const request = transport.request.bind(transport);
      transport.request = (to, body, timeoutMs) =>
        body[0] === methods.time.number && to === "h1"
          ? Promise.reject(new TransportError("lost", "connection lost"))
          : request(to, body, timeoutMs);
      await transport.meet("memory:h1");
      await online(edge);
      await edge.put("b", "k", utf8("v"), { ...lww, timeoutMs: 20_000 });
      await flushed(edge);
      assert.deepEqual([await atHosts(cluster, "k"), await edge.parked()], [["v"], []]);
    }));

  test("is set right by them also where a shorter try is under way, which ends without an answer", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [], clock: clockOff(hour) });
      const transport = edges.transport("e1");
      hostsAreFar(transport);
      const request = transport.request.bind(transport);
      let others = 0;
      let triesShortly = (): void => {};
      let end = (): void => {};
      const isOver = new Promise<void>((resolve) => (end = resolve));
      transport.request = async (to, body, timeoutMs) => {
        if (body[0] === methods.time.number && timeoutMs <= 1_000) triesShortly();
        if (body[0] !== methods.edgeWrite.number) return request(to, body, timeoutMs);
        if (methods.edgeWrite.request.decode(body, 1).key !== "b/k") {
          await isOver; // else their refusals would have it measured
          return request(to, body, timeoutMs);
        }
        // While hosts refuse it, another write begins to ask for the time.
        const isAsked = new Promise<void>((resolve) => (triesShortly = resolve));
        void edge.put("b", `other${others++}`, utf8("v"), { ...lww, timeoutMs: 20_000 });
        await Promise.race([isAsked, new Promise((resolve) => setTimeout(resolve, 300))]);
        return request(to, body, timeoutMs);
      };
      await transport.meet("memory:h1");
      await online(edge);
      await edge.put("b", "k", utf8("v"), { ...lww, timeoutMs: 20_000 }).finally(end);
      await flushed(edge);
      assert.ok(others > 0);
      assert.deepEqual([await atHosts(cluster, "k"), await edge.parked()], [["v"], []]);
    }));

  for (const [what, error] of [
    ["it lost all hosts that it asked for the time", new TransportError("lost", "connection lost")],
    ["the hosts are still starting", new StoreError("not-ready", "this host is still starting")],
  ] as const)
    test(`sends nothing by it where ${what}: it asks again`, () =>
      withEdges(3, async (edges, cluster) => {
        const edge = await edges.start("e1", { seeds: [], clock: clockOff(-hour) });
        const transport = edges.transport("e1");
        const request = transport.request.bind(transport);
        let failed = 0;
        transport.request = (to, body, timeoutMs) =>
          body[0] === methods.time.number && failed++ < 10 ? Promise.reject(error) : request(to, body, timeoutMs);
        await transport.meet("memory:h1");
        await online(edge);
        await edge.put("b", "k", utf8("v"), { ...lww, w: "all", timeoutMs: 20_000 });
        const [value] = (await cluster.node("h2").get("b", "k", { r: "all" })).siblings;
        assert.ok(Math.abs(value!.timeMs - Date.now()) < 60_000);
      }));

  test("sends nothing by it while hosts are silent, of which one may have a write that others would then refuse for hours", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [], clock: clockOff(hour) });
      const transport = edges.transport("e1");
      const request = transport.request.bind(transport);
      const silentMs = 2_500;
      const silence = new Promise((resolve) => setTimeout(resolve, silentMs));
      let isSilent = true;
      void silence.then(() => (isSilent = false));
      transport.request = async (to, body, timeoutMs) => {
        const isHeard = !isSilent || (body[0] !== methods.time.number && body[0] !== methods.edgeWrite.number);
        if (isHeard) return request(to, body, timeoutMs);
        await Promise.race([silence, new Promise((resolve) => setTimeout(resolve, timeoutMs))]);
        throw new TransportError("lost", "no answer");
      };
      await transport.meet("memory:h1");
      await online(edge);
      await edge.put("b", "k", utf8("v"), { ...lww, timeoutMs: 20_000 });
      await flushed(edge);
      assert.deepEqual([await atHosts(cluster, "k"), await edge.parked()], [["v"], []]);
    }));

  test("that no host sets right: hosts refuse the write, and its value waits for the application", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.start("e1", { seeds: [], clock: clockOff(hour) });
      const transport = edges.transport("e1");
      const request = transport.request.bind(transport);
      transport.request = (to, body, timeoutMs) =>
        body[0] === methods.time.number
          ? Promise.reject(new StoreError("bad-request", "of another version"))
          : request(to, body, timeoutMs);
      await transport.meet("memory:h1");
      await online(edge);
      await assert.rejects(edge.put("b", "k", utf8("v"), { ...lww, timeoutMs: 20_000 }), failsWith("clock-skew"));
      assert.deepEqual(await atHosts(cluster, "k"), []);
      const [parked] = await edge.parked();
      assert.deepEqual([parked?.error.code, Buffer.from(parked!.body!).toString()], ["clock-skew", "v"]);
    }));
});

describe("a host whose clock is wrong by an hour", { concurrency: true }, () => {
  for (const offMs of [hour, -hour]) {
    test(`${offMs > 0 ? "ahead" : "behind"}: edges write by the time of most hosts, and no write is refused for good`, () =>
      withEdges(2, async (edges, cluster) => {
        await cluster.join("h3", { seeds: ["memory:h1"], clock: clockOff(offMs), config: patient });
        const edge = await edges.connected("e1");
        await eventually(
          () => [...edges.transport("e1").peers()].filter(({ connected }) => connected).length === 3,
          "the edge to know three hosts",
        );
        for (let i = 0; i < 20; i++) await edge.put("b", `k${i}`, utf8("v"), { ...lww, w: "all" });
        for (let i = 0; i < 20; i++) {
          const [value] = (await cluster.node("h1").get("b", `k${i}`, { r: "all" })).siblings;
          assert.ok(Math.abs(value!.timeMs - Date.now()) < 60_000, `k${i}: ${value!.timeMs - Date.now()} ms off`);
        }
        assert.deepEqual(await edge.parked(), []);
      }));
  }
});

describe("a discarded lww value", { concurrency: true }, () => {
  test("of an edge is told once by the edge, and once by each host", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const told = conflictsOf(edge);
      await connectedAndTimed(edge);
      edges.cut("e1");
      await offline(edge);
      const { dot } = await edge.put("b", "k", utf8("mine"), lww);
      await apart();
      await cluster.node("h1").put("b", "k", utf8("theirs"), { ...lww, w: "all" });
      edges.heal("e1");
      await flushed(edge);
      for (let i = 0; i < 3; i++) assert.deepEqual(await valuesOf(edge, "k"), ["theirs"]);
      assert.deepEqual(
        told.map(({ bucket, name, discardedDot }) => ({ bucket, name, discardedDot })),
        [{ bucket: "b", name: "k", discardedDot: dot }],
      );
      const byHosts = ["h1", "h2", "h3"].map((host) => `${host} ${dot}`);
      await eventually(() => toldByHosts(cluster, "k").length >= 1, "hosts to tell it");
      assert.ok(toldByHosts(cluster, "k").every((each) => byHosts.includes(each)));
      assert.equal(new Set(toldByHosts(cluster, "k")).size, toldByHosts(cluster, "k").length);
    }));

  test("of a host is told by the edge that replaces it unseen", () =>
    withEdges(3, async (edges, cluster) => {
      const { dot } = await cluster.node("h1").put("b", "k", utf8("theirs"), { ...lww, w: "all" });
      const edge = await edges.connected("e1");
      const told = conflictsOf(edge);
      await edge.get("b", "k");
      await edge.put("b", "k", utf8("mine"), { ...lww, w: "all" });
      assert.deepEqual(await atHosts(cluster, "k"), ["mine"]);
      await valuesOf(edge, "k");
      assert.deepEqual(
        told.map(({ discardedDot }) => discardedDot),
        [dot],
      );
    }));

  test("that was to win by a wrong clock is told when the time is known", () =>
    withEdges(3, async (edges, cluster) => {
      const clock = clockOff(0);
      const edge = await edges.connected("e1", { clock });
      await connectedAndTimed(edge);
      const told = conflictsOf(edge);
      edges.cut("e1");
      await offline(edge);
      clock.offMs = hour;
      const { dot } = await edge.put("b", "k", utf8("mine"), lww);
      await apart();
      await cluster.node("h1").put("b", "k", utf8("theirs"), { ...lww, w: "all" });
      edges.heal("e1");
      await flushed(edge);
      assert.deepEqual(await valuesOf(edge, "k"), ["theirs"]);
      assert.equal(told.filter(({ discardedDot }) => discardedDot === dot).length, 1);
    }));

  test("that is equal to the one that won is not lost, and not told", () =>
    withEdges(3, async (edges, cluster) => {
      const edge = await edges.connected("e1");
      const told = conflictsOf(edge);
      await cluster.node("h1").put("b", "k", utf8("same"), { ...lww, w: "all" });
      await edge.get("b", "k");
      await edge.put("b", "k", utf8("same"), { ...lww, w: "all" });
      assert.deepEqual([told, toldByHosts(cluster, "k")], [[], []]);
    }));
});
