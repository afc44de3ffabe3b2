import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareBytes } from "../../../core/bytes/compare.ts";
import type { Cluster } from "../../../core/cluster/cluster.ts";
import type { CoordinateDeps } from "../../../core/coordinate/deps.ts";
import { scanPartitions } from "../../../core/coordinate/scan.ts";
import { serveHosts } from "../../../core/coordinate/serve.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { call, methods } from "../../../core/rpc/rpc.ts";
import { failsWith } from "../../support/values.ts";
import { node, oneNode, rosterOf } from "../cluster/world.ts";
import { at, put, World } from "../replica/world.ts";

describe("a scan for someone who has most of a partition", () => {
  /** 2,000 keys of one partition, and rows of objects that the disk was asked for. */
  async function large() {
    const world = new World();
    const { replica } = await world.start();
    const rows = Array.from({ length: 8_000 }, (_, i) => at(`k${i}`)).filter(({ partition }) => partition === 0);
    await Promise.all(rows.map((located) => replica.write(located, put("v"))));
    const build = () => replica.index.build({ isStopped: () => false, throttle: async () => {} });
    await build();
    const read = { rows: 0 };
    const page = world.disk.page.bind(world.disk);
    world.disk.page = async (ns, request) => {
      const answer = await page(ns, request);
      if (ns === "objects") read.rows += answer.rows.length;
      return answer;
    };
    const cluster = {
      ring: { partitions: 4 },
      wasRefilled: () => false,
      refill: () => void world.events.push({ kind: "partition-lost", partitions: 1 }),
    } as unknown as Cluster;
    const scan = (leaves: Uint8Array, after?: Uint8Array) =>
      scanPartitions(
        { replica, cluster },
        { view: { ring: "", life: 1 }, bytesMax: 4_096, parts: [{ partition: 0, leaves, ...(after && { after }) }] },
      );
    return { world, replica, rows, read, scan };
  }

  /** All pages of it: what was sent, and how many rows each has cost the disk. */
  async function pagesOf({ read, scan }: Awaited<ReturnType<typeof large>>, leaves: Uint8Array) {
    const pages: { readonly keys: string[]; readonly rowsRead: number; readonly state: string }[] = [];
    let after: Uint8Array | undefined;
    do {
      read.rows = 0;
      const [part] = (await scan(leaves, after)).parts;
      pages.push({ keys: part!.rows.map(({ key }) => key), rowsRead: read.rows, state: part!.state });
      after = part!.next;
    } while (after !== undefined);
    return pages;
  }

  test("costs for a page what a page may hold, and in all each row once", async () => {
    const source = await large();
    const { replica, rows } = source;
    const leaves = replica.index.trees.leafHashes(0 as PartitionIndex);
    const last = rows.toSorted((a, b) => compareBytes(a.row, b.row)).at(-1)!;
    await replica.write(last, put("w"));
    const pages = await pagesOf(source, leaves);
    assert.ok(pages.flatMap(({ keys }) => keys).includes(last.key));
    assert.ok(pages.flatMap(({ keys }) => keys).length < rows.length / 32, "its leaf alone is sent");
    for (const { rowsRead } of pages) assert.ok(rowsRead <= 4_096 / 19 + 1, `${rowsRead} rows for one page`);
    const rowsRead = pages.reduce((sum, page) => sum + page.rowsRead, 0);
    assert.ok(rowsRead >= rows.length && rowsRead < 1.1 * rows.length, `${rowsRead} rows for ${rows.length}`);
  });

  test("finds that the disk has lost rows, although the tree still has them", async () => {
    const source = await large();
    const { world, replica, rows } = source;
    const leaves = replica.index.trees.leafHashes(0 as PartitionIndex);
    await world.disk.loseRows(rows.slice(0, 8).map(({ row }) => row));
    const states = (await pagesOf(source, leaves)).map(({ state }) => state);
    assert.ok(states.includes("filling"));
    assert.ok(world.kinds().includes("partition-lost"), "it fills the partition anew");
  });
});

test("a source takes a turn beside its clients for each page, and refuses one that does not come in time", async () => {
  const one = oneNode("h1", rosterOf(["h1", "h2"], { holdings: { h2: "complete" } }), ["h2"]);
  let [turns, isBusy] = [0, false];
  const load = {
    observe: () => {},
    turn: async () => {
      turns += 1;
      return !isBusy;
    },
  };
  const exchange = { meet: async () => {} };
  serveHosts({ ...one, exchange } as unknown as CoordinateDeps, one.server, load);
  one.server.listen(one.transport);
  const request = { view: { ring: "00".repeat(8), life: 1 }, bytesMax: 1_000, parts: [{ partition: 0 }] };
  const ask = async () => {
    const [answer] = await Promise.allSettled([
      call(one.transport, node("h1"), methods.scan, request, 1_000),
      one.clock.advance(100),
    ]);
    return answer;
  };
  assert.equal((await ask()).status, "fulfilled");
  isBusy = true;
  const refused = await ask();
  assert.ok(refused.status === "rejected" && failsWith("not-ready")(refused.reason));
  assert.equal(turns, 2);
});
