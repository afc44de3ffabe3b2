import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { EverwriteNode } from "../../../core/node.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { eventsOf, intercept, local, patient, placed, seen, sentBy, staleAt, withCluster } from "./scene.ts";

describe("a read", () => {
  test("finds the latest value although a replica is behind, and mends that replica and no other", () =>
    withCluster(
      3,
      async (cluster) => {
        await staleAt(cluster, "h3");
        assert.deepEqual(await local(cluster, "h3"), ["v1"]);
        // Not batches: membership is saved when it likes.
        const written = () => ["h1", "h2"].map((name) => cluster.disk(name).objectsWritten);
        const before = written();
        const read = await cluster.node("h1").get("b", "k", { r: "all" });
        assert.deepEqual(texts(read.siblings), ["v2"]);
        await eventually(async () => (await local(cluster, "h3")).join() === "v2", "the repair of h3");
        assert.deepEqual(eventsOf(cluster, "read-repair"), [{ kind: "read-repair", replicas: 1 }]);
        assert.deepEqual(written(), before);
        await cluster.node("h1").get("b", "k", { r: "all" });
        assert.equal(eventsOf(cluster, "read-repair").length, 1, "nothing is left to mend");
      },
      // Anti-entropy would mend it first on a busy machine.
      { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000 },
    ));

  test("at the host that is behind answers with the latest value, and mends its own copy", () =>
    withCluster(3, async (cluster) => {
      await staleAt(cluster, "h3");
      assert.deepEqual(texts((await cluster.node("h3").get("b", "k", { r: "all" })).siblings), ["v2"]);
      await eventually(async () => (await local(cluster, "h3")).join() === "v2", "h3 to mend itself");
    }));

  test("merges what concurrent writers left on different hosts, and leaves the merge at all", () =>
    withCluster(3, async (cluster) => {
      for (const name of ["h1", "h2"]) cluster.isolate(name);
      for (const [name, other] of [
        ["h1", "h2"],
        ["h2", "h1"],
      ] as const)
        await seen(cluster.node(name), other, false);
      await cluster.node("h1").put("b", "k", utf8("one"), { w: "one" });
      await cluster.node("h2").put("b", "k", utf8("two"), { w: "one" });
      for (const name of ["h1", "h2"]) cluster.rejoin(name);
      await cluster.settled();
      assert.deepEqual(texts((await cluster.node("h3").get("b", "k", { r: "all" })).siblings), ["one", "two"]);
      for (const name of ["h1", "h2", "h3"]) {
        await eventually(async () => (await local(cluster, name)).join() === "one,two", `the merge at ${name}`);
      }
    }));

  test("fetches a large value once more where only its digest came, and it is whole", () =>
    withCluster(3, async (cluster) => {
      const large = utf8("x".repeat(100_000));
      await staleAt(cluster, "h3");
      const { context } = await cluster.node("h1").get("b", "k", { r: "all" });
      cluster.disk("h3").refusesWrites = "io";
      await cluster.node("h1").put("b", "k", large, { context: context!, w: 2 });
      cluster.disk("h3").refusesWrites = undefined;
      const { siblings } = await cluster.node("h3").get("b", "k", { r: "all" });
      assert.deepEqual(
        siblings.map(({ body }) => body),
        [large],
      );
    }));

  test("with R=1 is answered by the own copy, and mends it when it is drawn to check all owners", () =>
    withCluster(
      3,
      async (cluster) => {
        await staleAt(cluster, "h3");
        assert.deepEqual(texts((await cluster.node("h3").get("b", "k", { r: "one" })).siblings), ["v1"]);
        await eventually(async () => (await local(cluster, "h3")).join() === "v2", "the drawn read's repair");
      },
      { readRepairShare: 1 },
    ));

  test("mends nobody with what it was told on another ring: who told it may be no member any more", () =>
    withCluster(
      3,
      async (cluster) => {
        await staleAt(cluster, "h3");
        let release = (): void => {};
        const held = new Promise<void>((resolve) => (release = resolve));
        let isAsked = false;
        intercept(cluster, "h1", (to, body) => {
          if (to !== "h3" || body[0] !== methods.fetch.number) return undefined;
          isAsked = true;
          return held;
        });
        assert.deepEqual(texts((await cluster.node("h1").get("b", "k", { r: 2 })).siblings), ["v2"]);
        assert.ok(isAsked);
        // A member, but no owner of anything.
        await cluster.start("h4", { seeds: ["memory:h1"], mayJoin: false });
        await seen(cluster.node("h1"), "h4", true);
        release();
        // By the end of a later read, and of its repair, the answer of before has long been there.
        await cluster.node("h1").get("b", "k", { r: "all" });
        await eventually(() => eventsOf(cluster, "read-repair").length > 0, "the repair of a later read");
        await eventually(async () => (await local(cluster, "h3")).join() === "v2", "h3 to be mended");
        assert.equal(eventsOf(cluster, "read-repair").length, 1);
      },
      { readRepairShare: 1, antiEntropyIntervalMs: 2_000_000_000, ...patient },
    ));

  test("at an owner with R=2 asks one other replica", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
        const fetches = sentBy(cluster, "h1", methods.fetch);
        for (let i = 0; i < 20; i++) await cluster.node("h1").get("b", "k", { r: 2 });
        assert.equal(fetches.length, 20);
      },
      { readRepairShare: 0, speculativeDelayMinMs: 5_000 },
    ));

  test("asks the next owner when the first is slow, and is answered by whoever comes first", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
        const fetches = sentBy(cluster, "h1", methods.fetch);
        const releases = new Map(["h2", "h3"].map((name) => [name, cluster.disk(name).hold("reads")]));
        const reading = cluster.node("h1").get("b", "k", { r: 2, timeoutMs: 60_000 });
        await eventually(() => fetches.length === 2, "the next owner to be asked");
        const [slow, next] = fetches;
        releases.get(next!)!();
        assert.deepEqual(texts((await reading).siblings), ["v"]);
        assert.equal(eventsOf(cluster, "speculative-read", "h1").length, 1);
        releases.get(slow!)!();
      },
      // A failed replica would be given up only after the read's own time-out.
      { cacheBytesMax: 0, readRepairShare: 0, replicaTimeoutMs: 60_000 },
    ));

  test("ends at its time-out, and says how many answered", () =>
    withCluster(
      3,
      async (cluster) => {
        const releases = ["h2", "h3"].map((name) => cluster.disk(name).hold("reads"));
        await assert.rejects(cluster.node("h1").get("b", "k", { timeoutMs: 80 }), (error: unknown) => {
          assert.ok(failsWith("quorum-not-met")(error));
          assert.deepEqual((error as { detail: unknown }).detail, { needed: 2, got: 1, from: ["h1"] });
          return true;
        });
        for (const release of releases) release();
      },
      { cacheBytesMax: 0, replicaTimeoutMs: 60_000 },
    ));
});

