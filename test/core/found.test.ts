/**
 * Rules that the core does not keep yet: each test fails, and says in its comment what goes wrong where.
 * When one is mended, its test moves to the file of its part.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeVersioned } from "../../core/causality/encoding.ts";
import type { NodeId } from "../../core/identity.ts";
import { encodeRoster, lackingIn, summarize } from "../../core/membership/exchange.ts";
import { methods } from "../../core/rpc/rpc.ts";
import { emptyRoster, mergeRoster, newerMember } from "../../core/membership/roster.ts";
import { ReadTally } from "../../core/quorum/read-tally.ts";
import { eventually } from "../support/eventually.ts";
import { MemoryCluster } from "../support/memory-cluster.ts";
import { failsWith, texts, utf8 } from "../support/values.ts";
import { eventsOf, local, placed, rowOf, seen, staleAt, withCluster } from "./coordinate/scene.ts";
import { cluster as parameters, memberRecord, nodes, sent } from "./membership/samples.ts";
import { viewOf } from "./quorum/view.ts";
import { at, host as nodeOf, put, World } from "./replica/world.ts";

describe("found in quorum", () => {
  /**
   * read-tally.ts promises "`met` is final", but keeps no decision: a later reply may raise what is needed. Harmless for
   * the answer (Reading settles once), not for `heals`, which asks the tally again after the answer.
   */
  test("a read that was met stays met when a later reply says filling", () => {
    const tally = new ReadTally(viewOf("a b c", { d: "complete", e: "complete" }), 2);
    for (const node of nodesOf("a b c")) tally.ask(node);
    tally.reply("a" as NodeId, "complete");
    assert.equal(tally.reply("b" as NodeId, "complete").kind, "met");
    assert.equal(tally.reply("c" as NodeId, "filling").kind, "met");
  });
});

describe("found in membership", () => {
  /**
   * newerMember breaks a tie by JSON.stringify, which goes by the order of properties: a record made here has another
   * order than one that was decoded. So on a tie each side keeps its own, and two hosts that carried out `remove` and
   * `leave` of one member at the same incarnation never agree: their fingerprints differ for ever.
   */
  test("which of two records wins does not depend on the way they came", () => {
    const left = memberRecord({ incarnation: 3, status: "left" });
    const removed = memberRecord({ incarnation: 3, status: "removed" });
    const [wireLeft, wireRemoved] = [left, removed].map((record) => {
      const one = mergeRoster(emptyRoster(parameters), { members: new Map([[record.id, record]]) });
      return sent(one).members!.get(record.id)!;
    });
    assert.equal(newerMember(left, wireRemoved!).status, newerMember(removed, wireLeft!).status);
  });

  /**
   * A summary has the incarnation and sequence of holdings, not their life: a host that came back under the next life
   * counts both from 1 again, and its new bitmaps are then not sent to whoever remembers the old ones under equal numbers.
   */
  test("an exchange carries the holdings of a member's next life", () => {
    const id = nodes[0]!;
    const holding = (life: number, bits: number) => ({
      members: new Map([[id, memberRecord({ id, life: 2 })]]),
      holdings: new Map([
        [
          id,
          {
            id,
            life,
            incarnation: 1,
            sequence: 1,
            complete: Uint8Array.of(bits),
            filling: Uint8Array.of(0),
            former: Uint8Array.of(0),
          },
        ],
      ]),
    });
    const behind = mergeRoster(emptyRoster(parameters), holding(1, 255));
    const ahead = mergeRoster(emptyRoster(parameters), holding(2, 0));
    const after = mergeRoster(behind, sent(ahead, lackingIn(summarize(behind), ahead)));
    assert.deepEqual(encodeRoster(after), encodeRoster(ahead));
  });
});

