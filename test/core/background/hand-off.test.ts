import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Admission } from "../../../core/background/admission.ts";
import { serveHandOff } from "../../../core/background/hand-off-answers.ts";
import { Transfers } from "../../../core/background/transfers.ts";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import { encodeClock } from "../../../core/causality/encoding.ts";
import type { Cluster } from "../../../core/cluster/cluster.ts";
import type { Exchange } from "../../../core/cluster/exchange.ts";
import type { Key, NodeId, PartitionIndex } from "../../../core/identity.ts";
import { locate } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { neverWritten } from "../../../core/replica/state-cache.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { failsWith, utf8 } from "../../support/values.ts";
import { node, type OneNode, type RosterSpec } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";
import { at, put, World } from "../replica/world.ts";
import { confirmed, formerOwner, owners } from "./former-owner.ts";

/** How often `up` were asked about what h1 has, in a while, and what is left here. */
async function handOff(up: readonly string[], holdings: RosterSpec["holdings"], browsers: readonly string[] = []) {
  const one = await formerOwner(up, { ...(holdings && { holdings }) });
  for (const id of browsers.map(node)) {
    const record = memberRecord({ id, incarnation: 2, kind: "browser-host", leaseMs: 600_000 });
    one.cluster.merge({ members: new Map([[id, record]]) });
  }
  const asked: NodeId[] = [];
  for (const [id, server] of one.servers) {
    server.on(methods.handOff, async (_from, { partitions }) => {
      asked.push(id as NodeId);
      const state = holdings?.[id] ?? "complete";
      return { partitions: partitions.map(({ index }) => ({ partition: index, state, differing: new Uint8Array(0) })) };
    });
  }
  new Transfers(one, one.config).start(one);
  await one.clock.advance(5_000);
  const stopping = one.tasks.stop(100);
  await one.clock.advance(100);
  await stopping;
  const left = allPartitions(16).filter((partition) => one.holdings.get(partition) !== "none").length;
  return { asked, left };
}

describe("a former owner", () => {
  test("lets go of what all owners confirm", async () => {
    assert.deepEqual(await handOff(owners, {}), { asked: owners, left: 0 });
  });

  test("lets go without one owner that is away", async () => {
    assert.deepEqual(await handOff(["h2", "h3"], {}), { asked: ["h2", "h3"], left: 0 });
  });

  test("offers what it has, but does not ask again and again, while too many owners are away to let it go", async () => {
    assert.deepEqual(await handOff(["h2"], {}), { asked: ["h2"], left: 16 });
  });

  test("does the same while only browsers could confirm it, whose copies come and go", async () => {
    assert.deepEqual(await handOff(["h2", "h3"], {}, ["h2", "h3"]), { asked: ["h2", "h3"], left: 16 });
    assert.deepEqual(await handOff(owners, {}, ["h2", "h3"]), { asked: owners, left: 0 });
  });

  test("does the same while an owner says that it is filling", async () => {
    assert.deepEqual(await handOff(owners, { h3: "filling" }), { asked: owners, left: 16 });
  });

  test("keeps what an owner that has confirmed it says to be filling again before it is dropped", async () => {
    const one = await formerOwner(owners, {});
    const full = one.cluster.roster.holdings.get(node("h2"))!;
    const lost = { ...full, incarnation: 2, complete: full.filling, filling: full.complete };
    for (const [id, server] of one.servers) {
      server.on(methods.handOff, async (_from, { partitions }) => {
        if (id === "h4") one.cluster.merge({ holdings: new Map([[lost.id, lost]]) });
        return { partitions: partitions.map(confirmed) };
      });
    }
    new Transfers(one, one.config).start(one);
    await one.clock.advance(5_000);
    assert.deepEqual([...new Set(allPartitions(16).map((each) => one.holdings.get(each)))], ["former"]);
    await one.tasks.stop(0);
  });

  test("asks again about a partition in which a write ended, begun while it counted, after the owners were asked", async () => {
    const run = await new World().start();
    const located = Array.from({ length: 64 }, (_, i) => locate(`b/k${i}` as Key, 16)).find((k) => k.partition < 4)!;
    await run.replica.write(located, put("v"));
    const state = (await run.replica.row(located)).toBytes();
    const one = await formerOwner(owners, {});
    const { disk, holdings } = one;
    const batch = disk.batch.bind(disk);
    let diskGoesOn = (): void => {};
    const held = new Promise<void>((resolve) => (diskGoesOn = resolve));
    disk.batch = (...args) => held.then(() => batch(...args));
    holdings.set(located.partition, "complete");
    const written = one.replica.apply(located, state);
    await one.clock.advance(1);
    holdings.set(located.partition, "former");
    const asked: NodeId[] = [];
    for (const [id, server] of one.servers) {
      server.on(methods.handOff, async (_from, { partitions: sections }) => {
        if (sections.some(({ index }) => index === located.partition)) asked.push(id as NodeId);
        diskGoesOn();
        await written;
        return { partitions: sections.map(confirmed) };
      });
    }
    new Transfers(one, one.config).start(one);
    await one.clock.advance(5_000);
    assert.deepEqual(asked.toSorted(), [...owners, ...owners].toSorted());
    assert.equal(holdings.get(located.partition), "none");
    await one.tasks.stop(0);
  });
});

