import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareBytes } from "../../../core/bytes/compare.ts";
import { StoreError } from "../../../core/errors.ts";
import { TransportError } from "../../../core/ports.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { texts, utf8 } from "../../support/values.ts";
import { eventsOf, intercept, patient, placed, rowOf, seen, statesIn, withCluster } from "../coordinate/scene.ts";

/** More than travel in one page, in the order of delivery. */
const keys = Array.from({ length: 100 }, (_, i) => `k${i}`).toSorted((a, b) => compareBytes(rowOf(a), rowOf(b)));
const [first] = keys;
/** Anti-entropy would bring what a hint does not; and a host taken for away would be owed hints as well. */
const onlyHints = { ...patient, antiEntropyIntervalMs: 2_000_000_000 };

/** h1 keeps hints for h3, which is down; returns how many it has. */
async function oweToH3(cluster: MemoryCluster): Promise<() => Promise<number>> {
  cluster.kill("h3");
  await seen(cluster.node("h1"), "h3", false);
  await Promise.all(keys.map((key) => cluster.node("h1").put("b", key, utf8(key))));
  const owed = async (): Promise<number> => (await cluster.node("h1").status()).hints;
  assert.equal(await owed(), keys.length);
  return owed;
}

describe("hints for a host that is back", () => {
  test("travel together", () =>
    withCluster(
      3,
      async (cluster) => {
        const owed = await oweToH3(cluster);
        const sent: string[][] = [];
        intercept(cluster, "h1", async (to, body) => {
          if (to === "h3" && statesIn(body).length > 0) sent.push(statesIn(body));
        });
        const h3 = await cluster.start("h3", { config: onlyHints });
        await eventually(async () => (await owed()) === 0, "all to be delivered");
        assert.deepEqual(sent.flat().toSorted(), keys.map((key) => `b/${key}`).toSorted());
        assert.ok(sent.length < keys.length / 4, `${sent.length} messages`);
        for (const key of keys) assert.deepEqual(texts((await h3.getLocal("b", key)).siblings), [key]);
      },
      onlyHints,
    ));

  test("are on its disk before they go here, also with `buffered`", () => {
    const config = { ...onlyHints, durability: "buffered" as const };
    return withCluster(
      3,
      async (cluster) => {
        const owed = await oweToH3(cluster);
        await cluster.start("h3", { config });
        await eventually(async () => (await owed()) === 0, "all to be delivered");
        cluster.kill("h3");
        await cluster.disk("h3").powerCut();
        const h3 = await cluster.start("h3", { config });
        for (const key of keys) assert.deepEqual(texts((await h3.getLocal("b", key)).siblings), [key]);
      },
      config,
    );
  });

  test("are told of while more follow, so that operators see how a long delivery gets on", () =>
    withCluster(
      3,
      async (cluster) => {
        await oweToH3(cluster);
        // More than three pages, whether there are clients or not.
        const more = Array.from({ length: 300 }, (_, i) => `more${i}`);
        await Promise.all(more.map((key) => cluster.node("h1").put("b", key, utf8(key))));
        const toldBefore: number[] = [];
        intercept(cluster, "h1", async (to, body) => {
          if (to !== "h3" || statesIn(body).length === 0) return;
          toldBefore.push(eventsOf(cluster, "hints-delivered", "h1").length);
          if (toldBefore.length === 2) await new Promise((resolve) => setTimeout(resolve, 1_100));
        });
        await cluster.start("h3", { config: onlyHints });
        await eventually(async () => (await cluster.node("h1").status()).hints === 0, "all to be delivered");
        assert.equal(toldBefore[0], 0);
        assert.ok(toldBefore[2]! > toldBefore[1]!, "told of before the rest");
        const counts = eventsOf(cluster, "hints-delivered", "h1").map(({ count }) => count);
        assert.equal(
          counts.reduce((sum, count) => sum + count, 0),
          keys.length + more.length,
        );
      },
      onlyHints,
    ));

  test("are given the time that a large state takes on a slow link", () => {
    const config = { ...onlyHints, replicaTimeoutMs: 2_000 };
    const bytesPerMs = 100;
    return withCluster(
      3,
      async (cluster) => {
        cluster.kill("h3");
        await seen(cluster.node("h1"), "h3", false);
        await cluster.node("h1").put("b", "k", new Uint8Array(1_000_000));
        const transport = cluster.transport("h1");
        const request = transport.request.bind(transport);
        transport.request = async (to, body, timeoutMs) => {
          if (to !== "h3" || body.length / bytesPerMs <= timeoutMs) return request(to, body, timeoutMs);
          throw new TransportError("lost", `${body.length} bytes are not there in ${timeoutMs} ms`);
        };
        await cluster.start("h3", { config });
        const owed = async (): Promise<number> => (await cluster.node("h1").status()).hints;
        await eventually(async () => (await owed()) === 0, "it to be delivered");
      },
      config,
    );
  });

  test("are delivered but for one that cannot be, which holds up no other and is tried again", () =>
    withCluster(
      3,
      async (cluster) => {
        const owed = await oweToH3(cluster);
        let [isBlocked, tries] = [true, 0];
        intercept(cluster, "h1", async (to, body) => {
          if (!isBlocked || to !== "h3" || !statesIn(body).includes(`b/${first}`)) return;
          if (body[0] === methods.swap.number) throw new StoreError("internal", "one of these cannot be taken in");
          tries += 1;
          throw new TransportError("lost", "nobody can deliver this one");
        });
        const h3 = await cluster.start("h3", { config: onlyHints });
        await eventually(async () => (await owed()) === 1 && tries >= 2, "all but one to be delivered");
        for (const key of keys) {
          assert.deepEqual(texts((await h3.getLocal("b", key)).siblings), key === first ? [] : [key]);
        }
        const told = eventsOf(cluster, "hints-delivered", "h1");
        assert.ok(told.length > 0 && told.every(({ count, bytes }) => bytes > count));
        isBlocked = false;
        await eventually(async () => (await owed()) === 0, "the last one");
        assert.deepEqual(texts((await h3.getLocal("b", first!)).siblings), [first]);
      },
      onlyHints,
    ));

  test("are dropped where they are damaged, told, and hold up no other", () =>
    withCluster(
      3,
      async (cluster) => {
        await oweToH3(cluster);
        cluster.kill("h1");
        const { rows } = await cluster.disk("h1").page("hints", { limit: 1 });
        await cluster.disk("h1").rot("hints", rows[0]!.key);
        const h1 = await cluster.start("h1", { config: onlyHints });
        assert.equal((await h1.status()).hints, keys.length);
        const h3 = await cluster.start("h3", { config: onlyHints });
        await eventually(async () => (await h1.status()).hints === 0, "no hint to be left");
        assert.ok(eventsOf(cluster, "corrupt-record", "h1").some(({ where }) => where.includes("hint")));
        for (const key of keys.slice(1)) assert.deepEqual(texts((await h3.getLocal("b", key)).siblings), [key]);
      },
      onlyHints,
    ));

  test("are dropped where their keys are damaged: no text, another key, another position, another target, or none", () =>
    withCluster(
      3,
      async (cluster) => {
        await oweToH3(cluster);
        cluster.kill("h1");
        const disk = cluster.disk("h1");
        const { rows } = await disk.page("hints", { limit: 100 });
        const bent: [index: number, bits: number][] = [
          [-1, 0x80],
          [-1, 1],
          [8, 1],
          [1, 1],
          [1, 0x80],
          [0, 0x80],
          [0, 1],
        ];
        for (const [i, [index, bits]] of bent.entries()) await disk.rotKey("hints", rows[i * 3]!.key, index, bits);
        const h1 = await cluster.start("h1", { config: onlyHints });
        const h3 = await cluster.start("h3", { config: onlyHints });
        await eventually(async () => (await h1.status()).hints === 0, "no hint to be left");
        assert.deepEqual((await disk.page("hints", { limit: 100 })).rows, []);
        assert.equal(eventsOf(cluster, "corrupt-record", "h1").length, bent.length);
        for (const [i, key] of keys.entries()) {
          if (i % 3 === 0 && i / 3 < bent.length) continue;
          assert.deepEqual(texts((await h3.getLocal("b", key)).siblings), [key]);
        }
      },
      onlyHints,
    ));
});

