import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { eventually } from "../../support/eventually.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { hostStoreNode } from "../../support/memory-stores.ts";
import { placed, seen, withCluster } from "./scene.ts";

const misses = (needed: number, got: number) => (error: unknown) =>
  error instanceof StoreError &&
  error.code === "quorum-not-met" &&
  error.detail.needed === needed &&
  error.detail.got === got;

describe("a put while an owner is down", () => {
  test("goes to the next host of the walk, which keeps a hint, and the receipt names both", () =>
    withCluster(5, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const [first, second, third, fallback] = walk as [string, string, string, string];
      cluster.kill(third);
      await seen(cluster.node(first), third, false);
      const { receipt } = await cluster.node(first).put("b", name, utf8("v"), { w: "all" });
      assert.deepEqual([...receipt.durable].toSorted(), [first, second, fallback].toSorted());
      assert.deepEqual(receipt.hinted, [{ for: third, at: fallback }]);
      assert.deepEqual([receipt.needed, receipt.got, receipt.localOnly], [3, 3, false]);
      assert.equal((await cluster.node(fallback).status()).hints, 1);
      const kept = await cluster.node(fallback).getLocal("b", name);
      assert.deepEqual([kept.holding, texts(kept.siblings)], ["hint", ["v"]]);
    }));

  test("meets PW by owners only: a stand-in's copy does not count for it", () =>
    withCluster(5, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const node = cluster.node(walk[0]!);
      cluster.kill(walk[2]!);
      await seen(node, walk[2]!, false);
      // The stand-in answers last: as long as it is waited for, success is not out of reach.
      const release = cluster.disk(walk[3]!).hold("writes");
      const refused = assert.rejects(node.put("b", name, utf8("v"), { w: 3, pw: 3 }), misses(3, 2));
      const second = cluster.node(walk[1]!);
      await eventually(async () => texts((await second.getLocal("b", name)).siblings).includes("v"), "the second copy");
      release();
      await refused;
      await node.put("b", name, utf8("v"), { w: 3, pw: 2 });
    }));

  test("with W=all and no stand-in left fails at once, and the write survives", () =>
    withCluster(3, async (cluster) => {
      cluster.kill("h3");
      await seen(cluster.node("h1"), "h3", false);
      // It does not wait for the second ack either: the third cannot come.
      await assert.rejects(cluster.node("h1").put("b", "k", utf8("v"), { w: "all" }), failsWith("quorum-not-met"));
      assert.deepEqual(texts((await cluster.node("h1").get("b", "k")).siblings), ["v"]);
      assert.ok((await cluster.node("h1").status()).hints >= 1, "and is owed to the host that is down");
    }));

  test("that fails under way goes to a stand-in all the same: a disk that refuses, a host that hangs", () =>
    withCluster(4, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const [first, second, third, fallback] = walk as [string, string, string, string];
      cluster.disk(second).refusesWrites = "io";
      const release = cluster.disk(third).hold("writes");
      const { receipt } = await cluster.node(first).put("b", name, utf8("v"), { w: 2 });
      assert.deepEqual([...receipt.durable].toSorted(), [first, fallback].toSorted());
      assert.ok(receipt.hinted.some((hint) => hint.at === fallback));
      release();
    }));

  test("that fails at a Node host under way goes to a Node host, also where one has it for a page that is away", () =>
    withCluster(3, async (cluster) => {
      const pages = ["h4", "h5", "h6", "h7"];
      for (const name of pages) {
        await cluster.join(name, { seeds: ["memory:h1"], own: { kind: "browser-host" } });
      }
      await cluster.settled();
      const kindsOf = (walk: readonly string[]): string =>
        walk.map((each) => (pages.includes(each) ? "P" : "N")).join("");
      // One owner is a Node host; of the others the first to be asked is one, and one that comes after pages.
      const { name, walk } = await placed(cluster, (hosts) => /^(PPN|PNP|NPP)NP+N/u.test(kindsOf(hosts)));
      const owner = walk.slice(0, 3).find((each) => !pages.includes(each))!;
      const [away, page] = walk.slice(0, 3).filter((each) => pages.includes(each)) as [string, string];
      cluster.kill(away);
      for (const node of cluster.nodes.values()) await seen(node, away, false);
      const release = cluster.disk(owner).hold("writes");
      const { receipt } = await cluster.node(page).put("b", name, utf8("v"), { w: "all" });
      release();
      assert.deepEqual(
        receipt.hinted.toSorted((a, b) => Number(a.for === owner) - Number(b.for === owner)),
        [
          { for: away, at: walk[3] },
          { for: owner, at: walk.slice(4).find((each) => !pages.includes(each)) },
        ],
      );
    }));

  test("coordinated by a stand-in, for no owner is up, is kept as a hint and found there", () =>
    withCluster(5, async (cluster) => {
      const { name, walk } = await placed(cluster);
      const [fourth, fifth] = [walk[3]!, walk[4]!];
      for (const owner of walk.slice(0, 3)) cluster.kill(owner);
      for (const owner of walk.slice(0, 3)) await seen(cluster.node(fifth), owner, false);
      const { receipt } = await cluster.node(fifth).put("b", name, utf8("v"), { w: 2 });
      assert.deepEqual([...receipt.durable].toSorted(), [fourth, fifth].toSorted());
      assert.equal(receipt.hinted.length >= 2, true);
      const read = await cluster.node(fourth).get("b", name, { r: 2 });
      assert.deepEqual([texts(read.siblings), read.degraded], [["v"], true]);
    }));
});

