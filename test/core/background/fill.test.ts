import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareBytes } from "../../../core/bytes/compare.ts";
import { copyAll } from "../../../core/background/copy-partitions.ts";
import { FillCursors } from "../../../core/background/fill-cursors.ts";
import { Progress } from "../../../core/background/progress.ts";
import { RateCap } from "../../../core/background/rate-cap.ts";
import { Transfers } from "../../../core/background/transfers.ts";
import type { Cluster } from "../../../core/cluster/cluster.ts";
import { scanPartitions } from "../../../core/coordinate/scan.ts";
import { StoreError } from "../../../core/errors.ts";
import type { Key, NodeId, PartitionIndex } from "../../../core/identity.ts";
import { locate, type LocatedKey } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { Tasks } from "../../../core/tasks.ts";
import { failsWith } from "../../support/values.ts";
import { node, oneNode, type OneNode, rosterOf } from "../cluster/world.ts";
import { at, put, World } from "../replica/world.ts";

type Said = "complete" | "filling" | "none";

/** Peers of h1 that answer scans with what they say of themselves; for how many partitions they were asked. */
function scans(one: OneNode, said: Said): { count: number } {
  const asked = { count: 0 };
  for (const server of one.servers.values()) {
    server.on(methods.scan, async (_from, { parts }) => {
      asked.count += parts.length;
      return { parts: parts.map(({ partition }) => ({ partition, state: said, rows: [] })) };
    });
  }
  return asked;
}

/** h1 owns what it does not hold yet, and tries to fill it for a while. */
async function fill(one: OneNode, halfway = () => {}): Promise<{ readonly complete: number; readonly owned: number }> {
  one.cluster.claimOwned("filling");
  new Transfers(one, one.config).start(one);
  await one.clock.advance(5_000);
  halfway();
  await one.clock.advance(5_000);
  const stopping = one.tasks.stop(100);
  await one.clock.advance(100);
  await stopping;
  const owned = one.cluster.ring.ownedBy(node("h1"));
  return {
    complete: owned.filter((partition) => one.holdings.get(partition) === "complete").length,
    owned: owned.length,
  };
}

const peers = ["h2", "h3", "h4"];
const complete = { h2: "complete", h3: "complete", h4: "complete" } as const;

/** A source that sends, for one partition, what cannot be decoded among what can, in two pages. */
async function sendsNoState(one: OneNode, source: string): Promise<{ whole: LocatedKey[]; broken: LocatedKey }> {
  const [broken, first, second] = keysOfOne(one);
  const { replica } = await new World().start();
  const { held } = await replica.write(at("v"), put("v"));
  const row = ({ key }: LocatedKey) => ({ key, state: held.toBytes() });
  const pages = [
    { rows: [{ key: broken.key, state: Uint8Array.of(255, 255, 255) }, row(first)], next: second.row },
    { rows: [row(second)] },
  ];
  one.servers.get(node(source))!.on(methods.scan, async (_from, { parts }) => ({
    parts: parts.map(({ partition, after }) => {
      const page = partition === broken.partition ? pages[after === undefined ? 0 : 1]! : { rows: [] };
      return { partition, state: "complete" as const, ...page };
    }),
  }));
  return { whole: [first, second], broken };
}

/** In row order; h1 owns their partition. */
function keysOfOne(one: OneNode): [LocatedKey, LocatedKey, LocatedKey] {
  const [owned] = one.cluster.ring.ownedBy(node("h1"));
  const keys = Array.from({ length: 400 }, (_, i) => locate(`b/k${i}` as Key, one.cluster.ring.partitions));
  const fitting = keys.filter(({ partition }) => partition === owned).slice(0, 3);
  return fitting.toSorted((a, b) => compareBytes(a.row, b.row)) as [LocatedKey, LocatedKey, LocatedKey];
}

describe("a state that cannot be decoded, in a page of a source,", () => {
  test("is left out and told, and keeps back nothing else of that source", async () => {
    const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: { h2: "complete", h3: "complete" } }), [
      "h2",
      "h3",
    ]);
    scans(one, "complete");
    const { whole, broken } = await sendsNoState(one, "h2");
    assert.deepEqual(await fill(one), { complete: 15, owned: 16 }, "h2 is one of two that are needed");
    for (const each of whole) assert.equal((await one.replica.row(each)).state.values.length, 1);
    assert.equal((await one.replica.row(broken)).state.values.length, 0);
    const told = one.events.flatMap((event) => (event.kind === "corrupt-record" ? [event.where] : []));
    assert.ok(told.length > 0 && told.every((where) => where === `${broken.key} as h2 sent it`));
    assert.ok(!one.events.some(({ kind }) => kind === "replica-failed"));
  });

  test("does not keep the partition filling where another source can be missed", async () => {
    const one = oneNode("h1", rosterOf(["h1", ...peers], { holdings: complete }), peers);
    scans(one, "complete");
    await sendsNoState(one, "h2");
    assert.deepEqual(await fill(one), { complete: 12, owned: 12 });
  });
});

