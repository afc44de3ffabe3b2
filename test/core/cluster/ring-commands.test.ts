import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { eventually } from "../../support/eventually.ts";
import type { NodeConfig } from "../../../core/config.ts";
import type { MemberSpec, MemoryCluster } from "../../support/memory-cluster.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { patient, seen, withCluster } from "../coordinate/scene.ts";

/** What commands do is what is looked at here: a busy machine must not turn slow hosts into such as are away. */
const withPatience = (
  count: number,
  body: (cluster: MemoryCluster) => Promise<void>,
  config: Partial<NodeConfig> = {},
): Promise<void> => withCluster(count, body, { ...patient, ...config });
const started = (cluster: MemoryCluster, name: string, spec: MemberSpec = {}) =>
  cluster.start(name, { config: patient, ...spec });
const joined = (cluster: MemoryCluster, name: string) => cluster.join(name, { seeds: ["memory:h1"], config: patient });

const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);

async function fill(cluster: MemoryCluster, at = "h1"): Promise<void> {
  await Promise.all(keys.map((key) => cluster.node(at).put("b", key, utf8(key), { w: "all" })));
}

/** Every host answers every key, and its owners hold it. */
async function allThere(cluster: MemoryCluster): Promise<void> {
  for (const node of cluster.nodes.values()) {
    for (const key of keys) assert.deepEqual(texts((await node.get("b", key, { r: "all" })).siblings), [key]);
  }
}

const rowsOf = async (cluster: MemoryCluster, name: string): Promise<number> =>
  (await cluster.disk(name).page("objects", { limit: 10_000 })).rows.length;

describe("a plan", () => {
  test("tells what a change would move, and changes nothing", () =>
    withPatience(4, async (cluster) => {
      await fill(cluster);
      const h1 = cluster.node("h1");
      const before = (await h1.status()).ring;
      const plan = await h1.plan({ kind: "leave", host: "h4" });
      assert.deepEqual([plan.change, plan.host, plan.ring, plan.withheld], ["leave", "h4", before, 0]);
      const left = plan.hosts.find(({ id }) => id === "h4")!;
      assert.ok(left.tokens.before > 0 && left.tokens.after === 0 && left.replicas.after === 0);
      assert.equal(plan.partitionsCopied, left.replicas.before, "what one host less holds, the others copy");
      assert.ok(plan.keys > 0 && plan.bytes > 0);
      assert.equal((await h1.status()).ring, before);
    }));

  test("is made only on the ring that it was shown for", () =>
    withPatience(3, async (cluster) => {
      const h1 = cluster.node("h1");
      await assert.rejects(
        h1.changeRing({ kind: "rebalance" }, { ring: "0".repeat(16) }),
        failsWith("precondition-failed"),
      );
    }));
});

test("a removal that the disk refuses is refused: it is no change before it is durable", () =>
  withCluster(
    4,
    async (cluster) => {
      const h1 = cluster.node("h1");
      cluster.kill("h4");
      await seen(h1, "h4", false);
      cluster.disk("h1").refusesWrites = "io";
      await assert.rejects(h1.changeRing({ kind: "remove", host: "h4" }));
    },
    patient,
  ));

test("a rebalance of an even ring, and the join of a host that has its share, are no changes", () =>
  withPatience(3, async (cluster) => {
    await cluster.settled(3);
    const h1 = cluster.node("h1");
    const planned = (): number => cluster.events.filter(({ event }) => event.kind === "ring-planned").length;
    await h1.changeRing({ kind: "rebalance" });
    const before = planned();
    for (const request of [{ kind: "rebalance" }, { kind: "join", host: "h2" }] as const) {
      assert.equal((await h1.changeRing(request)).tokens, 0);
    }
    assert.equal(planned(), before);
  }));

