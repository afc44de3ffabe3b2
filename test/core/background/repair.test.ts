import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import type { RepairProgress } from "../../../core/api.ts";
import { toHex } from "../../../core/bytes/hex.ts";
import { clockDigest } from "../../../core/causality/clock.ts";
import { decodeVersioned } from "../../../core/causality/encoding.ts";
import { StoreError } from "../../../core/errors.ts";
import type { NodeId } from "../../../core/identity.ts";
import { TransportError } from "../../../core/ports.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { metricsTelemetry } from "../../../node-host/metrics.ts";
import { eventually } from "../../support/eventually.ts";
import type { MemoryCluster } from "../../support/memory-cluster.ts";
import { utf8 } from "../../support/values.ts";
import { eventsOf, intercept, rowOf, sentBy, withCluster } from "../coordinate/scene.ts";

/** After the first round at the start nothing but repair makes copies equal. */
const onlyRepair = { antiEntropyIntervalMs: 2_000_000_000, readRepairShare: 0 };
const never = new AbortController().signal;

async function repaired(cluster: MemoryCluster, name: string, partition?: number): Promise<RepairProgress> {
  let last: RepairProgress | undefined;
  const options = { signal: never, ...(partition === undefined ? {} : { partition }) };
  for await (const step of cluster.node(name).repair(options)) last = step;
  assert.ok(last);
  return last;
}

/** Row -> clock, or what is wrong with it. */
async function clocksOf(cluster: MemoryCluster, name: string): Promise<Record<string, string>> {
  const { rows } = await new RecordStore(cluster.disk(name)).page("objects", { limit: 100_000 });
  return Object.fromEntries(
    rows.map((row) => [toHex(row.key), "corrupt" in row ? "corrupt" : toHex(clockDigest(decodeVersioned(row.value)))]),
  );
}

async function equal(cluster: MemoryCluster): Promise<void> {
  const [first, ...others] = await Promise.all([...cluster.nodes.keys()].map((name) => clocksOf(cluster, name)));
  for (const other of others) assert.deepEqual(other, first);
}

/** Two hosts that have written apart, and no hint of it. */
async function apart(cluster: MemoryCluster): Promise<void> {
  for (let i = 0; i < 40; i++) await cluster.node("h1").put("b", `both${i}`, utf8("1"), { w: 2 });
  cluster.network.cut("h1" as NodeId, "h2" as NodeId);
  for (let i = 0; i < 30; i++) {
    await cluster.node("h1").put("b", `left${i}`, utf8("l"), { w: 1 });
    await cluster.node("h2").put("b", `right${i}`, utf8("r"), { w: 1 });
  }
  for (const name of ["h1", "h2"]) {
    cluster.kill(name);
    await cluster.disk(name).clear("hints", {});
  }
  for (const name of ["h1", "h2"]) await cluster.start(name, { config: onlyRepair });
  cluster.network.heal("h1" as NodeId, "h2" as NodeId);
  await cluster.connected("h1", "h2");
  await cluster.settled(2);
}