test("what is left to be copied is what progress counts: nothing of what was copied before a restart", async () => {
  const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: { h2: "complete", h3: "complete" } }), [
    "h2",
    "h3",
  ]);
  one.cluster.claimOwned("filling");
  const { servers, config, cluster } = one;
  const transfers = new Transfers(one, config);
  scans(one, "complete");
  servers.get(node("h3"))!.on(methods.scan, () => new Promise(() => {}));
  transfers.start(one);
  await one.clock.advance(500);
  assert.equal(transfers.view().filling?.percent, 37, "12 of 32: h3 keeps 4 of the 16 from h2");
  const stopping = one.tasks.stop(100);
  await one.clock.advance(100);
  await stopping;
  const tasks = new Tasks(one);
  const restarted = new Transfers({ ...one, tasks }, config);
  await restarted.open(cluster.ring.fingerprint);
  restarted.start({ ...one, tasks });
  await one.clock.advance(500);
  assert.equal(restarted.view().filling?.percent, 20, "these 4 of 20");
});

test("beside clients the rows of a page are taken in a few at a time: a write does not wait for all of them", async () => {
  const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: { h2: "complete", h3: "complete" } }), [
    "h2",
    "h3",
  ]);
  one.cluster.claimOwned("filling");
  scans(one, "complete");
  const [own, ...others] = Array.from({ length: 101 }, (_, i) => locate(`b/k${i}` as Key, 16));
  const { replica } = await new World().start();
  const state = (await replica.write(at("v"), put("v"))).held.toBytes();
  one.servers.get(node("h2"))!.on(methods.scan, async (_from, { parts }) => ({
    parts: parts.map(({ partition }) => {
      const located = others.filter((key) => key.partition === partition);
      return { partition, state: "complete" as const, rows: located.map(({ key }) => ({ key, state })) };
    }),
  }));
  const release = one.disk.hold("writes");
  one.admission.observe(1);
  new Transfers(one, one.config).start(one);
  await one.clock.advance(500);
  const writing = one.replica.write(own!, put("of a client"));
  release();
  await writing;
  const { rows } = await one.records.page("objects", { limit: 200 });
  assert.ok(rows.length > 1 && rows.length < 30, `${rows.length} rows were written before it or with it`);
  const stopping = one.tasks.stop(100);
  await one.clock.advance(100);
  await stopping;
});

test("a copy that fails has ended at every source: none is asked on behind the back of the next try", async () => {
  const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: { h2: "complete", h3: "complete" } }), [
    "h2",
    "h3",
  ]);
  one.cluster.claimOwned("filling");
  scans(one, "complete");
  const atH3 = { asked: 0, answered: 0 };
  one.servers.get("h3")!.on(methods.scan, async (_from, { parts }) => {
    atH3.asked += 1;
    await new Promise<void>((resolve) => one.clock.after(1_000, resolve));
    atH3.answered += 1;
    const next = Uint8Array.of(0, 0, atH3.asked);
    return { parts: parts.map(({ partition }) => ({ partition, state: "complete" as const, rows: [], next })) };
  });
  const cursors = new FillCursors(one);
  const rate = new RateCap(one, Infinity);
  const jobs = ["h2", "h3"].map((source, i) => ({
    partition: i as PartitionIndex,
    filling: one.holdings.fillingOf(i as PartitionIndex),
    sources: [node(source)],
    missed: new Set<NodeId>(),
  }));
  const copying = copyAll({ ...one, cursors, rate, progress: new Progress(one.clock) }, jobs, () => {
    throw new Error("the disk refuses to keep it");
  }).catch((error: unknown) => ({ reason: (error as Error).message, ...atH3 }));
  await one.clock.advance(5_000);
  assert.deepEqual(await copying, { reason: "the disk refuses to keep it", asked: 1, answered: 1 });
  assert.equal(atH3.asked, 1);
});

