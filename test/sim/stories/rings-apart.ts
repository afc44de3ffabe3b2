/** Stories of rings of one name that were founded apart and meet: they become one, and neither takes the other's word for its own. */
import assert from "node:assert/strict";
import { until } from "../cluster.ts";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";
import type { Stage, Story } from "./stage.ts";

/** Wires are calm here, so that little time suffices for whatever is on its way. */
const reaping = { hosts: 3, config: { readRepairShare: 0, graceMs: 6_000 }, lateMsMax: 1 } as const;

export const ringsApartStories: readonly Story[] = [
  {
    name: "an old copy of a disk brings nothing back, although it is from before its host met a ring founded apart (seed 407780)",
    cluster: reaping,
    brokenBy: "only marks of the whole ring as it is now count",
    play: async (stage) => {
      const { host, copy, meet } = await copiedBeforeReap(stage);
      await meet();
      await restoreAndRead(stage, host, copy);
    },
  },
  {
    name: "an old copy of a disk brings nothing back, although its host was down when its ring met one that was founded apart",
    cluster: reaping,
    brokenBy: "only marks of the whole ring as it is now count",
    play: async (stage) => {
      const { host, copy, meet } = await copiedBeforeReap(stage);
      host.kill();
      await meet();
      await restoreAndRead(stage, host, copy);
    },
  },
  {
    name: "a write that lives on a host alone stays when its ring has met one that was founded apart, and that has forgotten something there",
    cluster: reaping,
    brokenBy: "a host misses the marks of a ring founded apart",
    play: async (stage) => {
      const [, , c] = stage.walk();
      const meet = await foundApart(stage);
      const founder = stage.world.hosts.at(-1)!;
      await stage.put(founder);
      await stage.delete(founder);
      await stage.reaped(1);
      const heal = stage.cutOff(c!);
      await stage.sleep(3_000);
      const alone = await stage.put(c!, { quorum: "one" });
      assert.ok(alone.ack);
      c!.kill();
      heal();
      await meet();
      await stage.start(c!);
      await stage.settled();
      for (const host of stage.walk().slice(0, 3))
        assert.deepEqual(await stage.siblings(host), [`write ${alone.id}`], host.name);
    },
  },
  {
    name: "two rings that were founded apart and meet have the writes of both at every owner, without anti-entropy",
    brokenBy: "rings that meet fill nothing from each other",
    cluster: { hosts: 3, config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000 } },
    play: async (stage) => {
      const { world } = stage;
      const [a] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const founder = world.addHost({ foundsApart: true });
      const heal = stage.cutOff(founder);
      world.arrivals.copied(founder);
      world.start(founder, true);
      while (!founder.ready) await stage.sleep(100);
      await stage.put(founder, { quorum: "all" });
      heal();
      await stage.restart(founder);
      await stage.settled();
      for (const host of stage.walk().slice(0, 3)) {
        assert.deepEqual(await stage.siblings(host), ["write 0", "write 1"], host.name);
      }
    },
  },
];

/** A copy of an owner's disk with a value that all have deleted and forgotten since, and then a second ring: see `foundApart`. */
async function copiedBeforeReap(stage: Stage) {
  const [a, , c] = stage.walk();
  await stage.put(a!, { quorum: "all" });
  const copy = c!.disk.synced.copy();
  await stage.delete(a!);
  await stage.reaped(3);
  return { host: c!, copy, meet: await foundApart(stage) };
}

/** A second ring of the same name, behind a cut; what is returned lets the two meet. */
async function foundApart(stage: Stage): Promise<() => Promise<void>> {
  const { world } = stage;
  const founder = world.addHost({ foundsApart: true });
  world.arrivals.copied(founder);
  const heal = stage.cutOff(founder);
  world.start(founder, true);
  while (!founder.ready) await stage.sleep(100);
  return async () => {
    heal();
    await stage.restart(founder);
    const hasMet = ({ disk }: SimHost): boolean => membershipOn(disk.view)?.roster.secrets.length === 2;
    const running = world.hosts.filter((host) => host.running);
    await until(world, 60_000, "the rings meet", async () => running.every(hasMet));
  };
}

async function restoreAndRead(stage: Stage, host: SimHost, copy: Parameters<Stage["restoreCopy"]>[1]): Promise<void> {
  const others = stage.world.hosts.filter((each) => each !== host && !each.foundsApart);
  stage.restoreCopy(host, copy, { isNoticed: true });
  await stage.start(host);
  await stage.settled();
  for (const each of [...others, host]) assert.deepEqual(await stage.siblings(each), [], each.name);
}