describe("found in the replica", () => {
  const key = at("k");

  /** #commit counts a key as added when its old row could not be read; the count from the disk has counted that row. */
  test("a healed record is not a further key", async () => {
    const world = new World();
    const { held } = await (await world.start()).replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    const { replica } = await world.start();
    await replica.keys.countAll(() => false);
    await replica.apply(key, held.encoded!, { heals: true });
    assert.equal(replica.index.keys, 1);
  });

  /** KeyCount: a row that is written behind the page that is being read, and ahead of where the count says it is. */
  test("a key written while a page is being counted is counted once", async () => {
    const world = new World();
    await (await world.start()).replica.write(at("first"), put("x"));
    const { replica } = await world.start();
    // The page is taken, and its answer is on the way while the write is made.
    const page = world.disk.page.bind(world.disk);
    world.disk.page = async (ns, request) => {
      const taken = await page(ns, request);
      await replica.write(at("second"), put("y"));
      return taken;
    };
    await replica.keys.countAll(() => false);
    assert.equal(replica.index.keys, 2);
  });

  /** KeyCount: the row is on the disk when the page is taken, and told as added after the page was counted. */
  test("a key whose batch ends after its page was counted is counted once", async () => {
    const world = new World();
    const { replica } = await world.start();
    const batch = world.disk.batch.bind(world.disk);
    world.disk.batch = async (operations, durability) => {
      await batch(operations, durability);
      await replica.keys.countAll(() => false);
    };
    await replica.write(key, put("a"));
    assert.equal(replica.index.keys, 1);
  });

  /** #mint looks at the clock's length before it looks whether the event is there: a repeat becomes a second event. */
  test("a write id repeated when its own event filled the clock is still the same event", async () => {
    const { replica } = await new World({ clockEntriesMax: 1 }).start();
    const writeId = "00112233445566aa";
    await replica.write(key, put("a", undefined, { writeId }));
    await replica.write(key, put("a", undefined, { writeId }));
    assert.deepEqual(texts((await replica.read(key)).held.state.values), ["a"]);
  });

  /**
   * replica.oweTo replaces the hint's row by one without a state. Happens when a stand-in becomes an owner between its
   * write and a replica's failure (`oweTo` in replicate.ts asks for the holding anew), and loses the acknowledged write.
   */
  test("owing a key to a host for which a state is kept does not forget that state", async () => {
    const { replica, holdings } = await new World().start("none");
    await replica.write(key, put("acked", undefined, { hintsFor: [nodeOf("h2")] }));
    holdings.set(key.partition, "filling");
    await replica.oweTo(key, nodeOf("h2"));
    const { held } = await replica.read(key);
    const hint = await replica.hints.get(nodeOf("h2"), key);
    const kept = hint?.state === undefined ? held.state : decodeVersioned(hint.state);
    assert.deepEqual(texts(kept.values), ["acked"]);
  });

  /** #noteDamage rejects when the note cannot be written: "Disk full: reads go on" (PROTOCOL 12), `read`: "never rejects for damage". */
  test("a damaged record is read as incomplete also while the disk is full", async () => {
    const world = new World();
    await (await world.start()).replica.write(key, put("a"));
    await world.disk.rot("objects", key.row);
    const { replica } = await world.start();
    world.disk.refusesWrites = "full";
    assert.equal((await replica.read(key)).role, "filling");
  });

  /** PROTOCOL 11: "every discarded value is reported by a `conflict` event". Nothing emits that event. */
  test("a last-writer-wins value that another one discards unseen is told as a conflict", async () => {
    const world = new World();
    const { replica } = await world.start();
    await replica.write(key, put("a", undefined, { value: { kind: "lww" } }));
    await replica.write(key, put("b", undefined, { value: { kind: "lww" } }));
    assert.ok(world.kinds().includes("conflict"));
  });

  /** A batch that failed and is on the disk all the same was never counted, and its key is not new to the next write. */
  test("a key that a refused batch left on the disk is counted", async () => {
    const world = new World();
    const { replica } = await world.start();
    await replica.keys.countAll(() => false);
    world.disk.refusesWrites = "io";
    world.disk.writesWhatItRefuses = true;
    await assert.rejects(replica.write(key, put("a")));
    world.disk.refusesWrites = undefined;
    await replica.write(key, put("b"));
    assert.equal(replica.index.keys, 1);
  });
});

