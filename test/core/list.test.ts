import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { toHex } from "../../core/bytes/hex.ts";
import { listHere } from "../../core/coordinate/list.ts";
import type { Key } from "../../core/identity.ts";
import { locate } from "../../core/placement/locate.ts";
import { eventually } from "../support/eventually.ts";
import type { MemoryCluster } from "../support/memory-cluster.ts";
import { failsWith, utf8 } from "../support/values.ts";
import { oneNode, rosterOf } from "./cluster/world.ts";
import { patient, rowOf, seen, withCluster as withClusterOf } from "./coordinate/scene.ts";
import { put } from "./replica/world.ts";

/** No host is silent here: those that are away were killed. */
const withCluster = (count: number, body: (cluster: MemoryCluster) => Promise<void>): Promise<void> =>
  withClusterOf(count, body, patient);

/** Every name of a bucket, page by page. */
async function listed(cluster: MemoryCluster, host: string, limit: number, prefix = ""): Promise<string[]> {
  const names: string[] = [];
  let after: string | null | undefined;
  do {
    const page = await cluster.node(host).list("b", { limit, prefix, ...(after ? { after } : {}) });
    assert.ok(page.keys.length <= limit);
    names.push(...page.keys);
    after = page.next;
  } while (after !== null);
  assert.equal(new Set(names).size, names.length, "no name is listed twice");
  return names;
}

const names = (count: number, prefix = "key"): string[] => Array.from({ length: count }, (_, i) => `${prefix}${i}`);

async function fill(cluster: MemoryCluster, keys: readonly string[], bucket = "b"): Promise<void> {
  const hosts = [...cluster.nodes.values()];
  await Promise.all(keys.map((name, i) => hosts[i % hosts.length]!.put(bucket, name, utf8(name))));
}