describe("a put while owners are filling or unsure of the ring", () => {
  test("at a host restarted alone meets W=1, for it owes the others; its reads are degraded until it has met them", () =>
    withCluster(3, async (cluster) => {
      await cluster.node("h1").put("b", "k", utf8("old"), { w: "all" });
      for (const name of ["h1", "h2", "h3"]) cluster.kill(name);
      const alone = await cluster.start("h1");
      assert.equal((await alone.status()).ready, false);
      const { receipt } = await alone.put("b", "k2", utf8("new"), { w: "one" });
      assert.deepEqual(receipt.durable, ["h1"]);
      assert.deepEqual(receipt.hinted.map((hint) => hint.for).toSorted(), ["h2", "h3"]);
      const read = await alone.get("b", "k", { r: "one" });
      assert.deepEqual([texts(read.siblings), read.degraded], [["old"], true]);
      await assert.rejects(alone.get("b", "absent", { r: "one" }), failsWith("quorum-not-met"));
      for (const name of ["h2", "h3"]) await cluster.start(name);
      await cluster.settled(3);
      assert.equal((await alone.get("b", "k", { r: "one" })).degraded, false);
      assert.deepEqual(texts((await cluster.node("h2").get("b", "k2", { r: "all" })).siblings), ["new"]);
    }));

  test("succeeds while a joining host is away, through the former owner that stands in for it", async () => {
    const spec = { cluster: { n: 2 } };
    const cluster = await MemoryCluster.of(2, spec);
    try {
      const releases = ["h1", "h2"].map((name) => cluster.disk(name).hold("reads"));
      await cluster.start("h3", { ...spec, seeds: ["memory:h1"] });
      const knows = (name: string): boolean =>
        cluster
          .node(name)
          .ring()
          .tokens.includes("h3" as NodeId);
      await eventually(() => knows("h1") && knows("h2"), "h3 to take its share");
      cluster.kill("h3");
      for (const name of ["h1", "h2"]) await seen(cluster.node(name), "h3", false);
      for (const release of releases) release();
      const { name, walk } = await placed(cluster, (hosts) => hosts.slice(0, 2).includes("h3"));
      const owner = walk.find((host) => host !== "h3")!;
      const { receipt } = await cluster.node(owner).put("b", name, utf8("v"), { w: 2 });
      assert.deepEqual([...receipt.durable].toSorted(), ["h1", "h2"]);
    } finally {
      await cluster.stop();
    }
  });
});