test("the hand-off that is under way tells what share is let go of, what was pushed for that, and the time left", async () => {
  const source = await new World().start();
  const state = (await source.replica.write(at("v"), put("v"))).held.toBytes();
  const located = locate("b/k" as Key, 16);
  const one = await formerOwner(owners, {});
  const { clock, disk, holdings, servers } = one;
  holdings.set(located.partition, "complete");
  await one.replica.apply(located, state);
  holdings.set(located.partition, "former");
  let pageMs = 0;
  for (const [id, server] of servers) {
    server.on(methods.handOff, async (_from, { partitions: sections }) => ({
      partitions: sections.map((each) => ({ ...confirmed(each), differing: new Uint8Array(8).fill(255) })),
    }));
    server.on(methods.covers, async () => ({ uncovered: bitmapOf(1, id === "h2" ? [0] : []) }));
    server.on(methods.swap, async () => {
      pageMs = 1_000;
      return { states: [], done: 0, applied: 1 };
    });
  }
  const page = disk.page.bind(disk);
  disk.page = async (...args) => {
    if (pageMs > 0) await new Promise<void>((resolve) => clock.after(pageMs, resolve));
    return page(...args);
  };
  const transfers = new Transfers(one, one.config);
  assert.deepEqual(transfers.view(), {});
  transfers.start(one);
  await clock.advance(900);
  const pushed = { keys: 1, bytes: state.length };
  assert.deepEqual(transfers.view(), { handingOff: { percent: 0, ...pushed, leftMs: null } });
  await clock.advance(2_600);
  const { leftMs, ...rest } = transfers.view().handingOff!;
  assert.deepEqual(rest, { percent: 75, ...pushed }, "12 of 16, four each second");
  assert.ok(leftMs! >= 1_000 && leftMs! < 1_200, `${leftMs} ms`);
  await clock.advance(2_000);
  assert.deepEqual(transfers.view(), {});
  await one.tasks.stop(0);
});