test("a page costs looks at the partitions that it is about, not at all that are to be copied", async () => {
  const count = 1_024;
  const spec = { partitions: count, n: 2, holdings: { h2: "complete" } } as const;
  const one = oneNode("h1", rosterOf(["h1", "h2"], spec), ["h2"]);
  one.cluster.claimOwned("filling");
  scans(one, "complete");
  const jobs = allPartitions(count).map((partition) => ({
    partition,
    filling: one.holdings.fillingOf(partition),
    sources: [node("h2")],
    missed: new Set<NodeId>(),
  }));
  let looks = 0;
  const fillingOf = one.holdings.fillingOf.bind(one.holdings);
  one.holdings.fillingOf = (partition) => {
    looks += 1;
    return fillingOf(partition);
  };
  const copied = new Set<PartitionIndex>();
  const shared = { ...one, cursors: new FillCursors(one), rate: new RateCap(one, Infinity) };
  const copying = copyAll({ ...shared, progress: new Progress(one.clock) }, jobs, ({ partition }) => {
    copied.add(partition);
  });
  await one.clock.advance(5_000);
  await copying;
  assert.equal(copied.size, count);
  assert.ok(looks < 20 * count, `${looks} looks for ${count} partitions`);
});

test("a disk that refuses fails a copy, which goes on when it takes writes again", async () => {
  const one = oneNode("h1", rosterOf(["h1", ...peers], { holdings: complete }), peers);
  scans(one, "complete");
  const { whole } = await sendsNoState(one, "h2");
  one.disk.refusesWrites = "io";
  assert.equal((await fill(one, () => (one.disk.refusesWrites = undefined))).complete, 12);
  for (const each of whole) assert.equal((await one.replica.row(each)).state.values.length, 1);
});

describe("a partition that is filling", () => {
  test("is complete when it was copied from every complete holder", async () => {
    const others = { h2: "complete", h3: "complete" } as const;
    const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: others }), ["h2", "h3"]);
    const asked = scans(one, "complete");
    assert.deepEqual(await fill(one), { complete: 16, owned: 16 });
    assert.equal(asked.count, 32);
  });

  test("is not complete after a copy from a holder that says it holds nothing of it", async () => {
    const others = { h2: "complete", h3: "complete" } as const;
    const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: others }), ["h2", "h3"]);
    scans(one, "none");
    assert.equal((await fill(one)).complete, 0);
  });

  test("copies nothing as long as somebody is away without whom it cannot be complete", async () => {
    const others = { h2: "complete", h3: "complete" } as const;
    const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: others }), ["h2"]);
    const asked = scans(one, "complete");
    assert.equal((await fill(one)).complete, 0);
    assert.equal(asked.count, 0);
  });

  test("is complete without one complete holder that is away when N - 1 others are complete", async () => {
    const others = { h2: "complete", h3: "complete", h4: "complete" } as const;
    const roster = rosterOf(["h1", "h2", "h3", "h4"], { holdings: others });
    const one = oneNode("h1", roster, ["h2", "h3"]);
    scans(one, "complete");
    const { complete, owned } = await fill(one);
    assert.deepEqual([complete, owned], [12, 12]);
  });

  test("is with N=1 not complete while the only complete holder is away: it would begin from nothing", async () => {
    const one = oneNode("h1", rosterOf(["h1", "h2"], { n: 1, holdings: { h2: "complete" } }));
    one.cluster.exchangedWith(node("h2"));
    assert.equal((await fill(one)).complete, 0);
  });

  test("is told as lost when nobody, up or away, claims to be complete, and completed from what there is", async () => {
    const others = { h2: "filling", h3: "filling" } as const;
    const one = oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: others }), ["h2", "h3"]);
    scans(one, "filling");
    assert.equal((await fill(one)).complete, 16);
    assert.deepEqual(
      one.events.filter(({ kind }) => kind === "partition-lost"),
      [{ kind: "partition-lost", partitions: 16 }],
    );
  });
});