describe("a number of replicas", () => {
  test("above those there are fails at once with what was asked, and nothing is written", () =>
    withCluster(3, async (cluster) => {
      const node = cluster.node("h1");
      await assert.rejects(node.put("b", "k", utf8("v"), { w: 4 }), misses(4, 0));
      await assert.rejects(node.put("b", "k", utf8("v"), { pw: 4 }), misses(4, 0));
      await assert.rejects(node.get("b", "k", { r: 4 }), misses(4, 0));
      for (const name of ["h1", "h2", "h3"]) {
        assert.equal((await cluster.node(name).getLocal("b", "k")).context, null);
      }
    }));

  test("is counted from the hosts there are when they are fewer than N, up or not", () =>
    withCluster(2, async (cluster) => {
      const both = await cluster.node("h1").put("b", "k", utf8("v"), { w: "quorum" });
      assert.equal(both.receipt.needed, 2);
      await assert.rejects(cluster.node("h1").put("b", "k", utf8("v"), { w: 3 }), misses(3, 0));
      cluster.kill("h2");
      await seen(cluster.node("h1"), "h2", false);
      await assert.rejects(cluster.node("h1").put("b", "k", utf8("v")), misses(2, 1));
      assert.equal((await cluster.node("h1").put("b", "k", utf8("w"), { w: "one" })).receipt.needed, 1);
    }));

  test("of a lone host is one", () =>
    withCluster(1, async (cluster) => {
      const { receipt } = await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
      assert.deepEqual([receipt.needed, receipt.durable, receipt.hinted], [1, ["h1"], []]);
      assert.equal((await cluster.node("h1").get("b", "k", { r: "all" })).degraded, false);
    }));
});

describe("a write that says that it was asked for before", () => {
  const writeId = "0123456789abcdef";

  test("is the same event under its write id, whoever is asked, and a first one if there was none", () =>
    withCluster(4, async (cluster) => {
      const { dot } = await cluster.node("h1").put("b", "k", utf8("v"), { writeId, again: true });
      for (const node of cluster.nodes.values()) {
        assert.equal((await node.put("b", "k", utf8("v"), { writeId, again: true })).dot, dot);
      }
      assert.deepEqual(texts((await cluster.node("h1").get("b", "k", { r: "all" })).siblings), ["v"]);
    }));

  test("is refused as outcome-unknown where ids are not heeded, whoever is asked, and changes nothing", () =>
    withCluster(4, async (cluster) => {
      const first = await cluster.node("h1").put("b", "k", utf8("v"), { kind: "lww", writeId });
      assert.equal(first.receipt.writeIdIgnored, true);
      await cluster.node("h2").put("b", "k", utf8("later"), { kind: "lww", w: "all" });
      for (const node of cluster.nodes.values()) {
        const again = node.put("b", "k", utf8("v"), { kind: "lww", writeId, again: true });
        await assert.rejects(again, failsWith("outcome-unknown"));
      }
      const store = hostStoreNode(cluster, "h1");
      const asked = { kind: "lww", request: writeId, again: true } as const;
      await assert.rejects(store.put("b", "k", utf8("v"), asked), failsWith("outcome-unknown"));
      await assert.rejects(store.delete("b", "k", asked), failsWith("outcome-unknown"));
      await store.close();
      assert.deepEqual(texts((await cluster.node("h2").get("b", "k", { r: 2 })).siblings), ["later"]);
    }));
});

describe("preconditions", () => {
  test("ifAbsent refuses where a value is, lets a deleted key be written, and passes a repeat of itself", () =>
    withCluster(3, async (cluster) => {
      const node = cluster.node("h1");
      const writeId = "0123456789abcdef";
      const first = await node.put("b", "k", utf8("v"), { ifAbsent: true, writeId });
      await cluster.node("h2").put("b", "k", utf8("v"), { ifAbsent: true, writeId });
      await assert.rejects(
        cluster.node("h2").put("b", "k", utf8("w"), { ifAbsent: true }),
        failsWith("precondition-failed"),
      );
      assert.deepEqual(texts((await node.get("b", "k", { r: "all" })).siblings), ["v"]);
      await node.delete("b", "k", { context: first.context! });
      await cluster.node("h3").put("b", "k", utf8("again"), { ifAbsent: true });
      assert.deepEqual(texts((await node.get("b", "k", { r: "all" })).siblings), ["again"]);
    }));

  test("ifContext refuses once the key has changed, and changes nothing then", () =>
    withCluster(3, async (cluster) => {
      const node = cluster.node("h1");
      const { context: first } = await node.put("b", "k", utf8("v1"));
      const { context: second } = await node.put("b", "k", utf8("v2"), { context: first!, ifContext: first! });
      await assert.rejects(
        cluster.node("h2").put("b", "k", utf8("v3"), { context: first!, ifContext: first! }),
        failsWith("precondition-failed"),
      );
      assert.deepEqual(texts((await node.get("b", "k", { r: "all" })).siblings), ["v2"]);
      await cluster.node("h3").put("b", "k", utf8("v3"), { context: second!, ifContext: second! });
    }));

  test("that cannot be checked are not taken for met", () =>
    withCluster(3, async (cluster) => {
      for (const name of ["h2", "h3"]) cluster.kill(name);
      for (const name of ["h2", "h3"]) await seen(cluster.node("h1"), name, false);
      await assert.rejects(
        cluster.node("h1").put("b", "k", utf8("v"), { w: "one", ifAbsent: true }),
        failsWith("quorum-not-met"),
      );
    }));
});

