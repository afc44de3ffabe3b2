/** What goes wrong with one partition, or one owner, holds up nothing else that a former owner lets go of. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Transfers } from "../../../core/background/transfers.ts";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import { StoreError } from "../../../core/errors.ts";
import type { Key, PartitionIndex } from "../../../core/identity.ts";
import { locate, rangeOfPartition } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { node, type OneNode } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";
import { at, put, World } from "../replica/world.ts";
import { confirmed, formerOwner, owners, stillHeld } from "./former-owner.ts";

interface Asked {
  readonly owner: string;
  readonly atMs: number;
  readonly toDrop: boolean;
  readonly partitions: readonly number[];
}

/** Starts it; the owners confirm everything, after `answer`. */
function handOff(one: OneNode, answer: (asked: Asked) => Promise<void> | void = () => {}): Asked[] {
  const all: Asked[] = [];
  for (const [owner, server] of one.servers) {
    server.on(methods.handOff, async (_from, { partitions, toDrop = false }) => {
      const asked = { owner, atMs: one.clock.now(), toDrop, partitions: partitions.map(({ index }) => index) };
      all.push(asked);
      await answer(asked);
      return { partitions: partitions.map(confirmed) };
    });
  }
  new Transfers(one, one.config).start(one);
  return all;
}

async function stop({ tasks, clock }: OneNode): Promise<void> {
  const stopping = tasks.stop(100);
  await clock.advance(100);
  await stopping;
}

const after = ({ clock }: OneNode, ms: number): Promise<void> =>
  new Promise((resolve) => void clock.after(ms, resolve));

/** A request has 64 partitions, and each owner owns all of these. */
const many = { partitions: 256 };

test("a former owner has an owner read on where it is, also when that was too busy with its clients to read anything", async () => {
  const one = await formerOwner(owners, { partitions: 1 });
  handOff(one);
  const readFroms: (number | undefined)[] = [];
  // A row in each request; the third and the next three come to nothing.
  const reads = [1, 2, 2, 2, 2, 2];
  one.servers.get("h2")!.on(methods.handOff, async (_from, { partitions }) => {
    const { index, readFrom } = partitions[0]!;
    const next = reads[readFroms.length];
    readFroms.push(readFrom?.[0]);
    if (next === undefined) return { partitions: [confirmed({ index })] };
    await after(one, 5_000);
    const reading = { partition: index, state: "reading" as const, differing: new Uint8Array(0) };
    return { partitions: [{ ...reading, next: Uint8Array.of(next) }] };
  });
  await one.clock.advance(reads.length * 5_000 + 1_000);
  assert.deepEqual(readFroms, [undefined, ...reads]);
  assert.deepEqual(stillHeld(one), []);
  await stop(one);
});

describe("a former owner of many partitions", () => {
  test("lets go of as many as are in a request before it asks about the next, in as few requests as can be", async () => {
    const one = await formerOwner(owners, many);
    const heldAtRequests: number[] = [];
    const asked = handOff(one, ({ owner }) => {
      if (owner === "h2") heldAtRequests.push(stillHeld(one).length);
    });
    await one.clock.advance(5_000);
    assert.deepEqual(heldAtRequests, [256, 192, 128, 64]);
    assert.equal(asked.length, 4 * owners.length);
    assert.deepEqual(stillHeld(one), []);
    const told = one.events.flatMap((event) => (event.kind === "handed-off" ? [event.partitions] : []));
    assert.deepEqual(told, [256]);
    await stop(one);
  });

  test("loses no more than those it asks about by a change of the ring", async () => {
    const one = await formerOwner(owners, many);
    const { cluster } = one;
    const { fingerprint } = cluster.ring;
    let h2Asked = 0;
    const asked = handOff(one, ({ owner }) => {
      if (owner !== "h2") return;
      h2Asked += 1;
      if (h2Asked === 2) cluster.merge({ members: new Map([[node("h9"), memberRecord({ id: node("h9") })]]) });
    });
    await one.clock.advance(5_000);
    assert.notEqual(cluster.ring.fingerprint, fingerprint);
    assert.deepEqual(stillHeld(one), []);
    const times = allPartitions(256).map((p) => asked.filter((each) => each.partitions.includes(p)).length / 3);
    assert.deepEqual(
      [1, 2].map((count) => times.filter((each) => each === count).length),
      [192, 64],
    );
    await stop(one);
  });

  test("lets go of the first while an owner that is slow is asked about the others", async () => {
    const one = await formerOwner(owners, many);
    handOff(one, ({ owner }) => (owner === "h4" ? after(one, 5_000) : undefined));
    await one.clock.advance(6_000);
    assert.equal(stillHeld(one).length, 192);
    await one.clock.advance(15_000);
    assert.deepEqual(stillHeld(one), []);
    await stop(one);
  });

  test("waits once in a round for an owner that answers nothing, and asks again about what it needs that one for", async () => {
    const one = await formerOwner(owners, many);
    const asked = handOff(one, ({ owner }) => (owner === "h4" ? new Promise(() => {}) : undefined));
    await one.clock.advance(11_000);
    assert.deepEqual(stillHeld(one), []);
    assert.equal(asked.filter(({ owner }) => owner === "h4").length, 1);
    await stop(one);
    let isSilent = true;
    const other = await formerOwner(["h2", "h4"], many);
    const askedOther = handOff(other, ({ owner }) => (owner === "h4" && isSilent ? new Promise(() => {}) : undefined));
    await other.clock.advance(10_100);
    const ofH2 = askedOther.filter(({ owner, toDrop }) => owner === "h2" && toDrop);
    assert.equal(ofH2.length, 1, "h2 is not made to read what h4 must confirm as well");
    isSilent = false;
    await other.clock.advance(20_000);
    assert.deepEqual(stillHeld(other), []);
    await stop(other);
  });

  test("does not keep what it can let go of for offers of what it cannot", async () => {
    const one = await formerOwner(owners, many);
    const full = one.cluster.roster.holdings.get(node("h3"))!;
    const [all, first] = [allPartitions(256), [0 as PartitionIndex]];
    const bits = { complete: bitmapOf(256, all.slice(1)), filling: bitmapOf(256, first) };
    one.cluster.merge({ holdings: new Map([[full.id, { ...full, sequence: 2, ...bits }]]) });
    const asked = handOff(one, ({ toDrop }) => (toDrop ? undefined : new Promise(() => {})));
    await one.clock.advance(2_000);
    assert.deepEqual(stillHeld(one), first);
    const offers = asked.filter(({ toDrop }) => !toDrop);
    assert.deepEqual(offers.map(({ owner }) => owner).toSorted(), owners);
    assert.ok(offers.every(({ partitions }) => partitions.join() === "0"));
    await stop(one);
  });
});