/** Everything that is kept for one host is too much. */
const noRoom = { hintBytesMax: 0, readRepairShare: 0 };

/** Whoever keeps something for `target`. */
async function keepersFor(cluster: MemoryCluster, target: string): Promise<string[]> {
  const keepers = await Promise.all(
    [...cluster.nodes].map(async ([name, node]) => {
      const { hintsFor } = await node.status();
      return hintsFor.some((hints) => hints.for === target) ? [name] : [];
    }),
  );
  return keepers.flat();
}

const localTexts = async (cluster: MemoryCluster, host: string, key: string): Promise<string[]> =>
  texts((await cluster.node(host).getLocal("b", key)).siblings);

describe("hints over their bounds", () => {
  test("go to the other owners and are forgotten while their host stays away, and it gets all when it is back", () =>
    withCluster(
      5,
      async (cluster) => {
        const { name, walk } = await placed(cluster);
        const [a, b, c] = walk as [string, string, string];
        cluster.kill(c);
        for (const node of cluster.nodes.values()) await seen(node, c, false);
        const { receipt } = await cluster.node(a).put("b", name, utf8("v"), { w: 2 });
        assert.equal(receipt.got, 2);
        await eventually(() => eventsOf(cluster, "hints-relieved").length > 0, "hints to be relieved");
        await eventually(async () => (await keepersFor(cluster, c)).length === 0, `nothing to be kept for ${c}`);
        for (const owner of [a, b]) assert.deepEqual(await localTexts(cluster, owner, name), ["v"]);
        await cluster.start(c, { config: noRoom });
        await eventually(async () => (await localTexts(cluster, c, name))[0] === "v", `${c} to have it`);
        assert.deepEqual(eventsOf(cluster, "hints-delivered"), []);
      },
      noRoom,
    ));

  test("stay where they are the only copies, also over a restart and on a full disk, until another owner has them", () =>
    withCluster(
      5,
      async (cluster) => {
        const { name, walk } = await placed(cluster);
        const owners = walk.slice(0, 3);
        const [standIn] = walk.slice(3) as [string];
        for (const owner of owners) cluster.kill(owner);
        for (const owner of owners) await seen(cluster.node(standIn), owner, false);
        await cluster.node(standIn).put("b", name, utf8("v"), { w: 1 });
        await cluster.node(standIn).put("b", name, utf8("w"), { w: 1 });
        cluster.kill(standIn);
        await cluster.start(standIn, { config: noRoom });
        cluster.disk(standIn).refusesWrites = "full";
        await new Promise((resolve) => setTimeout(resolve, 2_500)); // two chances to relieve
        assert.deepEqual(await localTexts(cluster, standIn, name), ["v", "w"]);
        assert.equal((await keepersFor(cluster, owners[0]!)).includes(standIn), true);
        cluster.disk(standIn).refusesWrites = undefined;
        for (const owner of owners) await cluster.start(owner, { config: noRoom });
        await eventually(async () => {
          const each = await Promise.all(owners.map((owner) => localTexts(cluster, owner, name)));
          return each.every((values) => values.length === 2);
        }, "the owners to have it");
      },
      noRoom,
    ));

  test("stay where they count for a write that every replica was asked for", () =>
    withCluster(
      5,
      async (cluster) => {
        const { name, walk } = await placed(cluster);
        const [a, , c, standIn] = walk as [string, string, string, string];
        cluster.kill(c);
        for (const node of cluster.nodes.values()) await seen(node, c, false);
        const { receipt } = await cluster.node(a).put("b", name, utf8("v"), { w: "all" });
        assert.deepEqual(receipt.hinted, [{ for: c, at: standIn }]);
        await new Promise((resolve) => setTimeout(resolve, 2_500));
        assert.deepEqual(await keepersFor(cluster, c), [standIn]);
        assert.deepEqual(await localTexts(cluster, standIn, name), ["v"]);
      },
      noRoom,
    ));
});

test("a hint over its bounds stays where it is the only copy that is not in a browser", () =>
  withCluster(
    2,
    async (cluster) => {
      const browsers = ["h3", "h4"];
      for (const name of browsers) {
        await cluster.join(name, { seeds: ["memory:h1"], own: { kind: "browser-host" }, config: noRoom });
      }
      await cluster.settled();
      const { name, walk } = await placed(cluster, ([, , , last]) => !browsers.includes(last!));
      const standIn = walk[3]!;
      const away = ["h1", "h2"].find((host) => host !== standIn)!;
      cluster.kill(away);
      for (const node of cluster.nodes.values()) await seen(node, away, false);
      const { receipt } = await cluster.node("h3").put("b", name, utf8("v"), { w: 2 });
      assert.equal(receipt.got >= 2, true);
      await eventually(async () => (await keepersFor(cluster, away)).includes(standIn), `${standIn} to keep it`);
      await new Promise((resolve) => setTimeout(resolve, 2_500)); // two chances to relieve
      assert.ok((await keepersFor(cluster, away)).includes(standIn));
      for (const browser of browsers) assert.deepEqual(await localTexts(cluster, browser, name), ["v"]);
    },
    noRoom,
  ));
