/**
 * Rules that the core does not keep yet: each test fails, and says in its comment what goes wrong where.
 * When one is mended, its test moves to the file of its part.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeVersioned } from "../../core/causality/encoding.ts";
import type { NodeId } from "../../core/identity.ts";
import { encodeRoster, lackingIn, summarize } from "../../core/membership/exchange.ts";
import { emptyRoster, mergeRoster, newerMember } from "../../core/membership/roster.ts";
import { ReadTally } from "../../core/quorum/read-tally.ts";
import { texts } from "../support/values.ts";
import { cluster, memberRecord, nodes, sent } from "./membership/samples.ts";
import { viewOf } from "./quorum/view.ts";
import { at, host, put, World } from "./replica/world.ts";

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
      const one = mergeRoster(emptyRoster(cluster), { members: new Map([[record.id, record]]) });
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
        [id, { id, life, incarnation: 1, sequence: 1, complete: Uint8Array.of(bits), filling: Uint8Array.of(0) }],
      ]),
    });
    const behind = mergeRoster(emptyRoster(cluster), holding(1, 255));
    const ahead = mergeRoster(emptyRoster(cluster), holding(2, 0));
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
    assert.equal(replica.keys.value, 1);
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
    assert.equal(replica.keys.value, 2);
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
    assert.equal(replica.keys.value, 1);
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
    await replica.write(key, put("acked", undefined, { hintsFor: [host("h2")] }));
    holdings.set(key.partition, "filling");
    await replica.oweTo(key, host("h2"));
    const { held } = await replica.read(key);
    const hint = await replica.hints.get(host("h2"), key);
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
    assert.equal(replica.keys.value, 1);
  });
});

function nodesOf(names: string): NodeId[] {
  return names.split(" ") as NodeId[];
}