describe("absent, unknown or degraded", () => {
  test("a key that was never written is absent without a context, with one it was deleted", () =>
    withCluster(3, async (cluster) => {
      const { answered = [], ...read } = await cluster.node("h1").get("b", "k");
      assert.deepEqual(read, { siblings: [], deleted: false, degraded: false, context: null });
      assert.ok(answered.includes("h1" as NodeId) && new Set(answered).size >= 2, `${answered.join()} answered`);
      const { context } = await cluster.node("h1").put("b", "k", utf8("v"));
      await cluster.node("h2").delete("b", "k", { context: context! });
      const gone = await cluster.node("h3").get("b", "k");
      assert.deepEqual([gone.siblings, gone.deleted, typeof gone.context], [[], false, "string"]);
    }));

  test("a value whose time is over is absent with a context; beside a live one it shows as deleted", () =>
    withCluster(1, async (cluster) => {
      const node = cluster.node("h1");
      await node.put("b", "k", utf8("brief"), { ttlMs: 1 });
      await eventually(async () => (await node.get("b", "k")).siblings.length === 0, "the value to expire");
      assert.equal(typeof (await node.get("b", "k")).context, "string");
      await node.put("b", "k", utf8("lasting"));
      const both = await node.get("b", "k");
      assert.deepEqual([texts(both.siblings), both.deleted], [["lasting"], true]);
    }));

  test("while owners are away their stand-ins' hints are found, and the answer is degraded", () =>
    withCluster(5, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const [first, second, third, fourth, fifth] = walk as [string, string, string, string, string];
      cluster.kill(third);
      await seen(cluster.node(first), third, false);
      await cluster.node(first).put("b", name, utf8("v"), { w: "all" });
      cluster.kill(first);
      cluster.kill(second);
      for (const away of [first, second]) await seen(cluster.node(fifth), away, false);
      for (const reader of [fourth, fifth]) {
        const read = await cluster.node(reader).get("b", name, { r: "one" });
        assert.deepEqual([texts(read.siblings), read.degraded], [["v"], true], reader);
      }
      const other = await placed(cluster, (hosts) => hosts.slice(0, 3).join() === walk.slice(0, 3).join(), "other");
      await assert.rejects(cluster.node(fifth).get("b", other.name, { r: "one" }), failsWith("quorum-not-met"));
    }));

  for (const [what, end] of [
    ["a delete", (node: EverwriteNode, name: string, context: string) => node.delete("b", name, { context, w: "all" })],
    [
      "an expired value",
      (node: EverwriteNode, name: string, context: string) =>
        node.put("b", name, utf8("brief"), { context, w: "all", ttlMs: 1 }),
    ],
  ] as const) {
    test(`${what} that too few know of makes a key unknown, not absent: hints elsewhere may hold an acked write`, () =>
      withCluster(5, async (cluster) => {
        const { name, walk } = await placed(cluster);
        const [cut, b, c, d, e] = walk as [string, string, string, string, string];
        const node = cluster.node(cut);
        const { context } = await node.put("b", name, utf8("v1"), { w: "all" });
        await end(node, name, context!);
        cluster.isolate(cut);
        for (const other of [b, c, d, e]) await seen(node, other, false);
        await seen(cluster.node(b), cut, false);
        await cluster.node(b).put("b", name, utf8("v2"), { w: 2 });
        cluster.network.heal(cut as NodeId, e as NodeId);
        await seen(node, e, true);
        await assert.rejects(node.get("b", name), failsWith("quorum-not-met"));
        const isUntouched = (error: unknown): boolean =>
          failsWith("quorum-not-met")(error) && (error as StoreError).detail.nothingWritten === true;
        await assert.rejects(node.put("b", name, utf8("v3"), { ifAbsent: true }), isUntouched);
      }));
  }

  test("while an owner fills, complete ones are asked instead of it", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
        cluster.kill("h1");
        cluster.wipe("h1");
        const releases = ["h2", "h3"].map((name) => cluster.disk(name).hold("reads"));
        await cluster.start("h1", { seeds: ["memory:h2"] });
        await seen(cluster.node("h2"), "h1", true);
        await eventually(async () => {
          return (await cluster.node("h2").status()).partitions.everywhere.filling > 0;
        }, "h2 to know that h1 fills");
        const fetches = sentBy(cluster, "h2", methods.fetch);
        for (let i = 0; i < 20; i++) await cluster.node("h2").get("b", "k", { r: 2 });
        assert.deepEqual(new Set(fetches), new Set(["h3"]));
        for (const release of releases) release();
      },
      { readRepairShare: 0, speculativeDelayMinMs: 60_000 },
    ));

  test("a wiped host asks a complete one before it answers, and cut off never says absent", () =>
    withCluster(3, async (cluster) => {
      await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
      await cluster.node("h2").get("b", "absent", { r: "all" });
      cluster.kill("h1");
      cluster.wipe("h1");
      // The others answer from memory, but no partition can be copied from them: h1 stays filling.
      const releases = ["h2", "h3"].map((name) => cluster.disk(name).hold("reads"));
      const wiped = await cluster.start("h1", { seeds: ["memory:h2"], config: { readRepairShare: 0 } });
      assert.notEqual((await wiped.status()).partitions.filling, 0);
      assert.deepEqual(texts((await wiped.get("b", "k", { r: "one" })).siblings), ["v"]);
      assert.equal((await wiped.get("b", "absent", { r: "one" })).degraded, false);
      cluster.isolate("h1");
      for (const name of ["h2", "h3"]) await seen(wiped, name, false);
      await assert.rejects(wiped.get("b", "absent", { r: "one" }), failsWith("quorum-not-met"));
      for (const release of releases) release();
    }));
});