describe("repair", () => {
  test("goes on behind what cannot be read, and says which partition that is of", () =>
    withCluster(
      2,
      async (cluster) => {
        await apart(cluster);
        const disk = cluster.disk("h1");
        disk.unreadableRow = rowOf("both0");
        const { partition } = await cluster.node("h1").explain("b", "both0");
        const { done, total, unequal, problems, keysPulled } = await repaired(cluster, "h1");
        disk.unreadableRow = undefined;
        assert.equal(done, total);
        assert.equal(unequal, 1, problems.join());
        assert.match(problems.join(), new RegExp(`^partition ${partition}: it could not be read to its end: [^,]+$`));
        assert.ok(keysPulled > 15, `${keysPulled} of 30`);
      },
      onlyRepair,
    ));

  test("makes all partitions equal to those of their other owners, and tells what it took", () =>
    withCluster(
      2,
      async (cluster) => {
        await apart(cluster);
        const result = await repaired(cluster, "h1");
        await equal(cluster);
        assert.deepEqual([result.done, result.total, result.unequal, result.problems], [16, 16, 0, []]);
        assert.deepEqual([result.keysPushed, result.keysPulled], [30, 30]);
        assert.ok(result.bytes > 0 && result.msLeft === 0);
        const again = await repaired(cluster, "h1");
        assert.deepEqual([again.keysPushed, again.keysPulled, again.unequal], [0, 0, 0]);
        const { antiEntropy } = await cluster.node("h1").status();
        assert.equal(antiEntropy.partitionsAgreed, 16);
        assert.ok(antiEntropy.fullAgreementAgoMs! >= 0);
      },
      onlyRepair,
    ));

  test("counts alike in status and in metrics, whether it mends or ends half way", () =>
    withCluster(
      2,
      async (cluster) => {
        await apart(cluster);
        const before = (await cluster.node("h1").status()).antiEntropy;
        const start = cluster.events.length;
        let swaps = 0;
        intercept(cluster, "h1", async (_to, body) => {
          if (body[0] === methods.swap.number && ++swaps === 1) throw new TransportError("lost", "cut");
        });
        const { keysPushed, keysPulled, unequal } = await repaired(cluster, "h1");
        const after = (await cluster.node("h1").status()).antiEntropy;
        const { telemetry, registry } = metricsTelemetry();
        for (const { node, event } of cluster.events.slice(start)) if (node === "h1") telemetry.event(event);
        const sum = async (name: string, labels: object = {}): Promise<number> => {
          const { values } = await registry.getSingleMetric(`everwrite_anti_entropy_${name}_total`)!.get();
          const isAsked = (value: (typeof values)[number]): boolean =>
            isDeepStrictEqual({ ...value.labels, ...labels }, value.labels);
          return values.filter(isAsked).reduce((total, { value }) => total + value, 0);
        };
        assert.equal(unequal, 1);
        assert.ok(keysPushed > 0 && keysPulled > 0);
        assert.deepEqual(
          {
            rounds: await sum("rounds"),
            failed: await sum("rounds", { found: "failed" }),
            keysPushed: await sum("keys", { direction: "pushed" }),
            keysPulled: await sum("keys", { direction: "pulled" }),
            bytes: await sum("bytes"),
          },
          {
            rounds: after.rounds - before.rounds,
            failed: 1,
            keysPushed,
            keysPulled,
            bytes: after.bytes - before.bytes,
          },
        );
        assert.equal(after.failed - before.failed, 1);
        assert.equal(after.keysPushed - before.keysPushed, keysPushed);
        assert.equal(after.keysPulled - before.keysPulled, keysPulled);
      },
      onlyRepair,
    ));

  test("of one partition leaves the others alone", () =>
    withCluster(
      2,
      async (cluster) => {
        await apart(cluster);
        const { partition } = await cluster.node("h1").explain("b", "left0");
        const result = await repaired(cluster, "h1", partition);
        assert.deepEqual([result.done, result.total], [1, 1]);
        const [left, right] = [await clocksOf(cluster, "h1"), await clocksOf(cluster, "h2")];
        assert.notDeepEqual(left, right);
        const within = (clocks: Record<string, string>): object =>
          Object.fromEntries(Object.entries(clocks).filter(([row]) => parseInt(row[0]!, 16) === partition));
        assert.deepEqual(within(left), within(right));
        await assert.rejects(repaired(cluster, "h1", 99), (error) => {
          assert.ok(error instanceof StoreError);
          return error.code === "bad-request" && error.message.includes("there is no partition 99");
        });
      },
      onlyRepair,
    ));

  test("may run twice at once on both sides, beside writes, and end in the middle", () =>
    withCluster(
      2,
      async (cluster) => {
        await apart(cluster);
        const cancelled = new AbortController();
        const steps: number[] = [];
        for await (const { done } of cluster.node("h2").repair({ signal: cancelled.signal })) {
          if (steps.at(-1) !== done) steps.push(done);
          if (done === 3) cancelled.abort();
        }
        assert.deepEqual(steps, [0, 1, 2, 3]);
        const writing = Promise.all(
          Array.from({ length: 20 }, (_, i) => cluster.node("h1").put("b", `new${i}`, utf8("n"), { w: 2 })),
        );
        const results = await Promise.all(["h1", "h1", "h2"].map((name) => repaired(cluster, name)));
        await writing;
        for (const { unequal, problems } of results) assert.equal(unequal, 0, problems.join("; "));
        await equal(cluster);
      },
      onlyRepair,
    ));

  test("waits for a host that builds its trees just now, since it has begun a repair too", () =>
    withCluster(
      2,
      async (cluster) => {
        await apart(cluster);
        const other = cluster.node("h2").repair({ signal: never })[Symbol.asyncIterator]();
        for (let steps = 0; steps < 2; steps++) await other.next(); // one partition is checked, and its tree doubted
        const readOn = cluster.disk("h2").hold("reads");
        const asked = sentBy(cluster, "h1", methods.compareLeaves);
        const repairing = repaired(cluster, "h1");
        await eventually(() => asked.length > 1, "h1 to ask h2 again");
        readOn();
        const { unequal, problems } = await repairing;
        assert.equal(unequal, 0, problems.join("; "));
        await other.return?.();
        await equal(cluster);
      },
      onlyRepair,
    ));

  test("finds damaged records, and heals them from memory or from the others", () =>
    withCluster(
      3,
      async (cluster) => {
        const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
        for (const key of keys) await cluster.node("h1").put("b", key, utf8(key), { w: "all" });
        for (const key of keys.slice(0, 3)) await cluster.disk("h1").rot("objects", rowOf(key));
        const first = await repaired(cluster, "h1");
        assert.deepEqual([first.damagedFound, first.damagedHealed, first.problems], [3, 3, []]);
        await equal(cluster);

        const damaged = async (): Promise<number> => (await cluster.node("h2").status()).storage.corruptRecords;
        cluster.kill("h2"); // its memory goes, so only the others have it
        for (const key of keys.slice(3, 7)) await cluster.disk("h2").rot("objects", rowOf(key));
        await cluster.start("h2", { config: onlyRepair });
        await cluster.settled(3);
        const second = await repaired(cluster, "h2");
        assert.equal(second.damagedHealed, second.damagedFound);
        assert.deepEqual(second.problems, []);
        assert.ok(second.damagedFound >= 1);
        assert.equal(await damaged(), 0);
        await equal(cluster);
        assert.ok(!Object.values(await clocksOf(cluster, "h2")).includes("corrupt"));
      },
      onlyRepair,
    ));

  test("heals a damaged record from memory where nobody else has it", () =>
    withCluster(
      1,
      async (cluster) => {
        await cluster.node("h1").put("b", "k", utf8("v"), { w: 1 });
        await cluster.disk("h1").rot("objects", rowOf("k"));
        const result = await repaired(cluster, "h1");
        assert.deepEqual([result.damagedFound, result.damagedHealed, result.problems], [1, 1, []]);
        assert.ok(!Object.values(await clocksOf(cluster, "h1")).includes("corrupt"));
        assert.equal((await cluster.node("h1").getLocal("b", "k")).holding, "complete");
      },
      onlyRepair,
    ));

  test("of a disk whose rows are gone, nobody knows which, copies them anew from the others", () =>
    withCluster(
      3,
      async (cluster) => {
        const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
        for (const key of keys) await cluster.node("h1").put("b", key, utf8(key), { w: "all" });
        await cluster.disk("h1").loseRows(keys.slice(0, 8).map(rowOf));
        const result = await repaired(cluster, "h1");
        assert.ok(result.unequal > 0, "it says that it is not done yet");
        assert.match(result.problems.join(), /filled anew/);
        await eventually(async () => (await cluster.node("h1").status()).partitions.filling === 0, "h1 to be filled");
        await equal(cluster);
      },
      onlyRepair,
    ));

  test("removes rows whose keys are damaged, and copies what they held from the others", () =>
    withCluster(
      3,
      async (cluster) => {
        const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
        for (const key of keys) await cluster.node("h1").put("b", key, utf8(key), { w: "all" });
        const disk = cluster.disk("h1");
        await disk.rotKey("objects", rowOf(keys[0]!), -1, 0x80); // no text
        await disk.rotKey("objects", rowOf(keys[1]!), -1, 1); // another key
        await disk.rotKey("objects", rowOf(keys[2]!), 0, 0x80); // another partition
        const result = await repaired(cluster, "h1");
        assert.deepEqual([result.done, result.damagedFound], [16, 3], result.problems.join());
        assert.match(result.problems.join(), /filled anew/);
        await eventually(async () => (await cluster.node("h1").status()).partitions.filling === 0, "h1 to be filled");
        await equal(cluster);
        const told = eventsOf(cluster, "corrupt-record", "h1").map(({ where }) => where);
        assert.equal(told.filter((where) => /^row [0-9a-f]+, of which the key is damaged/.test(where)).length, 3);
        assert.deepEqual(
          [(await repaired(cluster, "h1")).damagedFound, Object.keys(await clocksOf(cluster, "h1")).length],
          [0, 20],
        );
      },
      onlyRepair,
    ));

  test("keeps a row whose key is damaged where nobody else has what it holds, and says so", () =>
    withCluster(
      1,
      async (cluster) => {
        for (const key of ["k", "l"]) await cluster.node("h1").put("b", key, utf8(key), { w: 1 });
        await cluster.disk("h1").rotKey("objects", rowOf("k"), -1, 0x80);
        const result = await repaired(cluster, "h1");
        assert.match(result.problems.join(), /no other host/);
        assert.equal(Object.keys(await clocksOf(cluster, "h1")).length, 2);
        assert.deepEqual((await cluster.node("h1").list("b", {})).keys, ["l"]);
      },
      onlyRepair,
    ));

  test("names 100 problems and counts the others: each step tells them all, and a disk may have very many", () =>
    withCluster(
      2,
      async (cluster) => {
        const keys = Array.from({ length: 130 }, (_, i) => `k${i}`);
        for (const key of keys) await cluster.node("h1").put("b", key, utf8(key), { w: "all" });
        for (const name of ["h1", "h2"]) cluster.kill(name); // what they remember goes
        for (const key of keys) await cluster.disk("h1").rot("objects", rowOf(key));
        await cluster.start("h1", { config: onlyRepair });
        const { problems } = await repaired(cluster, "h1");
        assert.equal(problems.length, 101);
        assert.match(problems[0]!, /too few owners have b\/k\d+ whole/);
        assert.match(problems[100]!, /^and \d\d more$/);
      },
      onlyRepair,
    ));

  test("status counts the keys that are damaged, however often they are read, until they are mended", () =>
    withCluster(
      2,
      async (cluster) => {
        const keys = ["k0", "k1", "k2"];
        for (const key of keys) await cluster.node("h1").put("b", key, utf8(key), { w: "all" });
        for (const name of ["h1", "h2"]) cluster.kill(name); // what they remember goes
        for (const key of keys.slice(1)) await cluster.disk("h1").rot("objects", rowOf(key));
        const config = { ...onlyRepair, antiEntropyIntervalMs: 2_000_000_000 };
        const h1 = await cluster.start("h1", { config });
        for (let reads = 0; reads < 3; reads++) for (const key of keys) await h1.getLocal("b", key);
        assert.equal((await h1.status()).storage.corruptRecords, 2);
        await cluster.start("h2", { config });
        await cluster.settled(2);
        await eventually(async () => (await h1.status()).storage.corruptRecords === 0, "both to be mended");
      },
      onlyRepair,
    ));

  test("tells which owners do not answer", () =>
    withCluster(
      3,
      async (cluster) => {
        cluster.kill("h3");
        await eventually(
          async () => (await cluster.node("h1").status()).members.some(({ id, alive }) => id === "h3" && !alive),
          "h3 to be missed",
        );
        const result = await repaired(cluster, "h1", (await cluster.node("h1").explain("b", "k")).partition);
        assert.equal(result.unequal, 1);
        assert.match(result.problems.join(), /h3 does not answer/);
      },
      onlyRepair,
    ));
});

test("a host that is asked for a part of its disk that it cannot read fills that partition anew", () =>
  withCluster(
    3,
    async (cluster) => {
      const keys = Array.from({ length: 20 }, (_, i) => `k${i}`);
      for (const key of keys) await cluster.node("h1").put("b", key, utf8(key), { w: "all" });
      await cluster.disk("h1").loseRows(keys.slice(0, 8).map(rowOf));
      cluster.kill("h3");
      cluster.wipe("h3");
      await cluster.start("h3", { config: onlyRepair, seeds: ["memory:h2"] });
      await cluster.settled(3);
      await eventually(async () => Object.keys(await clocksOf(cluster, "h1")).length === 20, "h1 to have all");
      await equal(cluster);
    },
    onlyRepair,
  ));
