/** What a hint's target is given: the state that was kept for it, and the own copy that it has missed. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { deliverHints, type HintDeps } from "../../../core/background/deliver-hints.ts";
import { decodeVersioned } from "../../../core/causality/encoding.ts";
import { nodeDefaults } from "../../../core/config.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { Tasks } from "../../../core/tasks.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { microtasks, texts } from "../../support/values.ts";
import { at, host, put, type Run, World } from "../replica/world.ts";

const key = at("k");
const away = host("h2");

/** Gives h2, which is back, what it is owed; the values in what it was given. */
function delivery({ replica }: Run, owners = [away, host("h1")]): () => Promise<string[][]> {
  const clock = new ManualClock();
  const telemetry = { event: () => {} };
  let given: string[][] = [];
  const transport = {
    async request(_to: string, body: Uint8Array): Promise<Uint8Array> {
      const isOne = body[0] === methods.replicate.number;
      const push = isOne ? [methods.replicate.request.decode(body, 1)] : methods.swap.request.decode(body, 1).push;
      given.push(...push.map(({ state }) => texts(decodeVersioned(state).values)));
      if (isOne) return methods.replicate.response.encode({ role: "complete" }, 0);
      return methods.swap.response.encode({ states: [], done: 0, applied: push.length }, 0);
    },
  };
  deliverHints({
    admission: { turn: async () => {} },
    rate: { pay: async () => {} },
    cluster: {
      self: host("h1"),
      ring: { fingerprint: "same", partitions: 4, members: [], owners: () => owners, host: () => ({}) },
      health: { isUp: () => true },
      isMember: () => true,
      ownRecord: { status: "up" },
    },
    exchange: { view: () => ({ ring: "00".repeat(8), life: 1 }) },
    replica,
    transport,
    clock,
    tasks: new Tasks({ clock, telemetry }),
    telemetry,
    config: nodeDefaults,
  } as unknown as HintDeps);
  return async () => {
    for (let i = 0; i < 5; i++) await microtasks();
    clock.jump(1_000);
    for (let i = 0; i < 5; i++) await microtasks();
    const all = given;
    given = [];
    return all;
  };
}

const scanned = (run: Run) => run.replica.index.build({ isStopped: () => false, throttle: async () => {} });
const kept = ({ replica }: Run) => replica.hints.summaries().map(({ count }) => count);

/** It stood in for h2 once; now it holds the partition itself, and h2 has missed another write. */
async function owesBoth() {
  const world = new World();
  const run = await world.start("none");
  await run.replica.write(key, put("kept", undefined, { hintsFor: [away] }));
  run.holdings.set(key.partition, "complete");
  const { held } = await run.replica.write(key, put("missed", undefined, { hintsFor: [away] }));
  return { world, run, held };
}

describe("a host that is back is given", () => {
  test("what was kept for it and the write that it has missed since, and then nothing is kept any more", async () => {
    const { run } = await owesBoth();
    assert.deepEqual((await delivery(run)()).at(-1), ["kept", "missed"]);
    assert.deepEqual(kept(run), []);
  });

  test("the same when the keeper has let go of its own copy meanwhile", async () => {
    const { run } = await owesBoth();
    run.holdings.set(key.partition, "former");
    assert.ok(run.replica.drop.begin(key.partition));
    assert.ok(await run.replica.drop.run(key.partition, { pace: async () => {}, isAllowed: () => true }));
    assert.deepEqual((await delivery(run)()).at(-1), ["kept", "missed"]);
    assert.deepEqual(kept(run), []);
  });

  test("the own copy only when that is mended, where its damage shows as it is read", async () => {
    const world = new World();
    const { replica } = await world.start();
    const { held } = await replica.write(key, put("v", undefined, { hintsFor: [away] }));
    await replica.write(at("other"), put("w", undefined, { hintsFor: [away] }));
    await world.disk.rot("objects", key.row);
    const run = await world.start();
    const deliver = delivery(run);
    assert.deepEqual([await deliver(), kept(run)], [[["w"]], [1]]);
    await run.replica.apply(key, held.toBytes(), { heals: true });
    assert.deepEqual([await deliver(), kept(run)], [[["v"]], []]);
  });

  test("nothing of a damaged copy that it does not own any more, and nothing is kept for it", async () => {
    const world = new World();
    await (await world.start()).replica.write(key, put("v", undefined, { hintsFor: [away] }));
    await world.disk.rot("objects", key.row);
    const run = await world.start();
    assert.deepEqual([await delivery(run, [host("h1")])(), kept(run)], [[], []]);
  });

  test("a copy that is on the disk, but was not claimed before a crash, only when it is", async () => {
    const world = new World();
    await (await world.start()).replica.write(key, put("v", undefined, { hintsFor: [away] }));
    const run = await world.start("none");
    const deliver = delivery(run);
    assert.deepEqual([await deliver(), kept(run)], [[], [1]]);
    await scanned(run);
    assert.deepEqual([await deliver(), kept(run)], [[], [1]]);
    for (const partition of allPartitions(4)) run.holdings.set(partition, "former");
    assert.deepEqual([await deliver(), kept(run)], [[["v"]], []]);
  });
});