describe("found in coordination", () => {
  /**
   * Reading.run finishes with the own copy, and that first #repair clears the replies, the own one with them: what the
   * drawn read then learns mends the others, never the host that asked.
   */
  test("a read with R=1 is answered by the own copy, and mends it when it is drawn to check all owners", () =>
    withCluster(
      3,
      async (cluster) => {
        await staleAt(cluster, "h3");
        assert.deepEqual(texts((await cluster.node("h3").get("b", "k", { r: "one" })).siblings), ["v1"]);
        await eventually(async () => (await local(cluster, "h3")).join() === "v2", "the drawn read's repair", 2_000);
      },
      { readRepairShare: 1 },
    ));

  /** Reading.run: #checkOutcome asks one host because nobody is asked yet, then #askFirst asks R minus the replies on top. */
  test("a read asks as few replicas as can suffice", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
        const transport = cluster.transport("h1");
        const request = transport.request.bind(transport);
        let fetches = 0;
        transport.request = (to, body, timeoutMs) => {
          if (body[0] === methods.fetch.number) fetches += 1;
          return request(to, body, timeoutMs);
        };
        await cluster.node("h1").get("b", "k", { r: 2 });
        assert.equal(fetches, 1);
      },
      { readRepairShare: 0, speculativeDelayMinMs: 1_000 },
    ));

  /** The same cause: with all asked at once there is nobody left to overtake a slow one. */
  test("a read is overtaken by asking the next owner when the first is slow", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h1").put("b", "k", utf8("v"), { w: "all" });
        for (const slow of ["h2", "h3"]) {
          const release = cluster.disk(slow).hold("reads");
          // A failed replica would be given up only after the read's own time-out.
          assert.deepEqual(texts((await cluster.node("h1").get("b", "k", { r: 2 })).siblings), ["v"]);
          release();
        }
        assert.ok(eventsOf(cluster, "speculative-read", "h1").length >= 1);
      },
      { cacheBytesMax: 0, readRepairShare: 0, replicaTimeoutMs: 60_000 },
    ));

  /**
   * replicate.ts feeds the own acks one by one, and the tally decides after the first: "held, filling" alone covers no
   * complete holder and nobody is asked, so the write has failed before the hints for the complete holders are counted.
   */
  test("a host restarted alone writes with W=1, for it owes the others, and reads degraded", () =>
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

  /**
   * planWrite sends to a former owner twice when it is also the stand-in of a filling owner that is down: once for the
   * hint, once to hold it. The tally waits for it once, so the first answer decides that the write has failed. With hosts
   * joining one after the other this refuses puts although every host that has data is up.
   */
  test("a put succeeds while a joining host is away, through the former owner that stands in for it", async () => {
    const cluster = await MemoryCluster.of(2, { cluster: { n: 2 } });
    try {
      const releases = ["h1", "h2"].map((name) => cluster.disk(name).hold("reads"));
      await cluster.start("h3", { seeds: ["memory:h1"], cluster: { n: 2 } });
      for (const name of ["h1", "h2"]) await seen(cluster.node(name), "h3", true);
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

  /** Reading.#readHere and replica.write await the own disk before any timer is set: a hung disk hangs the client for ever. */
  test("a request ends within its time-out although the own disk hangs", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
        const releases = (["reads", "writes"] as const).map((what) => cluster.disk("h1").hold(what));
        const hung = Symbol("hung");
        const limit = new Promise((resolve) => setTimeout(resolve, 3_000, hung));
        const requests = [
          cluster.node("h1").get("b", "k", { timeoutMs: 200 }),
          cluster.node("h1").put("b", "k", utf8("w"), { timeoutMs: 200 }),
        ].map((request) =>
          request.then(
            () => "answered",
            () => "refused",
          ),
        );
        const ends = await Promise.all(requests.map((request) => Promise.race([request, limit])));
        for (const release of releases) release();
        assert.ok(!ends.includes(hung), "still waiting after fifteen times the time-out");
      },
      { cacheBytesMax: 0 },
    ));

  /** Reading.#readHere lets the error of the own disk through, although R other owners could answer (PROTOCOL 12). */
  test("a read at a host whose disk cannot be read is answered by the others", () =>
    withCluster(
      3,
      async (cluster) => {
        await cluster.node("h2").put("b", "k", utf8("v"), { w: "all" });
        cluster.disk("h1").refusesReads = "io";
        assert.deepEqual(texts((await cluster.node("h1").get("b", "k")).siblings), ["v"]);
      },
      { cacheBytesMax: 0 },
    ));

  /** scanPartition leaves damaged rows out of its page without a word, so whoever fills from it believes to be complete. */
  test("a host that fills from a damaged record does not call the key absent", () =>
    withCluster(1, async (cluster) => {
      await cluster.node("h1").put("b", "k", utf8("v"));
      await cluster.disk("h1").rot("objects", rowOf("k"));
      const h2 = await cluster.start("h2", { seeds: ["memory:h1"] });
      await eventually(async () => (await h2.status()).members.length === 2, "h2 to join");
      const limit = new Promise((resolve) => setTimeout(resolve, 1_500));
      await Promise.race([cluster.settled(2), limit]);
      await assert.rejects(h2.get("b", "k", { r: "one" }), failsWith("quorum-not-met"));
    }));

  /** A prefix watch that lost its place lists anew, and a list names live keys only: deletes since then are never told. */
  test("a prefix watch tells of deletes also when the log has forgotten them", () =>
    withCluster(
      1,
      async (cluster) => {
        const node = cluster.node("h1");
        const names = Array.from({ length: 12 }, (_, i) => `k${i}`);
        for (const name of names) await node.put("b", name, utf8(name));
        const end = new AbortController();
        const states = new Map<string, number>();
        const watching = (async () => {
          for await (const { name, siblings } of node.watch("b", { prefix: "k" }, end.signal))
            states.set(name, siblings.length);
        })();
        await eventually(() => states.size === names.length, "the present state");
        const contexts = await Promise.all(names.map((name) => node.get("b", name)));
        await Promise.all(names.map((name, i) => node.delete("b", name, { context: contexts[i]!.context! })));
        const limit = new Promise((resolve) => setTimeout(resolve, 2_000));
        const allGone = eventually(() => [...states.values()].every((live) => live === 0), "every delete").catch(
          () => {},
        );
        await Promise.race([allGone, limit]);
        end.abort();
        await watching;
        assert.deepEqual(
          [...states].filter(([, live]) => live > 0),
          [],
        );
      },
      { changeLogEntriesMax: 4 },
    ));
});

function nodesOf(names: string): NodeId[] {
  return names.split(" ") as NodeId[];
}