/** h1 holds `count` keys as a former owner, in all partitions, which owners have otherwise; how often they were asked of which. */
async function differing(count: number, lacks: (owner: string, key: Key) => boolean = () => false) {
  const one = await formerOwner(owners, {});
  const source = await new World().start();
  const state = (await source.replica.write(at("v"), put("v"))).held.toBytes();
  const keys = Array.from({ length: count }, (_, i) => locate(`b/k${i}` as Key, 16));
  for (const partition of allPartitions(16)) one.holdings.set(partition, "complete");
  for (const each of keys) await one.replica.apply(each, state);
  for (const partition of allPartitions(16)) one.holdings.set(partition, "former");
  const questions = new Map<string, Key[][]>();
  const pushed = new Map<string, Key[]>();
  for (const [id, server] of one.servers) {
    questions.set(id, []);
    pushed.set(id, []);
    server.on(methods.handOff, async (_from, { partitions: sections }) => ({
      partitions: sections.map((each) => ({ ...confirmed(each), differing: new Uint8Array(8).fill(255) })),
    }));
    server.on(methods.covers, async (_from, { keys: asked }) => {
      questions.get(id)!.push(asked.map(({ key }) => key as Key));
      const lacking = asked.flatMap(({ key }, i) => (lacks(id, key as Key) ? [i] : []));
      return { uncovered: bitmapOf(asked.length, lacking) };
    });
    // What it lacks it cannot take in.
    server.on(methods.swap, async (_from, { push }) => {
      pushed.get(id)!.push(...push.map(({ key }) => key as Key));
      return { states: [], done: 0, applied: push.filter(({ key }) => !lacks(id, key as Key)).length };
    });
  }
  new Transfers(one, one.config).start(one);
  await one.clock.advance(200);
  const holdings = keys.map(({ partition }) => one.holdings.get(partition));
  const stopping = one.tasks.stop(100);
  await one.clock.advance(100);
  await stopping;
  return { keys, questions, pushed, holdings };
}

describe("the keys of leaves that differ are asked about", () => {
  test("together, however many partitions they are of", async () => {
    const { keys, questions, holdings } = await differing(200);
    for (const owner of owners) {
      assert.equal(questions.get(owner)!.length, 1, `${owner} is asked once`);
      assert.deepEqual(questions.get(owner)!.flat().toSorted(), keys.map(({ key }) => key).toSorted());
    }
    assert.ok(holdings.every((holding) => holding === "none"));
  });

  test("in questions that are answered in time where there are many, each once", async () => {
    const { keys, questions, holdings } = await differing(600);
    for (const owner of owners) {
      assert.deepEqual(
        questions.get(owner)!.map((asked) => asked.length),
        [256, 256, 88],
      );
      assert.deepEqual(questions.get(owner)!.flat().toSorted(), keys.map(({ key }) => key).toSorted());
    }
    assert.ok(holdings.every((holding) => holding === "none"));
  });

  test("and what two owners cannot take in keeps its own partition here, and no other", async () => {
    const refused = ["b/k0", "b/k1"];
    const { keys, pushed, holdings } = await differing(200, (owner, key) => owner !== "h4" && refused.includes(key));
    const kept = [0, 1].map((i) => keys[i]!.partition);
    assert.notEqual(kept[0], kept[1]);
    for (const [i, { partition }] of keys.entries()) {
      assert.equal(holdings[i], kept.includes(partition) ? "former" : "none", `partition ${partition}`);
    }
    assert.deepEqual([...new Set(pushed.get("h2"))].toSorted(), refused);
  });
});

const partitions = 4;

class CountedAdmission extends Admission {
  turns = 0;

  override turn(deadlineMs?: number): Promise<boolean> {
    this.turns += 1;
    return super.turn(deadlineMs);
  }
}

const ofOne = Array.from({ length: 200 }, (_, i) => locate(`b/k${i}` as Key, partitions))
  .filter(({ partition }) => partition === 0)
  .slice(0, 21);

/** h2 is an owner with a real disk, of which a page takes `pageMs`; by default the only partition with rows has six pages. */
async function slowOwner(one: OneNode, pageMs: number, { rows = ofOne, valueBytes = 80_000 } = {}) {
  const world = new World();
  const run = await world.start();
  for (const located of rows)
    await run.replica.write(located, put("", undefined, { value: { body: utf8("v".repeat(valueBytes)) } }));
  await run.replica.index.build({ isStopped: () => false, throttle: async () => {} });
  const { clock, servers } = one;
  const admission = new CountedAdmission(clock, { latencyThresholdMs: 50, windowMs: 10_000, waitMaxMs: 25 });
  let pages = 0;
  const { disk } = world;
  const page = disk.page.bind(disk);
  disk.page = async (ns, request) => {
    pages += 1;
    await new Promise<void>((resolve) => clock.after(pageMs, resolve));
    return page(ns, request);
  };
  const { ring } = one.cluster;
  serveHandOff({
    server: servers.get("h2")!,
    admission,
    clock,
    cluster: { self: node("h2"), ring, refill: () => {}, wasRefilled: () => false } as unknown as Cluster,
    exchange: { meetOnOneRing: async () => {} } as unknown as Exchange,
    replica: run.replica,
  });
  return { rows, disk, replica: run.replica, admission, pages: () => pages };
}