describe("limits", () => {
  test("refuse before anything is stored: size, content type, time-outs, kinds", () =>
    withCluster(
      1,
      async (cluster) => {
        const node = cluster.node("h1");
        await assert.rejects(node.put("b", "k", utf8("12345")), failsWith("value-too-large"));
        for (const options of [
          { contentType: "" },
          { contentType: "a\nb" },
          { ttlMs: 0 },
          { ttlMs: 1.5 },
          { timeoutMs: 0 },
          { timeoutMs: 1e9 },
          { kind: "yjs" as const }, // a body that is no update
          { writeId: "XYZ" },
        ]) {
          await assert.rejects(
            node.put("b", "k", utf8("1"), options),
            failsWith("bad-request"),
            JSON.stringify(options),
          );
        }
        assert.equal((await node.getLocal("b", "k")).context, null);
        await node.put("b", "k", utf8(""));
        assert.equal((await node.get("b", "k")).siblings[0]!.body.length, 0, "an empty value is a value");
      },
      { valueBytesMax: 4 },
    ));

  test("on requests under way are told at once, and leave room when these end", () =>
    withCluster(
      1,
      async (cluster) => {
        const node = cluster.node("h1");
        const release = cluster.disk("h1").hold("writes");
        const first = node.put("b", "k", utf8("v"));
        await assert.rejects(node.get("b", "k"), failsWith("overloaded"));
        release();
        await first;
        assert.deepEqual(texts((await node.get("b", "k")).siblings), ["v"]);
      },
      { requestsMax: 1 },
    ));

  test("a caller that gives up is answered at once; what it asked for may still happen", () =>
    withCluster(1, async (cluster) => {
      const node = cluster.node("h1");
      const release = cluster.disk("h1").hold("writes");
      const giveUp = new AbortController();
      const writing = node.put("b", "k", utf8("v"), { signal: giveUp.signal });
      giveUp.abort();
      await assert.rejects(writing, failsWith("closed"));
      release();
      await eventually(async () => (await node.get("b", "k")).siblings.length === 1, "the write");
    }));
});
