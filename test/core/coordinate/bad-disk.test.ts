import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { StoreError } from "../../../core/errors.ts";
import { eventually } from "../../support/eventually.ts";
import { failsWith, texts, utf8 } from "../../support/values.ts";
import { local, placed, rowOf, seen, withCluster } from "./scene.ts";

describe("a coordinator with a bad disk", () => {
  test("that is full lets another owner mint, and says nothing of itself in the receipt", () =>
    withCluster(3, async (cluster) => {
      cluster.disk("h1").refusesWrites = "full";
      const { receipt } = await cluster.node("h1").put("b", "k", utf8("v"));
      assert.deepEqual([...receipt.durable].toSorted(), ["h2", "h3"]);
      assert.deepEqual(texts((await cluster.node("h1").get("b", "k")).siblings), ["v"]);
      assert.equal((await cluster.node("h1").status()).storage.state, "full");
    }));

  test("that fails each write as corrupt lets another owner mint: there is no record to heal", () =>
    withCluster(3, async (cluster) => {
      cluster.disk("h1").refusesWrites = "corrupt";
      const { receipt } = await cluster.node("h1").put("b", "k", utf8("v"));
      assert.deepEqual([...receipt.durable].toSorted(), ["h2", "h3"]);
      assert.equal((await cluster.node("h1").status()).storage.state, "failed");
    }));

  test("that cannot be read lets another owner mint, also when the write was passed on to it", () =>
    withCluster(
      4,
      async (cluster) => {
        const { name, walk } = await placed(cluster);
        const [a, b, c, other] = walk as [string, string, string, string];
        await cluster.node(a).put("b", name, utf8("old"), { w: "all" });
        cluster.disk(a).refusesReads = "io";
        const { receipt } = await cluster.node(a).put("b", name, utf8("new"));
        assert.deepEqual([...receipt.durable].toSorted(), [b, c].toSorted());
        cluster.disk(b).refusesReads = "io";
        await cluster.node(other).put("b", name, utf8("newer"), { w: "one" });
        assert.deepEqual(texts((await cluster.node(c).getLocal("b", name)).siblings), ["new", "newer", "old"]);
      },
      { cacheBytesMax: 0 },
    ));

  test("that cannot be read and is alone refuses as not ready: nothing was done", () =>
    withCluster(
      1,
      async (cluster) => {
        cluster.disk("h1").refusesReads = "io";
        await assert.rejects(cluster.node("h1").put("b", "k", utf8("v")), failsWith("not-ready"));
        cluster.disk("h1").refusesReads = undefined;
        assert.equal((await cluster.node("h1").getLocal("b", "k")).context, null);
      },
      { cacheBytesMax: 0 },
    ));

  test("that is full and alone refuses with storage-full and stores nothing, which it says where it is certain", () =>
    withCluster(1, async (cluster) => {
      const disk = cluster.disk("h1");
      const refused = (nothingWritten: true | undefined) => (error: unknown) =>
        failsWith("storage-full")(error) && (error as StoreError).detail.nothingWritten === nothingWritten;
      disk.refusesWrites = "full";
      await assert.rejects(cluster.node("h1").put("b", "k", utf8("v")), refused(true));
      assert.equal((await cluster.node("h1").getLocal("b", "k")).context, null);
      disk.writesWhatItRefuses = true;
      await assert.rejects(cluster.node("h1").put("b", "k", utf8("v")), refused(undefined));
    }));

  test("that is full, as those of all others are, says that nothing was written only where it is certain of all", () =>
    withCluster(3, async (cluster) => {
      const disks = ["h1", "h2", "h3"].map((host) => cluster.disk(host));
      for (const disk of disks) disk.refusesWrites = "full";
      const refused = (nothingWritten: true | undefined) => (error: unknown) =>
        failsWith("storage-full")(error) && (error as StoreError).detail.nothingWritten === nothingWritten;
      const put = () => cluster.node("h1").put("b", "k", utf8("v"));
      await assert.rejects(put(), refused(true));
      for (const disk of disks.slice(1)) disk.writesWhatItRefuses = true;
      await assert.rejects(put(), refused(undefined));
      disks[0]!.writesWhatItRefuses = true;
      for (const disk of disks.slice(1)) disk.writesWhatItRefuses = false;
      await assert.rejects(put(), failsWith("outcome-unknown"));
    }));

  test("that may have kept what it refused leaves the outcome open, though whoever is asked next refuses for certain", () =>
    withCluster(
      3,
      async (cluster) => {
        const disk = cluster.disk("h1");
        const node = cluster.node("h1");
        disk.writesWhatItRefuses = true;
        disk.refusesWrites = "io";
        const release = disk.hold("writes");
        const { batches } = disk;
        const late = node.put("b", "k", utf8("late"), { ifAbsent: true, timeoutMs: 60_000 });
        await eventually(() => disk.batches > batches, "the write at h1");
        await cluster.node("h2").put("b", "k", utf8("first"), { w: 2 });
        release();
        await assert.rejects(late, failsWith("outcome-unknown"));
        for (const other of ["h2", "h3"]) cluster.disk(other).refusesReads = "io";
        await assert.rejects(node.put("b", "other", utf8("v"), { w: "one" }), failsWith("outcome-unknown"));
        for (const host of ["h1", "h2", "h3"]) cluster.disk(host).refusesReads = undefined;
        cluster.kill("h1");
        disk.refusesWrites = undefined;
        await cluster.start("h1", { config: { cacheBytesMax: 0 } });
        const found = texts((await cluster.node("h1").getLocal("b", "k")).siblings);
        assert.ok(found.includes("late"), found.join());
        assert.deepEqual(texts((await cluster.node("h1").getLocal("b", "other")).siblings), ["v"]);
      },
      { cacheBytesMax: 0 },
    ));

  test("whose record is damaged heals it from the others before it mints on it", () =>
    withCluster(
      3,
      async (cluster) => {
        const { context } = await cluster.node("h2").put("b", "k", utf8("old"), { w: "all" });
        await cluster.disk("h1").rot("objects", rowOf("k"));
        await cluster.node("h1").put("b", "k", utf8("new"), { context: context!, w: "all" });
        const own = await cluster.node("h1").getLocal("b", "k");
        assert.deepEqual([own.holding, texts(own.siblings)], ["complete", ["new"]]);
        assert.deepEqual(texts((await cluster.node("h3").get("b", "k", { r: "all" })).siblings), ["new"]);
      },
      { cacheBytesMax: 0 },
    ));

  test("whose record is damaged lets another owner mint while it cannot be healed", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h1").put("b", "k", utf8("old"), { w: "all" });
        cluster.kill("h3");
        await seen(cluster.node("h1"), "h3", false);
        await cluster.disk("h1").rot("objects", rowOf("k"));
        await cluster.node("h1").put("b", "k", utf8("new"));
        assert.deepEqual(await local(cluster, "h2"), ["new", "old"]);
        assert.equal((await cluster.node("h1").getLocal("b", "k")).holding, "filling");
      },
      { cacheBytesMax: 0 },
    ));

  test("whose record is damaged, while nobody else is up, takes the write: reads are degraded until all is there again", () =>
    withCluster(
      3,
      async (cluster) => {
        const node = cluster.node("h1");
        await node.put("b", "k", utf8("old"), { w: "all" });
        for (const name of ["h2", "h3"]) cluster.kill(name);
        for (const name of ["h2", "h3"]) await seen(node, name, false);
        await cluster.disk("h1").rot("objects", rowOf("k"));
        await node.put("b", "k", utf8("new"), { w: "one" });
        const read = await node.get("b", "k", { r: "one" });
        assert.deepEqual([texts(read.siblings), read.degraded], [["new"], true]);
        for (const name of ["h2", "h3"]) await cluster.start(name);
        await cluster.settled();
        await eventually(async () => (await node.getLocal("b", "k")).holding === "complete", "h1 to be healed");
        for (const name of ["h1", "h2", "h3"]) {
          await eventually(async () => (await local(cluster, name)).join() === "new,old", `both values at ${name}`);
        }
        assert.equal((await node.get("b", "k", { r: "one" })).degraded, false);
      },
      { cacheBytesMax: 0 },
    ));
});