describe("a command that cannot be is refused, and changes nothing:", () => {
  const cases: readonly (readonly [
    what: string,
    run: (cluster: MemoryCluster) => Promise<unknown>,
    code: "not-found" | "precondition-failed",
  ])[] = [
    ["an unknown host", (c) => c.node("h1").changeRing({ kind: "remove", host: "h9" }), "not-found"],
    [
      "removing a host that answers",
      (c) => c.node("h1").changeRing({ kind: "remove", host: "h2" }),
      "precondition-failed",
    ],
    [
      "removing oneself",
      (c) => c.node("h1").changeRing({ kind: "remove", host: "h1", force: true }),
      "precondition-failed",
    ],
    ["making another host leave", (c) => c.node("h1").changeRing({ kind: "leave", host: "h2" }), "precondition-failed"],
  ];
  for (const [what, run, code] of cases) {
    test(what, () =>
      withPatience(3, async (cluster) => {
        const before = await cluster.node("h1").status();
        await assert.rejects(run(cluster), failsWith(code));
        const after = await cluster.node("h1").status();
        assert.deepEqual([after.ring, after.members.map(({ status }) => status)], [before.ring, ["up", "up", "up"]]);
      }),
    );
  }

  test("the last host leaving, and removing one twice", () =>
    withPatience(2, async (cluster) => {
      cluster.kill("h2");
      await seen(cluster.node("h1"), "h2", false);
      await cluster.node("h1").changeRing({ kind: "remove", host: "h2" });
      await assert.rejects(
        cluster.node("h1").changeRing({ kind: "remove", host: "h2" }),
        failsWith("precondition-failed"),
      );
      await assert.rejects(
        cluster.node("h1").changeRing({ kind: "join", host: "h2" }),
        failsWith("precondition-failed"),
      );
      await assert.rejects(
        cluster.node("h1").changeRing({ kind: "leave", host: "h1" }),
        failsWith("precondition-failed"),
      );
    }));
});

describe("a host that leaves", () => {
  test("hands everything over, is known to have left by all, and holds nothing when it ends", () =>
    withPatience(4, async (cluster) => {
      await fill(cluster);
      const h4 = cluster.node("h4");
      await h4.changeRing({ kind: "leave", host: "h4" });
      await h4.left;
      assert.equal(await rowsOf(cluster, "h4"), 0);
      await assert.rejects(h4.get("b", keys[0]!), failsWith("not-ready"));
      for (const name of ["h1", "h2", "h3"]) {
        const { members } = await cluster.node(name).status();
        assert.equal(members.find(({ id }) => id === "h4")?.status, "left", name);
      }
      cluster.kill("h4");
      await cluster.settled(4);
      await allThere(cluster);
    }));

  test("goes on with it after a crash", () =>
    withPatience(4, async (cluster) => {
      await fill(cluster);
      const h4 = cluster.node("h4");
      await h4.changeRing({ kind: "leave", host: "h4" });
      cluster.kill("h4");
      const again = await started(cluster, "h4");
      await again.left;
      cluster.kill("h4");
      await cluster.settled(4);
      await allThere(cluster);
    }));

  test("passes on what it keeps for a host that is away", () =>
    withPatience(
      4,
      async (cluster) => {
        cluster.kill("h3");
        await seen(cluster.node("h4"), "h3", false);
        await seen(cluster.node("h1"), "h3", false);
        await fillMost(cluster);
        const h4 = cluster.node("h4");
        await h4.changeRing({ kind: "leave", host: "h4" });
        await h4.left;
        cluster.kill("h4");
        await started(cluster, "h3");
        await cluster.settled(4);
        await allThere(cluster);
      },
      { antiEntropyIntervalMs: 2_000_000_000 },
    ));

  test("returns when it is started with seeds, as a new member that fills, and only then", () =>
    withPatience(4, async (cluster) => {
      await fill(cluster);
      await cluster.node("h4").changeRing({ kind: "leave", host: "h4" });
      await cluster.node("h4").left;
      cluster.kill("h4");
      await assert.rejects(started(cluster, "h4"), failsWith("not-member"));
      cluster.kill("h4");
      await joined(cluster, "h4");
      await cluster.settled(4);
      const { members } = await cluster.node("h1").status();
      assert.deepEqual(
        members.flatMap(({ id, status, life }) => (id === "h4" ? [[status, life]] : [])),
        [["up", 2]],
      );
      await allThere(cluster);
    }));
});

/** With one owner away: what one host wrote, durable on two. */
async function fillMost(cluster: MemoryCluster): Promise<void> {
  await Promise.all(keys.map((key) => cluster.node("h1").put("b", key, utf8(key))));
}