describe("a list", () => {
  test("is answered as far as a host's disk gets in time, and goes on from there", async () => {
    const one = oneNode("h1", rosterOf(["h1"]));
    const { cluster, clock, holdings, replica } = one;
    for (const partition of cluster.ring.ownedBy(cluster.self)) holdings.set(partition, "complete");
    for (const name of names(10)) await replica.write(locate(`b/${name}` as Key, 16), put(name));
    const read = replica.read.bind(replica);
    replica.read = (located) => {
      clock.jump(1_000);
      return read(located);
    };
    const request = { view: one.exchange.view(), bucket: "b", prefix: "", limit: 100 };
    const counts: number[] = [];
    const rows = new Set<string>();
    let after: Uint8Array | undefined;
    do {
      const untilMs = clock.now() + 3_500;
      const deps = one as unknown as Parameters<typeof listHere>[0];
      const { keys, through } = await listHere(deps, { ...request, ...(after && { after }) }, untilMs);
      counts.push(keys.length);
      for (const { row } of keys) rows.add(toHex(row));
      after = through;
    } while (after !== undefined);
    assert.deepEqual(counts, [4, 4, 2]);
    assert.equal(rows.size, 10);
  });

  test("that takes too long gives the names that it has, and where to go on", () =>
    withClusterOf(
      1,
      async (cluster) => {
        const keys = names(12);
        await fill(cluster, keys);
        const disk = cluster.disk("h1");
        const get = disk.get.bind(disk);
        disk.get = async (ns, key) => {
          if (ns === "objects") await sleep(200);
          return get(ns, key);
        };
        const first = await cluster.node("h1").list("b", { timeoutMs: 1_000 });
        assert.ok(first.keys.length > 0 && first.keys.length < keys.length, `${first.keys.length} names`);
        assert.equal(first.next, first.keys.at(-1));
        disk.get = get;
        const { keys: rest } = await cluster.node("h1").list("b", { after: first.next });
        assert.deepEqual([...first.keys, ...rest].toSorted(), keys.toSorted());
      },
      { requestTimeoutMs: 2_000, cacheBytesMax: 0 },
    ));

  test("names every key of the bucket once, whatever the page size, from every host", () =>
    withCluster(5, async (cluster) => {
      const keys = names(60);
      await fill(cluster, keys);
      await fill(cluster, names(10, "other"), "c");
      for (const [host, limit] of [
        ["h1", 7],
        ["h2", 1],
        ["h3", 60],
        ["h4", 59],
        ["h5", 1_000],
      ] as const) {
        assert.deepEqual((await listed(cluster, host, limit)).toSorted(), keys.toSorted(), `pages of ${limit}`);
      }
    }));

  test("stops at no damaged key, and names what other hosts have of it; then this one has it as well", () =>
    withCluster(3, async (cluster) => {
      const keys = names(20);
      for (const key of keys) await cluster.node("h1").put("b", key, utf8(key), { w: "all" });
      await cluster.disk("h1").rotKey("objects", rowOf(keys[0]!), -1, 0x80);
      await cluster.disk("h1").rotKey("objects", rowOf(keys[1]!), -1, 1);
      assert.deepEqual((await listed(cluster, "h1", 7)).toSorted(), keys.toSorted());
      await eventually(async () => (await cluster.node("h1").status()).partitions.filling === 0, "h1 to be filled");
      cluster.kill("h3");
      await seen(cluster.node("h1"), "h3", false);
      assert.deepEqual((await listed(cluster, "h1", 7)).toSorted(), keys.toSorted());
    }));

  test("with a prefix names those keys only", () =>
    withCluster(3, async (cluster) => {
      await fill(cluster, [...names(20, "a"), ...names(20, "b")]);
      assert.deepEqual((await listed(cluster, "h2", 6, "a")).toSorted(), names(20, "a").toSorted());
      assert.deepEqual(await listed(cluster, "h2", 6, "none"), []);
    }));

  test("takes any prefix that a key may have, and refuses a longer one", () =>
    withCluster(1, async (cluster) => {
      const node = cluster.node("h1");
      const longest = "k".repeat(1_022);
      await node.put("b", longest, utf8("v"));
      assert.deepEqual((await node.list("b", { prefix: longest })).keys, [longest]);
      await assert.rejects(node.list("b", { prefix: `${longest}k` }), failsWith("bad-request"));
    }));

  test("leaves out deleted and expired keys, and names one that a delete is concurrent with", () =>
    withCluster(3, async (cluster) => {
      const node = cluster.node("h1");
      const { context } = await node.put("b", "gone", utf8("v"));
      await node.delete("b", "gone", { context: context! });
      await node.put("b", "brief", utf8("v"), { ttlMs: 1 });
      await node.put("b", "both", utf8("v"));
      await node.delete("b", "both");
      await node.put("b", "lasting", utf8("v"));
      await eventually(async () => (await node.get("b", "brief")).siblings.length === 0, "the value to expire");
      assert.deepEqual((await listed(cluster, "h2", 10)).toSorted(), ["both", "lasting"]);
    }));

  test("reads a key that replicas disagree on: what a read finds is listed, what it does not is not", () =>
    withCluster(3, async (cluster) => {
      for (const behind of ["h1", "h2", "h3"]) {
        const [node] = [...cluster.nodes].flatMap(([host, each]) => (host === behind ? [] : [each]));
        const { context } = await node!.put("b", `gone without ${behind}`, utf8("v"), { w: "all" });
        cluster.disk(behind).refusesWrites = "io";
        await node!.put("b", `new without ${behind}`, utf8("v"), { w: 2 });
        await node!.delete("b", `gone without ${behind}`, { context: context!, w: 2 });
        cluster.disk(behind).refusesWrites = undefined;
      }
      const expected = ["h1", "h2", "h3"].map((behind) => `new without ${behind}`);
      for (const host of ["h1", "h2", "h3"])
        assert.deepEqual((await listed(cluster, host, 10)).toSorted(), expected, host);
    }));

  test("stays complete and without doubles for keys that were there before and stay, while others come and go", () =>
    withCluster(3, async (cluster) => {
      const keys = names(80);
      await fill(cluster, keys);
      const listedAll = new AbortController();
      const writing = (async () => {
        for (let i = 0; !listedAll.signal.aborted; i++) {
          const node = cluster.node(`h${1 + (i % 3)}`);
          const { context } = await node.put("b", `passing${i}`, utf8("v"));
          await node.delete("b", `passing${i}`, { context: context! });
          await node.put("b", keys[i % keys.length]!, utf8("again"));
        }
      })();
      for (const limit of [5, 13, 40]) {
        const found = await listed(cluster, "h2", limit);
        assert.deepEqual(
          found.filter((name) => name.startsWith("key")).toSorted(),
          keys.toSorted(),
          `pages of ${limit}`,
        );
      }
      listedAll.abort();
      await writing;
    }));

  test("goes on with a host down, and says quorum-not-met when too few are left", () =>
    withCluster(3, async (cluster) => {
      await fill(cluster, names(10));
      cluster.kill("h3");
      await seen(cluster.node("h1"), "h3", false);
      assert.equal((await listed(cluster, "h1", 4)).length, 10);
      cluster.kill("h2");
      await seen(cluster.node("h1"), "h2", false);
      await assert.rejects(cluster.node("h1").list("b"), failsWith("quorum-not-met"));
      await assert.rejects(cluster.node("h1").list("nothing in it"), failsWith("quorum-not-met"));
    }));

  test("does not take a host for complete whose disk lost rows together with their keys", () =>
    withCluster(3, async (cluster) => {
      // Acknowledged by two, of which one is down and one cannot even tell that it had it.
      cluster.disk("h3").refusesWrites = "io";
      await cluster.node("h1").put("b", "k", utf8("v"), { w: 2 });
      cluster.kill("h1");
      await seen(cluster.node("h2"), "h1", false);
      const disk = cluster.disk("h2");
      const page = disk.page.bind(disk);
      disk.page = async (ns, request) => {
        const { rows, next } = await page(ns, request);
        return ns === "objects" ? { rows: [], next, damaged: true } : { rows, next };
      };
      for (const host of ["h2", "h3"]) await assert.rejects(cluster.node(host).list("b"), failsWith("quorum-not-met"));
    }));

  test("of a bad limit, bucket or prefix is a bad request", () =>
    withCluster(1, async (cluster) => {
      const node = cluster.node("h1");
      for (const limit of [0, -1, 1.5, 10_001])
        await assert.rejects(node.list("b", { limit }), failsWith("bad-request"));
      for (const bucket of ["", "a/b"]) await assert.rejects(node.list(bucket), failsWith("bad-request"));
      await assert.rejects(node.list("b", { prefix: "x".repeat(1_024) }), failsWith("bad-request"));
    }));
});