describe("contexts", () => {
  test("of another key, forged, cut short or of another cluster are bad-context, and nothing has changed", () =>
    withCluster(3, (cluster) =>
      withCluster(1, async (elsewhere) => {
        const node = cluster.node("h1");
        const { context } = await node.put("b", "k", utf8("v"));
        const other = await node.put("b", "other", utf8("v"));
        const foreign = await elsewhere.node("h1").put("b", "k", utf8("v"));
        const last = context!.at(-1) === "A" ? "B" : "A";
        const bad = [
          other.context!,
          foreign.context!,
          `${context!.slice(0, -1)}${last}`,
          context!.slice(0, -4),
          "",
          "?",
        ];
        for (const wrong of bad) {
          await assert.rejects(node.put("b", "k", utf8("w"), { context: wrong }), failsWith("bad-context"), wrong);
          await assert.rejects(node.delete("b", "k", { context: wrong }), failsWith("bad-context"));
        }
        await assert.rejects(
          node.put("b", "k", utf8("w"), { context: context!, ifContext: other.context! }),
          failsWith("bad-context"),
        );
        assert.deepEqual(texts((await node.get("b", "k", { r: "all" })).siblings), ["v"]);
      }),
    ));

  test("come with the receipt only when the writer has seen all that they cover", () =>
    withCluster(3, async (cluster) => {
      const node = cluster.node("h1");
      const first = await node.put("b", "k", utf8("a"));
      assert.notEqual(first.context, null);
      const beside = await node.put("b", "k", utf8("b"));
      assert.deepEqual([beside.context, beside.siblings], [null, undefined]);
      const told = await node.put("b", "k", utf8("c"), { returnSiblings: true });
      assert.deepEqual(texts(told.siblings!), ["a", "b", "c"]);
      const merged = await node.put("b", "k", utf8("abc"), { context: told.context!, returnSiblings: true });
      assert.deepEqual(texts(merged.siblings!), ["abc"]);
    }));

  test("that are stale cannot make a key grow beyond its limits, nor keep it from being resolved", () =>
    withCluster(
      3,
      async (cluster) => {
        const node = cluster.node("h1");
        const { context } = await node.put("b", "k", utf8("first"), { w: "all" });
        let refusals = 0;
        for (let i = 0; i < 12; i++) {
          const put = node.put("b", "k", utf8("x".repeat(400)), { context: context!, w: "one" });
          await put.catch((error: unknown) => {
            assert.ok(failsWith("too-many-siblings")(error), String(error));
            refusals += 1;
          });
        }
        assert.equal(refusals, 10, "two of them fit");
        const read = await cluster.node("h2").get("b", "k", { r: "all" });
        assert.equal(read.siblings.length, 2);
        await node.put("b", "k", utf8("resolved"), { context: read.context!, w: "all" });
        assert.deepEqual(texts((await cluster.node("h3").get("b", "k", { r: "all" })).siblings), ["resolved"]);
      },
      { siblingBytesMax: 1_000 },
    ));

  test("of one host are taken by every other", () =>
    withCluster(4, async (cluster) => {
      let context: string | undefined;
      for (const name of ["h1", "h2", "h3", "h4", "h1"]) {
        const put = await cluster.node(name).put("b", "k", utf8(name), context === undefined ? {} : { context });
        context = put.context!;
      }
      assert.deepEqual(texts((await cluster.node("h2").get("b", "k", { r: "all" })).siblings), ["h1"]);
    }));
});
