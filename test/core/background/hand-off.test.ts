import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Admission } from "../../../core/background/admission.ts";
import { serveHandOff } from "../../../core/background/hand-off-answers.ts";
import { Transfers } from "../../../core/background/transfers.ts";
import type { Cluster } from "../../../core/cluster/cluster.ts";
import type { Exchange } from "../../../core/cluster/exchange.ts";
import type { Key, NodeId } from "../../../core/identity.ts";
import { locate } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { failsWith, utf8 } from "../../support/values.ts";
import { node, oneNode, type OneNode, rosterOf, type RosterSpec } from "../cluster/world.ts";
import { memberRecord } from "../membership/samples.ts";
import { put, World } from "../replica/world.ts";

const owners = ["h2", "h3", "h4"];
const confirmed = ({ index }: { readonly index: number }) =>
  ({ partition: index, state: "complete", differing: new Uint8Array(0) }) as const;
const complete = { h2: "complete", h3: "complete", h4: "complete" } as const;

/** h1 holds all partitions as a former owner. */
async function formerOwner(up: readonly string[], spec: RosterSpec): Promise<OneNode> {
  const roster = rosterOf(owners, { ...spec, holdings: { ...complete, ...spec.holdings } });
  const { members } = rosterOf(["h1"]);
  const one = oneNode("h1", { ...roster, members: new Map([...roster.members, ...members]) }, up);
  for (const partition of allPartitions(roster.cluster.partitions)) one.holdings.set(partition, "former");
  await one.replica.index.build({ isStopped: () => false, throttle: async () => {} });
  return one;
}

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

const partitions = 4;

/** h2 is an owner with a real disk, of which a page takes `pageMs`: seven pages for the only partition with rows. */
async function slowOwner(one: OneNode, pageMs: number) {
  const world = new World();
  const run = await world.start();
  const keys = Array.from({ length: 200 }, (_, i) => locate(`b/k${i}` as Key, partitions));
  const rows = keys.filter(({ partition }) => partition === 0).slice(0, 21);
  for (const located of rows)
    await run.replica.write(located, put("", undefined, { value: { body: utf8("v".repeat(80_000)) } }));
  await run.replica.index.build({ isStopped: () => false, throttle: async () => {} });
  const { clock, servers } = one;
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
    admission: new Admission(clock, { latencyThresholdMs: 50, windowMs: 10_000, waitMaxMs: 25 }),
    clock,
    cluster: { self: node("h2"), ring, refill: () => {}, wasRefilled: () => false } as unknown as Cluster,
    exchange: { meetOnOneRing: async () => {} } as unknown as Exchange,
    replica: run.replica,
  });
  return { rows, disk, pages: () => pages };
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
