import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { allPartitions } from "../../../core/placement/partition.ts";
import { at, put, type Run, World } from "./world.ts";

const keys = Array.from({ length: 40 }, (_, i) => at(`k${i}`)).filter(({ partition }) => partition === 0);
const [{ partition }] = keys as [(typeof keys)[number]];

/** A former owner that drops the partition of `keys`; what it is then. */
async function dropped({ replica, holdings }: Run): Promise<string> {
  holdings.set(partition, "former");
  assert.ok(replica.drop.begin(partition));
  const isGone = await replica.drop.run(partition, { pace: async () => {}, isAllowed: () => true });
  assert.equal(isGone, holdings.get(partition) === "none");
  return holdings.get(partition);
}

const left = async ({ records }: Run): Promise<number> => (await records.page("objects", { limit: 1_000 })).rows.length;

describe("a partition that is dropped", () => {
  test("is held no more when its last row is gone", async () => {
    const run = await new World().start();
    for (const key of keys) await run.replica.write(key, put("v"));
    assert.equal(await dropped(run), "none");
    assert.equal(await left(run), 0);
    assert.equal(run.replica.drop.isUnseen(partition), false);
  });

  test("from a disk that cannot tell all rows stays a former holding, for these may show again; and is told", async () => {
    const world = new World();
    const run = await world.start();
    for (const key of keys) await run.replica.write(key, put("v"));
    await world.disk.loseRows([keys[0]!.row]);
    assert.equal(await dropped(run), "former");
    assert.equal(await left(run), 0);
    assert.equal(run.replica.drop.isUnseen(partition), true);
    assert.deepEqual(
      allPartitions(4).filter((each) => run.replica.drop.isUnseen(each)),
      [partition],
    );
    const told = world.events.flatMap((event) => (event.kind === "corrupt-record" ? [event.where] : []));
    assert.match(told.join(), /^rows of partition 0 that cannot be read/);
  });

  test("loses its rows whose keys are damaged with the others, and is held no more", async () => {
    const world = new World();
    const run = await world.start();
    for (const key of keys) await run.replica.write(key, put("v"));
    await world.disk.rotKey("objects", keys[0]!.row, -1, 0x80);
    await world.disk.rotKey("objects", keys[1]!.row, -1, 1);
    assert.equal(await dropped(run), "none");
    assert.equal(await left(run), 0);
    assert.deepEqual(world.kinds(), ["corrupt-record", "corrupt-record"]);
  });

  test("keeps a row of which it is still reading when the partition is owned again", async () => {
    const world = new World();
    const run = await world.start();
    for (const key of keys) await run.replica.write(key, put("v"));
    run.replica.forgetCached();
    run.holdings.set(partition, "former");
    assert.ok(run.replica.drop.begin(partition));
    let release = (): void => {};
    const pace = async (): Promise<void> => {
      release = world.disk.hold("reads");
    };
    const dropping = run.replica.drop.run(partition, { pace, isAllowed: () => true });
    await new Promise(setImmediate);
    run.holdings.set(partition, "filling");
    release();
    assert.equal(await dropping, false);
    assert.equal(await left(run), keys.length);
  });

  test("is asked about again where it was owned in between", async () => {
    const world = new World();
    const run = await world.start();
    await run.replica.write(keys[0]!, put("v"));
    world.disk.hasUnreadablePart = true;
    assert.equal(await dropped(run), "former");
    run.holdings.set(partition, "filling");
    assert.equal(run.replica.drop.isUnseen(partition), false);
    world.disk.hasUnreadablePart = false;
    assert.equal(await dropped(run), "none");
  });
});
