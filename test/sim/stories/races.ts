/** Stories of things that happen at the same time, or in the wrong order. */
import assert from "node:assert/strict";
import { methods } from "../../../core/rpc/rpc.ts";
import type { SimHost } from "../host.ts";
import type { Stage, Story } from "./stage.ts";

/** A write waits longer for its replicas than a host takes to start anew. */
const fourHosts = { hosts: 4, config: { readRepairShare: 0, replicaTimeoutMs: 4_000 } };

export const raceStories: readonly Story[] = [
  {
    name: "read repair, a put, a delete and anti-entropy meet on one key, and nothing is lost or comes back",
    brokenBy: "work on one key is not serial",
    cluster: { config: { readRepairShare: 1, antiEntropyIntervalMs: 20 } },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      for (let i = 0; i < 20; i++) {
        await stage.put(a!, { client: 1, context: "latest" });
        // C lacks this one: whoever is first mends it.
        stage.lose(c!);
        await stage.start(c!);
        await Promise.all([
          stage.get(a!, { client: 1, quorum: "all" }),
          stage.get(b!, { client: 2 }),
          stage.put(b!, { client: 2, context: "latest" }),
          stage.put(c!, { client: 1, context: "latest", verb: "delete" }),
          stage.put(c!, { client: 3 }),
        ]);
      }
    },
  },
  {
    name: "a write changes the hash tree as it changes the data (riak_kv#473)",
    brokenBy: "a write does not reach the hash tree (riak_kv#473)",
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.get(b!, {});
      await stage.put(b!, { context: "latest", quorum: "all" });
      await stage.put(a!, { verb: "delete", quorum: "all" });
    },
  },
  {
    name: "anti-entropy gives an owner what nobody keeps for it, without anybody reading",
    brokenBy: "anti-entropy is never run",
    play: async (stage) => {
      const [a, , c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      stage.lose(c!);
      await stage.start(c!);
      await stage.sleep(10_000);
      assert.deepEqual(await stage.siblings(c!), ["write 0"]);
    },
  },
  {
    name: "each side of a cut takes writes, and both are kept when it heals",
    brokenBy: "nobody stands in for an owner that is away",
    cluster: { hosts: 5, apart: [0, 1] },
    play: async (stage) => {
      const [a] = stage.walk();
      await stage.put(a!, { quorum: "all" });
    },
  },
  {
    name: "frames that nobody can read are refused in words, and change nothing",
    brokenBy: "a frame that cannot be read counts as a bug of who receives it",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      stage.world.network.mood.badFrames = 0.5;
      for (let i = 0; i < 30; i++) {
        const at = [a!, b!, c!][i % 3]!;
        await stage.get(at, {});
        await stage.put(at, { context: "latest", quorum: "one" });
      }
    },
  },
  {
    name: "disks that refuse are an error, never an ack, and writes go on when there is room again",
    brokenBy: "a full disk is taken for a success",
    play: async (stage) => {
      const owners = stage.walk();
      await stage.put(owners[0]!, { quorum: "all" });
      for (const { disk } of owners) disk.mood.full = "headroom";
      const refused = await stage.put(owners[0]!, { quorum: "one" });
      assert.deepEqual(refused.outcomes, ["storage-full"]);
      for (const { disk } of owners) disk.mood.full = false;
      const taken = await stage.put(owners[0]!, { quorum: "all" });
      assert.deepEqual(taken.outcomes, ["ok"]);
    },
  },
  {
    name: "hints that cannot be read make a put fail with a code",
    cluster: { hosts: 5 },
    play: async (stage) => {
      const [a, b, c, standIn] = stage.walk();
      const owners = [a!, b!, c!];
      for (const owner of owners) owner.kill();
      await stage.sleep(1_000);
      await stage.put(standIn!, { quorum: "one" });
      standIn!.disk.mood.readErrors = 1;
      const { outcomes } = await stage.put(standIn!, { quorum: "one" });
      assert.deepEqual(outcomes, ["not-ready"]);
    },
  },
  {
    name: "an acknowledged write survives a power cut of all hosts in that moment",
    brokenBy: "the coordinator's copy is only buffered",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      for (let i = 0; i < 10; i++) {
        await stage.put(a!, { quorum: "quorum" });
        for (const host of [a!, b!, c!]) stage.cutPower(host);
        for (const host of [a!, b!, c!]) stage.world.start(host);
        await stage.settled();
      }
    },
  },
  {
    name: "a write under way at an owner that sets its data aside is not passed on: what it did goes on elsewhere",
    brokenBy: "a host that starts anew calls what was under way not begun",
    cluster: fourHosts,
    play: async (stage) => {
      const outsider = stage.walk()[3]!;
      assert.deepEqual(await outcomesAmidNewStart(stage, outsider), ["outcome-unknown"]);
    },
  },
  {
    name: "a write under way at the host itself that sets its data aside is no success: one of its copies is gone",
    brokenBy: "what was under way on data that is set aside counts as done",
    cluster: fourHosts,
    play: async (stage) => {
      const [owner] = stage.walk();
      assert.deepEqual(await outcomesAmidNewStart(stage, owner!), ["outcome-unknown"]);
    },
  },
];

/**
 * A put while the first owner, which coordinates it, learns that its data is an old copy; all other owners take it
 * before that owner has let go. How it ends for the client of `at`.
 */
async function outcomesAmidNewStart(stage: Stage, at: SimHost): Promise<readonly string[]> {
  const { network } = stage.world;
  const [a, b, c, outsider] = stage.walk();
  const cut = (...pairs: readonly (readonly [SimHost, SimHost])[]): (() => void) =>
    network.cutPairs(
      pairs.map(([from, to]) => [from.id, to.id]),
      true,
    );
  const copy = a!.disk.synced.copy();
  const apart = cut([b!, c!], [b!, outsider!]);
  const alone = cut([a!, c!], [a!, outsider!]);
  await stage.restart(a!);
  while (stage.incarnation(a!, b!) < stage.incarnation(a!, a!)) await stage.sleep(10);
  // Of this start only B knows. A starts once more on what it had before, and meets the others.
  stage.restoreCopy(a!, copy, { isNoticed: true });
  const silent = cut([a!, b!], [c!, outsider!]);
  alone();
  await stage.start(a!);
  await stage.sleep(4_000);
  stage.beforeRequest(a!, methods.replicate, () => {
    c!.process!.pause();
    silent();
    void stage.startsAnew(a!).then(() => c!.process!.resume());
  });
  const { outcomes } = await stage.put(at, { quorum: "all" });
  apart();
  return outcomes;
}