describe("a source that can only give a part", () => {
  const others = { h2: "complete", h3: "complete" } as const;
  const threeHosts = () => oneNode("h1", rosterOf(["h1", "h2", "h3"], { holdings: others }), ["h2", "h3"]);
  const allFilled = ({ cluster, holdings }: OneNode): boolean =>
    cluster.ring.ownedBy(node("h1")).every((partition) => holdings.get(partition) === "complete");

  test("is asked again after ever longer pauses, and then gives all", async () => {
    const one = threeHosts();
    one.cluster.claimOwned("filling");
    const asked = scans(one, "filling");
    new Transfers(one, one.config).start(one);
    await one.clock.advance(60_000);
    const tries = asked.count / 32;
    assert.ok(tries >= 8 && tries <= 15, `${tries} tries in a minute`);
    scans(one, "complete");
    await one.clock.advance(8_500);
    assert.ok(allFilled(one));
    await one.tasks.stop(0);
  });

  test("is asked at once when the holders are others", async () => {
    const one = threeHosts();
    one.cluster.claimOwned("filling");
    scans(one, "filling");
    new Transfers(one, one.config).start(one);
    await one.clock.advance(60_000);
    scans(one, "complete");
    const { holdings } = rosterOf([], { holdings: { h2: "filling" } });
    const later = { ...holdings.get(node("h2"))!, sequence: 2 };
    one.cluster.merge({ holdings: new Map([[node("h2"), later]]) });
    const askedMs = one.clock.now();
    while (!allFilled(one)) await one.clock.advance(10);
    assert.ok(one.clock.now() - askedMs <= 500, `after ${one.clock.now() - askedMs} ms`);
    await one.tasks.stop(0);
  });

  test("is asked soon as long as each try gets on", async () => {
    const one = threeHosts();
    one.cluster.claimOwned("filling");
    scans(one, "complete");
    let asked = 0;
    one.servers.get("h2")!.on(methods.scan, async (_from, { parts }) => {
      asked += 1;
      if (asked % 2 === 0) throw new StoreError("not-ready", "busy");
      const pageOf = (partition: number, after?: Uint8Array) => {
        const page = (after?.[2] ?? 0) + 1;
        return {
          partition,
          state: "complete" as const,
          rows: [],
          ...(page < 20 && { next: Uint8Array.of(0, 0, page) }),
        };
      };
      return { parts: parts.map(({ partition, after }) => pageOf(partition, after)) };
    });
    new Transfers(one, one.config).start(one);
    while (!allFilled(one)) await one.clock.advance(100);
    assert.ok(one.clock.now() < 30_000, `${one.clock.now()} ms for 20 pages of which each costs two tries`);
    await one.tasks.stop(0);
  });
});

/** A complete host with one key, and what it answers to a scan of that key's partition. */
async function scanned() {
  const world = new World();
  const key = at("k");
  const run = await world.start();
  await run.replica.write(key, put("v"));
  const cluster = { ring: { partitions: 4 } } as unknown as Cluster;
  const scan = (leaves?: Uint8Array, of = run) =>
    scanPartitions(
      { replica: of.replica, cluster },
      {
        view: { ring: "", life: 1 },
        bytesMax: 1_000_000,
        parts: [{ partition: key.partition, ...(leaves && { leaves }) }],
      },
    );
  return { world, run, key, scan };
}

describe("a scan does not pass for one of a complete copy that", () => {
  const lacking = (partition: number) => ({ parts: [{ partition, state: "filling" as const, rows: [] }] });

  test("met a damaged record", async () => {
    const { world, key, scan } = await scanned();
    await world.disk.rot("objects", key.row);
    assert.deepEqual(await scan(), lacking(key.partition));
  });

  for (const [isInMemory, fate] of [
    [true, "is written again from memory"],
    [false, "is damaged from then on"],
  ] as const) {
    test(`met a record that is no state, which ${fate}`, async () => {
      const { world, run: first, key, scan } = await scanned();
      const noState = { kind: "put", ns: "objects", key: key.row, value: Uint8Array.of(255, 255, 255) } as const;
      await first.records.commit([noState]);
      const run = isInMemory ? first : await world.start();
      assert.deepEqual(await scan(undefined, run), lacking(key.partition));
      assert.deepEqual(run.replica.damaged.keys(), isInMemory ? [] : [key.key]);
    });
  }

  test("ended when the partition was held completely no more", async () => {
    const { world, run, key, scan } = await scanned();
    const readOn = world.disk.hold("reads");
    const scanning = scan();
    run.holdings.set(key.partition, "former");
    readOn();
    assert.equal((await scanning).parts[0]!.state, "filling");
  });
});

test("a scan for someone whose leaves are none of a partition is refused: it would be told that it has everything", async () => {
  const { run, scan } = await scanned();
  await run.replica.index.build({ isStopped: () => false, throttle: async () => {} });
  for (const length of [0, 8, 511, 1_024]) await assert.rejects(scan(new Uint8Array(length)), failsWith("bad-request"));
  assert.equal((await scan(new Uint8Array(512))).parts[0]!.rows.length, 1);
});