describe("a host that is removed", () => {
  test("is replaced from the copies of the others", () =>
    withPatience(4, async (cluster) => {
      await fill(cluster);
      cluster.kill("h2");
      await seen(cluster.node("h1"), "h2", false);
      const plan = await cluster.node("h1").changeRing({ kind: "remove", host: "h2" });
      assert.equal(plan.withheld, 0);
      await cluster.settled(4);
      await allThere(cluster);
    }));

  test("while it is alive and cut off learns of it when it is back, takes no requests and stays out until it is started with seeds", () =>
    withPatience(4, async (cluster) => {
      await fill(cluster);
      cluster.isolate("h4");
      await seen(cluster.node("h1"), "h4", false);
      const h4 = cluster.node("h4");
      await h4.put("b", "alone", utf8("written alone"), { w: 1 });
      await cluster.node("h1").changeRing({ kind: "remove", host: "h4" });
      cluster.rejoin("h4");
      await eventually(
        async () => (await h4.status()).notices.some((notice) => notice.includes("removed")),
        "h4 to know",
      );
      await assert.rejects(h4.put("b", "alone", utf8("again"), { w: 1 }), failsWith("not-member"));
      assert.equal((await h4.status()).ready, false);
      cluster.kill("h4");
      await joined(cluster, "h4");
      await cluster.settled(4);
      await allThere(cluster);
      const { siblings } = await cluster.node("h2").get("b", "alone", { r: "all" });
      assert.deepEqual(texts(siblings), ["written alone"], "what lived on it alone is offered");
    }));
});

describe("a host that was started without joining", () => {
  test("holds nothing until it is told to join", () =>
    withPatience(3, async (cluster) => {
      await fill(cluster);
      const h4 = await started(cluster, "h4", { seeds: ["memory:h1"], mayJoin: false });
      await cluster.connected("h1", "h4");
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.deepEqual([(await h4.status()).ready, h4.ring().tokens.includes("h4" as never)], [false, false]);
      await cluster.node("h1").changeRing({ kind: "join", host: "h4" });
      await cluster.settled(4);
      assert.ok(h4.ring().tokens.includes("h4" as never));
      await allThere(cluster);
    }));
});

test("hosts that joined at once are evened out by a rebalance, and what they own no more they drop", () =>
  withPatience(1, async (cluster) => {
    await fill(cluster);
    await Promise.all(["h2", "h3", "h4", "h5"].map((name) => started(cluster, name, { seeds: ["memory:h1"] })));
    await eventually(
      () => [...cluster.nodes.values()].every((node) => new Set(node.ring().tokens).size === 5),
      "all to have a share",
    );
    await cluster.settled(5);
    await cluster.node("h1").changeRing({ kind: "rebalance" });
    await cluster.settled(5);
    assert.ok(cluster.node("h1").ring().efficiency.primary >= 0.8);
    await allThere(cluster);
    await eventually(async () => {
      const rows = await Promise.all([...cluster.nodes.keys()].map((name) => rowsOf(cluster, name)));
      return rows.reduce((sum, count) => sum + count, 0) === 3 * keys.length;
    }, "three copies of each key and no more");
  }));

test("two rings of one name that were founded apart become one when they meet, and nothing is lost", () =>
  withPatience(2, async (cluster) => {
    await fill(cluster);
    await started(cluster, "x1");
    await started(cluster, "x2", { seeds: ["memory:x1"] });
    await eventually(
      () =>
        cluster
          .node("x1")
          .ring()
          .tokens.includes("x2" as never),
      "the second ring",
    );
    const others = Array.from({ length: 40 }, (_, i) => `x${i}`);
    for (const key of others) await cluster.node("x1").put("b", key, utf8(key), { w: "one" });
    for (const key of keys.slice(0, 10)) await cluster.node("x2").put("b", key, utf8("other"), { w: "one" });
    cluster.kill("x1");
    await started(cluster, "x1", { seeds: ["memory:h1"] });
    await cluster.settled(4);
    for (const node of cluster.nodes.values()) {
      for (const key of others) assert.deepEqual(texts((await node.get("b", key)).siblings), [key]);
      for (const [i, key] of keys.entries()) {
        const expected = i < 10 ? [key, "other"].toSorted() : [key];
        assert.deepEqual(texts((await node.get("b", key)).siblings).toSorted(), expected);
      }
    }
  }));

test("what a member that does not answer is still to fill is told, by whom and how much", () =>
  withPatience(3, async (cluster) => {
    const everywhere = async () => (await cluster.node("h1").status()).partitions.everywhere;
    assert.deepEqual(await everywhere(), { filling: 0, handingOff: 0, away: [] });
    cluster.kill("h3");
    cluster.wipe("h3");
    const readOn = ["h1", "h2"].map((source) => cluster.disk(source).hold("reads"));
    await started(cluster, "h3", { seeds: ["memory:h1"] });
    await eventually(async () => (await everywhere()).filling === 16, "h1 to know that h3 fills");
    cluster.kill("h3");
    await seen(cluster.node("h1"), "h3", false);
    assert.deepEqual(await everywhere(), { filling: 0, handingOff: 0, away: [{ id: "h3", filling: 16 }] });
    for (const read of readOn) read();
    await started(cluster, "h3");
    await eventually(async () => (await everywhere()).away.length === 0, "it to be back");
  }));