/** h1 holds a key of each of 16 partitions, which the owners have otherwise and cover. */
async function withKeys(): Promise<OneNode> {
  const one = await formerOwner(owners, {});
  const source = await new World().start();
  const state = (await source.replica.write(at("v"), put("v"))).held.toBytes();
  for (const partition of allPartitions(16)) one.holdings.set(partition, "complete");
  const keys = Array.from({ length: 200 }, (_, i) => locate(`b/k${i}` as Key, 16));
  for (const partition of allPartitions(16))
    await one.replica.apply(
      keys.find((each) => each.partition === partition)!,
      state,
    );
  for (const partition of allPartitions(16)) one.holdings.set(partition, "former");
  for (const server of one.servers.values()) {
    server.on(methods.handOff, async (_from, { partitions }) => ({
      partitions: partitions.map((each) => ({ ...confirmed(each), differing: new Uint8Array(8).fill(255) })),
    }));
    server.on(methods.covers, async (_from, { keys: asked }) => ({
      uncovered: bitmapOf(asked.length, [...asked.keys()]),
    }));
    server.on(methods.swap, async (_from, { push }) => ({ states: [], done: 0, applied: push.length }));
  }
  new Transfers(one, one.config).start(one);
  return one;
}

const bad = 3 as PartitionIndex;

/** What reads it, of what there is to be read of a partition; and how to make that fail. */
const reads: Readonly<Record<string, (one: OneNode, isBad: () => boolean) => () => number>> = {
  "a row that is to be pushed": ({ replica }, isBad) => {
    const row = replica.row.bind(replica);
    let failed = 0;
    replica.row = async (located) => {
      if (located.partition !== bad || !isBad()) return row(located);
      failed += 1;
      throw new StoreError("not-ready", "this row cannot be read");
    };
    return () => failed;
  },
  "a leaf that differs": ({ disk }, isBad) => failingPages(disk, isBad, false),
  "a page that is to be dropped": ({ disk }, isBad) => failingPages(disk, isBad, true),
};

function failingPages(disk: OneNode["disk"], isBad: () => boolean, keysOnly: boolean): () => number {
  const page = disk.page.bind(disk);
  const { gte, lt } = rangeOfPartition(bad, 16);
  let failed = 0;
  disk.page = async (ns, request) => {
    const at = request.gte ?? gte;
    const isIn = Buffer.compare(at, gte) >= 0 && Buffer.compare(at, lt!) < 0;
    if (ns !== "objects" || !isIn || (request.keysOnly === true) !== keysOnly || !isBad()) return page(ns, request);
    failed += 1;
    throw new Error("this page cannot be read");
  };
  return () => failed;
}

describe("what cannot be read keeps its own partition and no other, and is tried again ever later", () => {
  for (const [what, failing] of Object.entries(reads)) {
    test(what, async () => {
      let isBad = true;
      const one = await withKeys();
      const failed = failing(one, () => isBad);
      await one.clock.advance(1_000);
      assert.deepEqual(stillHeld(one), [bad]);
      await one.clock.advance(59_000);
      assert.ok(one.events.some(({ kind }) => kind === "task-failed"));
      assert.ok(failed() >= 6 && failed() <= 15 * 3, `${failed()} tries in a minute`);
      isBad = false;
      await one.clock.advance(9_000);
      assert.deepEqual(stillHeld(one), []);
      await stop(one);
    });
  }
});

test("what an owner does not confirm is asked about ever later, and at once when the owners say something else", async () => {
  const one = await formerOwner(owners, {});
  let answers = 0;
  for (const [id, server] of one.servers) {
    server.on(methods.handOff, async (_from, { partitions }) => {
      answers += 1;
      const state = id === "h4" ? ("filling" as const) : ("complete" as const);
      return { partitions: partitions.map((each) => ({ ...confirmed(each), state })) };
    });
  }
  new Transfers(one, one.config).start(one);
  await one.clock.advance(60_000);
  assert.ok(answers / owners.length <= 14, `${answers} answers`);
  const before = answers;
  await one.clock.advance(100);
  one.cluster.merge({ members: new Map([[node("h9"), memberRecord({ id: node("h9") })]]) });
  await one.clock.advance(300);
  assert.ok(answers > before);
  assert.equal(stillHeld(one).length, 16);
  await stop(one);
});
