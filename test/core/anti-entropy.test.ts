import assert from "node:assert/strict";
import { test } from "node:test";
import { toHex } from "../../core/bytes/hex.ts";
import { makeKey, nameOf } from "../../core/bytes/key.ts";
import { clockDigest } from "../../core/causality/clock.ts";
import { decodeVersioned } from "../../core/causality/encoding.ts";
import { StoreError } from "../../core/errors.ts";
import type { NodeId } from "../../core/identity.ts";
import { keyOfRow, locate } from "../../core/placement/locate.ts";
import { call, methods } from "../../core/rpc/rpc.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import type { StoreEvent } from "../../core/telemetry.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryCluster, type MemberSpec } from "../support/memory-cluster.ts";
import { patient } from "./coordinate/scene.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const fast: MemberSpec = { config: { ...patient, antiEntropyIntervalMs: 20, readRepairShare: 0 } };

async function withCluster(count: number, body: (cluster: MemoryCluster) => Promise<void>): Promise<void> {
  const cluster = await MemoryCluster.of(count, fast);
  try {
    await body(cluster);
  } finally {
    await cluster.stop();
  }
}

/** Key -> clock, of what is on the disk. */
async function clocksOf(cluster: MemoryCluster, name: string): Promise<Map<string, string>> {
  const records = new RecordStore(cluster.disk(name));
  const { rows } = await records.page("objects", { limit: 100_000 });
  return new Map(
    rows.map((row) => [
      keyOfRow(row.key),
      "corrupt" in row ? "corrupt" : toHex(clockDigest(decodeVersioned(row.value))),
    ]),
  );
}

/** With as many hosts as replicas, each holds everything. */
async function becomeEqual(cluster: MemoryCluster, keys: number): Promise<void> {
  await eventually(async () => {
    const [first, ...others] = await Promise.all([...cluster.nodes.keys()].map((name) => clocksOf(cluster, name)));
    const text = JSON.stringify([...first!]);
    return first!.size === keys && others.every((other) => JSON.stringify([...other]) === text);
  }, `${keys} equal keys on all disks`);
}

type Round = Extract<StoreEvent, { kind: "anti-entropy" }>;

const roundsOf = (cluster: MemoryCluster): Round[] =>
  cluster.events.flatMap(({ event }) => (event.kind === "anti-entropy" ? [event] : []));

/** Nobody finds a difference any more: `count` rounds in a row were one round trip each. */
async function idle(cluster: MemoryCluster, count: number): Promise<Round[]> {
  const start = roundsOf(cluster).length;
  await eventually(
    () =>
      roundsOf(cluster).length >= start + count &&
      roundsOf(cluster)
        .slice(-count)
        .every((r) => r.roundTrips === 1),
    `${count} idle rounds`,
  );
  return roundsOf(cluster).slice(-count);
}

/** Hints would mend it first, and no round would have anything to do. */
async function forgetHints(cluster: MemoryCluster, names: readonly string[]): Promise<void> {
  for (const name of names) {
    cluster.kill(name);
    await cluster.disk(name).clear("hints", {});
    await cluster.start(name, fast);
  }
}

test("two hosts that took writes while they were cut off become equal without a read", () =>
  withCluster(2, async (cluster) => {
    const one = { w: "one" } as const;
    for (let i = 0; i < 40; i++) await cluster.node("h1").put("carts", `both${i}`, bytes("before"), { w: 2 });
    cluster.network.cut("h1" as NodeId, "h2" as NodeId);
    for (let i = 0; i < 40; i++) {
      await cluster.node("h1").put("carts", `left${i}`, bytes("l"), one);
      await cluster.node("h2").put("carts", `right${i}`, bytes("r"), one);
      await cluster.node(i % 2 === 0 ? "h1" : "h2").put("carts", `both${i}`, bytes("after"), one);
    }
    await cluster.node("h1").delete("carts", "both0", one);
    await forgetHints(cluster, ["h1", "h2"]);
    cluster.network.heal("h1" as NodeId, "h2" as NodeId);
    await becomeEqual(cluster, 120);
    await idle(cluster, 4);
    const moved = roundsOf(cluster).reduce((sum, round) => sum + round.keysPulled + round.keysPushed, 0);
    assert.ok(moved > 0, "anti-entropy moved them");
  }));