describe("a partition that an owner reads for longer than a request may take", () => {
  /** Both must confirm, and h3 does. */
  const spec = { partitions, n: 3 };
  async function asked() {
    const one = await formerOwner(["h2", "h3"], spec);
    one.servers.get("h3")!.on(methods.handOff, async (_from, { partitions: sections }) => ({
      partitions: sections.map(confirmed),
    }));
    return one;
  }
  const heldOf = (one: OneNode) => allPartitions(partitions).map((partition) => one.holdings.get(partition));

  test("is dropped all the same, and read once", async () => {
    const one = await asked();
    const { pages } = await slowOwner(one, 4_000);
    new Transfers(one, one.config).start(one);
    await one.clock.advance(60_000);
    assert.deepEqual(heldOf(one), ["none", "none", "none", "none"]);
    assert.ok(pages() < 15, `${pages()} pages were read`);
    await one.tasks.stop(0);
  });

  test("is kept when a row of a late page is damaged", async () => {
    const one = await asked();
    const { rows, disk } = await slowOwner(one, 4_000);
    const last = rows.toSorted((a, b) => Buffer.compare(a.row, b.row)).at(-1)!;
    await disk.rot("objects", last.row);
    new Transfers(one, one.config).start(one);
    await one.clock.advance(60_000);
    assert.equal(one.holdings.get(last.partition), "former");
    await one.tasks.stop(0);
  });

  test("is not read from a row of another one on: what lies between would be confirmed unread", async () => {
    const one = await asked();
    await slowOwner(one, 1);
    const { transport, exchange, clock } = one;
    const sections = [{ index: 0, hashes: new Uint8Array(512), readFrom: Uint8Array.of(0x40, 0) }];
    const request = { view: exchange.view(), partitions: sections, toDrop: true };
    const asking = assert.rejects(
      call(transport, node("h2"), methods.handOff, request, 1_000),
      failsWith("bad-request"),
    );
    await clock.advance(1_000);
    await asking;
  });
});

describe("what an owner does before it confirms waits for", () => {
  const many = Array.from({ length: 400 }, (_, i) => locate(`b/k${i}` as Key, partitions));

  /** How many turns h2 took to answer. */
  async function turnsFor(what: "rows" | "keys", { rows = many, valueBytes = 100 } = {}): Promise<number> {
    const one = await formerOwner(["h2", "h3"], { partitions, n: 3 });
    const { replica, admission } = await slowOwner(one, 0, { rows, valueBytes });
    const { transport, exchange, clock } = one;
    const view = exchange.view();
    const leaves = (index: number) => replica.index.trees.leafHashes(index as PartitionIndex);
    const asking =
      what === "rows"
        ? call(
            transport,
            node("h2"),
            methods.handOff,
            { view, partitions: [0, 1, 2, 3].map((index) => ({ index, hashes: leaves(index) })), toDrop: true },
            1_000,
          ).then(({ partitions: sections }) => assert.ok(sections.every(({ state }) => state === "complete")))
        : call(
            transport,
            node("h2"),
            methods.covers,
            { view, keys: rows.map(({ key }) => ({ key, clock: encodeClock(neverWritten.state) })) },
            1_000,
          );
    await clock.advance(500);
    await asking;
    return admission.turns;
  }

  test("one turn where small partitions are read, not for one for each", async () => {
    assert.equal(await turnsFor("rows", { rows: many.slice(0, 200) }), 1);
  });

  test("a turn for each page where partitions are large", async () => {
    assert.equal(await turnsFor("rows", { rows: ofOne, valueBytes: 80_000 }), 6);
  });

  test("a turn for so many keys as are a millisecond of reading, however many are asked about", async () => {
    assert.equal(await turnsFor("keys"), 13);
  });
});