describe("a read at a host with a bad disk", () => {
  test("of a damaged own record answers from the others, whole, and heals it", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
        await cluster.disk("h1").rot("objects", rowOf("k"));
        const read = await cluster.node("h1").get("b", "k");
        assert.deepEqual([texts(read.siblings), read.degraded], [["v"], false]);
        await eventually(async () => (await cluster.node("h1").getLocal("b", "k")).holding === "complete", "h1 healed");
        assert.deepEqual(await local(cluster, "h1"), ["v"]);
      },
      { cacheBytesMax: 0 },
    ));

  test("makes no damaged record whole from a stale copy: that takes all other owners", () =>
    withCluster(
      3,
      async (cluster) => {
        const { context } = await cluster.node("h1").put("b", "k", utf8("old"), { w: "all" });
        cluster.kill("h2");
        await seen(cluster.node("h1"), "h2", false);
        await cluster.node("h1").put("b", "k", utf8("new"), { w: 2, context: context! });
        // With the note of what h2 missed: who is left has the old value, or a damaged record.
        for (const name of ["h1", "h3"]) cluster.kill(name);
        await cluster.disk("h3").rot("objects", rowOf("k"));
        for (const name of ["h2", "h3"]) await cluster.start(name, { config: { readRepairShare: 1 } });
        await cluster.settled(3);
        await cluster.node("h2").get("b", "k", { r: "one" });
        await eventually(async () => (await local(cluster, "h3")).join() === "old", "the read's repair of h3");
        const read = await cluster.node("h2").get("b", "k", { r: 2 });
        assert.deepEqual([texts(read.siblings), read.degraded], [["old"], true]);
        await cluster.start("h1");
        await eventually(async () => (await cluster.node("h3").getLocal("b", "k")).holding === "complete", "h3 healed");
        assert.deepEqual(await local(cluster, "h3"), ["new"]);
      },
      { cacheBytesMax: 0 },
    ));

  test("that cannot be read is answered by the others: one replica fewer, no failure", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
        cluster.disk("h1").refusesReads = "io";
        assert.deepEqual(texts((await cluster.node("h1").get("b", "k")).siblings), ["v"]);
        await assert.rejects(cluster.node("h1").get("b", "k", { r: 3 }), failsWith("quorum-not-met"));
      },
      { cacheBytesMax: 0 },
    ));

  test("that hangs ends all the same, and so does a write", () =>
    withCluster(
      3,
      async (cluster) => {
        const node = cluster.node("h1");
        await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
        const releases = (["reads", "writes"] as const).map((what) => cluster.disk("h1").hold(what));
        await assert.rejects(node.get("b", "k", { timeoutMs: 100 }), failsWith("quorum-not-met"));
        await assert.rejects(node.put("b", "k", utf8("w"), { timeoutMs: 100 }), failsWith("quorum-not-met"));
        for (const release of releases) release();
      },
      { cacheBytesMax: 0 },
    ));
});

test("an explanation at a host whose disk fails or hangs says what the others have, and of itself that it did not answer", () =>
  withCluster(
    3,
    async (cluster) => {
      const disk = cluster.disk("h1");
      await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
      const answered = async (): Promise<string[]> => {
        const { siblings, preferenceList } = await cluster.node("h1").explain("b", "k");
        const found = preferenceList.filter(({ holding }) => holding !== undefined).map(({ id }) => id);
        assert.deepEqual(siblings.flatMap(({ at }) => at).toSorted(), found.toSorted());
        return found.toSorted();
      };
      disk.refusesReads = "io";
      assert.deepEqual(await answered(), ["h2", "h3"]);
      disk.refusesReads = undefined;
      const release = disk.hold("reads");
      assert.deepEqual(await answered(), ["h2", "h3"]);
      release();
      assert.deepEqual(await answered(), ["h1", "h2", "h3"]);
    },
    { cacheBytesMax: 0 },
  ));
