/**
 * Stories of one copy (N = 1, W = 1): its owner is cut off while the key moves, knows nothing of that, and acknowledges
 * writes that nobody else has. Nothing else would heal them.
 */
import assert from "node:assert/strict";
import { until } from "../cluster.ts";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";
import type { Stage, Story } from "./stage.ts";

const oneCopy = { hosts: 4, n: 1, config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000 } } as const;

/** The key's owner in the view of a host. */
function ownerAt({ world }: Stage, { disk }: SimHost): string | undefined {
  const { partition } = world.oracle.locate("sim/key0");
  return membershipOn(disk.view)?.ring.walk(partition)[0];
}

interface Moved {
  /** It still takes itself for the owner. */
  readonly former: SimHost;
  /** A host that joined while that one was cut off. */
  readonly owner: SimHost;
  readonly heal: () => void;
}

/** The key, with one write, has moved to a host that its former owner does not know. */
async function moved(stage: Stage): Promise<Moved> {
  const { world } = stage;
  const [former] = stage.walk();
  await stage.put(former!, { quorum: "one" });
  stage.cutOff(former!);
  await stage.sleep(5_000);
  const owner = world.addHost();
  world.arrivals.arrives(owner, world.schedule.nowMs);
  stage.cutOff(former!); // from this one, too
  world.start(owner);
  const others = world.hosts.filter((host) => host !== former);
  await until(world, 60_000, "the key moves", () => others.every((host) => ownerAt(stage, host) === owner.id));
  await stage.sleep(5_000); // time to fill
  assert.equal(ownerAt(stage, former!), former!.id);
  return { former: former!, owner, heal: () => world.network.healAll() };
}

async function putAcked(stage: Stage, at: SimHost): Promise<void> {
  assert.deepEqual((await stage.put(at, { quorum: "one" })).ack?.durable, [at.id]);
}

const writes = (count: number): string[] => Array.from({ length: count }, (_, i) => `write ${i}`).toSorted();

export const formerOwnerStories: readonly Story[] = [
  {
    name: "what a former owner that does not know it takes of the only copies reaches the new owner, which lacks them till then and says so",
    brokenBy: "a new owner does without the only copy, for its holder is away",
    cluster: oneCopy,
    play: async (stage) => {
      const { former, owner, heal } = await moved(stage);
      await putAcked(stage, former);
      await putAcked(stage, owner);
      // It has a write of its own, and knows that others may be missing.
      const read = await owner.call((node) => node.get("sim", "key0", { r: 1 }));
      assert.ok(read !== "died" && read.degraded && read.siblings.length === 1);
      heal();
      await stage.settled();
      assert.deepEqual(await stage.siblings(owner), writes(3));
      assert.deepEqual(await stage.siblings(former), []);
    },
  },
  {
    name: "what a former owner takes of the only copies outlasts its process, which ends before it hears of the new owner",
    brokenBy: "a write does not reach the hash tree (riak_kv#473)",
    cluster: oneCopy,
    play: async (stage) => {
      const { former, owner, heal } = await moved(stage);
      await putAcked(stage, former);
      former.kill();
      heal();
      await stage.sleep(10_000);
      await stage.start(former);
      await stage.settled();
      assert.deepEqual(await stage.siblings(owner), writes(2));
    },
  },
  {
    name: "what an owner takes of the only copies while it is removed, and does not know it, reaches the new owner when it is brought back",
    brokenBy: "who returns offers nothing",
    cluster: oneCopy,
    play: async (stage) => {
      const { former, owner, heal } = await moved(stage);
      await stage.change(owner, { kind: "remove", host: former.id });
      await putAcked(stage, former);
      heal();
      await stage.notices(former);
      await stage.restart(former);
      await stage.settled();
      const [now] = stage.walk();
      assert.deepEqual(await stage.siblings(now!), writes(2));
    },
  },
];