test("three hosts, one of which missed everything and one of which lost its disk, become equal", () =>
  withCluster(3, async (cluster) => {
    for (let i = 0; i < 60; i++) await cluster.node("h1").put("carts", `k${i}`, bytes("1"), { w: "all" });
    cluster.kill("h3");
    for (let i = 0; i < 60; i++) await cluster.node("h2").put("carts", `k${i + 30}`, bytes("2"), { w: 2 });
    await cluster.start("h3", fast);
    await cluster.settled(3);
    await becomeEqual(cluster, 90);
    cluster.kill("h1");
    cluster.wipe("h1");
    for (let i = 0; i < 20; i++) await cluster.node("h3").put("carts", `k${i + 80}`, bytes("3"), { w: 2 });
    await cluster.start("h1", { ...fast, seeds: ["memory:h2"] });
    await cluster.settled(3);
    await becomeEqual(cluster, 100);
  }));

test("an idle round is one digest", () =>
  withCluster(3, async (cluster) => {
    for (let i = 0; i < 60; i++) await cluster.node("h1").put("carts", `k${i}`, bytes("1"), { w: 1 });
    await becomeEqual(cluster, 60);
    await idle(cluster, 6); // the first may have begun before
    for (const round of await idle(cluster, 6)) {
      assert.equal(round.partitions, 16);
      assert.deepEqual([round.partitionsDifferent, round.keysPulled, round.keysPushed], [0, 0, 0]);
      assert.ok(round.bytes < 64, `${round.bytes} bytes`);
    }
  }));

test("one key that differs takes four round trips, and only the side behind gets the state", () =>
  withCluster(2, async (cluster) => {
    for (let i = 0; i < 30; i++) await cluster.node("h1").put("carts", `k${i}`, bytes("1"), { w: 2 });
    await idle(cluster, 4);
    const { context } = await cluster.node("h1").get("carts", "k7");
    cluster.network.cut("h1" as NodeId, "h2" as NodeId);
    await cluster.node("h2").put("carts", "k7", new Uint8Array(1_000), { w: 1, context: context! });
    await forgetHints(cluster, ["h2"]);
    const before = roundsOf(cluster).length;
    cluster.network.heal("h1" as NodeId, "h2" as NodeId);
    await becomeEqual(cluster, 30);
    await idle(cluster, 4);
    const mending = roundsOf(cluster)
      .slice(before)
      .filter((round) => round.keysPulled + round.keysPushed > 0);
    assert.ok(mending.length > 0);
    for (const round of mending) {
      assert.equal(round.partitionsDifferent, 1);
      assert.equal(round.keysPulled + round.keysPushed, 1);
      assert.ok(round.roundTrips <= 4);
      assert.ok(round.bytes < 3_000, `${round.bytes} bytes`);
    }
  }));

test("what is damaged on the disk of one host is brought back by another without a read", () =>
  withCluster(2, async (cluster) => {
    for (let i = 0; i < 30; i++) await cluster.node("h1").put("carts", `k${i}`, bytes("value"), { w: 2 });
    cluster.kill("h2");
    const disk = cluster.disk("h2");
    const { rows } = await disk.page("objects", { limit: 5 });
    for (const { key, value } of rows) {
      await disk.batch([{ kind: "put", ns: "objects", key, value: value.with(2, value[2]! ^ 8) }], "synced");
    }
    assert.equal([...(await clocksOf(cluster, "h2")).values()].filter((clock) => clock === "corrupt").length, 5);
    await cluster.start("h2", fast);
    await becomeEqual(cluster, 30);
    await idle(cluster, 4);
    assert.equal((await cluster.node("h2").status()).keys, 30);
  }));

test("a row that cannot be read keeps no other partition from being mended, and is tried again ever more seldom", () =>
  withCluster(2, async (cluster) => {
    for (let i = 0; i < 40; i++) await cluster.node("h1").put("carts", `k${i}`, bytes("value"), { w: 2 });
    cluster.kill("h2");
    const disk = cluster.disk("h2");
    const { rows } = await disk.page("objects", { limit: 100 });
    const damaged = rows.at(-1)!.key;
    await disk.rot("objects", damaged);
    disk.unreadableRow = rows[0]!.key;
    const ofH2 = (kind: StoreEvent["kind"]): StoreEvent[] =>
      cluster.events.flatMap(({ node, event }) => (node === "h2" && event.kind === kind ? [event] : []));
    const built = ofH2("trees-built").length;
    await cluster.start("h2", fast);
    const records = new RecordStore(disk);
    const isWhole = (): Promise<boolean> =>
      records.get("objects", damaged).then(
        () => true,
        () => false,
      );
    await eventually(isWhole, "the damaged row to be mended");
    assert.equal(ofH2("trees-built").length, built + 1);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    const tries = ofH2("task-failed");
    assert.ok(tries.length >= 2 && tries.length <= 5, `${tries.length} tries`);
    for (const event of tries) assert.match(JSON.stringify(event), /build Merkle trees.*cannot read a row/);
    disk.unreadableRow = undefined;
    await eventually(() => ofH2("trees-built").length > built + 1, "its partition to be read");
    await becomeEqual(cluster, 40);
    await idle(cluster, 4);
  }));

test("what is damaged on the disk of a host that has it in memory is written again from there", () =>
  withCluster(2, async (cluster) => {
    const located = Array.from({ length: 40 }, (_, i) => locate(makeKey("b", `k${i}`), 16));
    const [cached, ...others] = located;
    const other = others.find(({ partition }) => partition === cached!.partition)!;
    const both = [cached!, other].map(({ key, row }) => ({ name: nameOf(key), row }));
    for (const { name } of both) await cluster.node("h2").put("b", name, bytes("v"), { w: "all" });
    cluster.kill("h1");
    await cluster.start("h1", { ...fast, seeds: ["memory:h2"] });
    await becomeEqual(cluster, 2);
    await cluster.node("h1").getLocal("b", both[0]!.name);
    await idle(cluster, 3);
    for (const { row } of both) await cluster.disk("h1").rot("objects", row);
    // Its damage has the tree of the partition built anew.
    await cluster.node("h1").getLocal("b", both[1]!.name);
    await becomeEqual(cluster, 2);
    await idle(cluster, 3);
    const told = cluster.events.flatMap(({ event }) => (event.kind === "corrupt-record" ? [event.where] : []));
    assert.equal(told.filter((where) => where.endsWith("written again from memory")).length, 1);
  }));

test("trees are not built again and again while the disk refuses writes, but once it takes them", () =>
  withCluster(1, async (cluster) => {
    const node = cluster.node("h1");
    await node.put("carts", "k", bytes("1"));
    const builds = (): number => cluster.events.filter(({ event }) => event.kind === "trees-built").length;
    await eventually(() => builds() > 0, "the first trees");
    const before = builds();
    cluster.disk("h1").refusesWrites = "io";
    for (let i = 0; i < 10; i++) {
      await assert.rejects(node.put("carts", `refused${i}`, bytes("2")), StoreError);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(builds(), before);
    cluster.disk("h1").refusesWrites = undefined;
    // Nobody writes.
    await eventually(() => builds() > before, "trees after the failures");
    assert.equal((await node.status()).keys, 1);
    cluster.disk("h1").refusesWrites = "full";
    await assert.rejects(node.put("carts", "k", bytes("3")), StoreError);
    assert.equal((await node.status()).storage.state, "full");
    cluster.disk("h1").refusesWrites = undefined;
    await eventually(async () => (await node.status()).storage.state === "ok", "it to be told");
  }));

test("trees stay what they are where the disk refuses writes before the first byte", () =>
  withCluster(3, async (cluster) => {
    const builds = (): number => cluster.events.filter(({ event }) => event.kind === "trees-built").length;
    await eventually(() => builds() >= 3, "the first trees");
    const before = builds();
    cluster.disk("h1").refusesWrites = "full";
    for (let i = 0; i < 10; i++) await cluster.node("h2").put("carts", `k${i}`, bytes("v"));
    assert.equal((await cluster.node("h1").status()).storage.state, "full");
    cluster.disk("h1").refusesWrites = undefined;
    // Nothing else is written there but what it missed.
    await becomeEqual(cluster, 10);
    await eventually(async () => (await cluster.node("h1").status()).storage.state === "ok", "it to be told");
    assert.equal(builds(), before);
  }));

test("who is no member, or sees another ring, is not compared with", () =>
  withCluster(1, async (cluster) => {
    const stranger = cluster.network.node("stranger");
    const h1 = await stranger.meet("memory:h1");
    const { fingerprint } = cluster.node("h1").ring();
    for (const ring of [fingerprint, "0123456789abcdef"]) {
      const request = { view: { ring, life: 1 }, digest: new Uint8Array(8) };
      await assert.rejects(call(stranger, h1, methods.compare, request, 2_000), StoreError);
    }
    stranger.die();
  }));
