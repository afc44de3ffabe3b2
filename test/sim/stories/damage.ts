/** Stories of disks that give back other than they were given. */
import assert from "node:assert/strict";
import { textOf } from "../write.ts";
import { damageRecord } from "../faults/disk.ts";
import { membershipOn } from "../rows.ts";
import type { Story } from "./stage.ts";

export const damageStories: readonly Story[] = [
  {
    name: "one damaged record is mended by a read of the others",
    brokenBy: "the last reply of a read wins",
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.damage(b!);
      await stage.get(a!, { quorum: "all" });
      await stage.sleep(100);
      assert.deepEqual(await stage.siblings(b!), ["write 0"]);
      // Whichever bit it was.
      assert.deepEqual([...b!.disk.view.rows("objects")], [...a!.disk.view.rows("objects")]);
    },
  },
  {
    name: "a damaged record is mended only by all that other owners know, whatever R a reader asked for",
    brokenBy: "checksums are not compared",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      c!.kill();
      await stage.sleep(3_000);
      await stage.put(a!, { context: "latest" });
      await stage.start(c!);
      await stage.settled();
      await stage.damage(b!);
      // A is slow to answer, so the read of one reaches C.
      stage.world.network.cut(a!.id, b!.id);
      await stage.get(b!, { quorum: "one" });
      await stage.sleep(3_000);
      const answer = await b!.call((node) => node.getLocal("sim", "key0"));
      stage.world.network.heal(a!.id, b!.id);
      assert.ok(answer !== "died");
      const told = `${answer.holding} with ${answer.siblings.map(({ body }) => textOf(body)).join() || "nothing"}`;
      assert.notEqual(told, "complete with write 0");
      await stage.get(a!, { quorum: "all" });
      await stage.sleep(100);
      assert.deepEqual([...b!.disk.view.rows("objects")], [...a!.disk.view.rows("objects")]);
    },
  },
  {
    name: "a key whose record is damaged at every owner can be read and written again",
    brokenBy: "checksums are not compared",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      for (const host of [a!, b!, c!]) await stage.damage(host);
      stage.world.damagedKeys.clear();
      const write = await stage.put(a!, { quorum: "quorum" });
      assert.ok(write.ack, `the write ends as ${write.outcomes.join()}`);
    },
  },
  {
    name: "owners that lost their disks fill although the last whole owner has a damaged record",
    brokenBy: "an actor is used again after a restart (riak_kv#679)",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.damage(a!);
      const { oracle, schedule } = stage.world;
      for (const host of [b!, c!]) {
        host.kill("loses its disk");
        oracle.losing(host, schedule.nowMs, () => host.disk.wipe());
      }
      for (const host of [b!, c!]) await stage.start(host);
      await stage.settled();
    },
  },
  {
    name: "a host that gets a copy of its disk from before its last start back says that it fills",
    brokenBy: "an old copy of the disk is not noticed",
    play: async (stage) => {
      const [a, b] = stage.walk();
      const copy = a!.disk.synced.copy();
      await stage.restart(a!);
      await stage.settled();
      await stage.put(b!, { quorum: "all" });
      stage.restoreCopy(a!, copy, { isNoticed: true });
      await stage.start(a!);
      await stage.settled();
    },
  },
  {
    name: "a copy of a disk from before its host was told the secrets is set aside like any other (seed 51169)",
    play: async (stage) => {
      const { arrivals, schedule } = stage.world;
      const joiner = stage.world.addHost();
      arrivals.arrives(joiner, schedule.nowMs);
      stage.world.start(joiner);
      while (membershipOn(joiner.disk.synced) === undefined) await stage.sleep(0.01);
      const copy = joiner.disk.synced.copy();
      assert.deepEqual(membershipOn(copy)?.roster.secrets, []);
      await stage.settled();
      await stage.restart(joiner);
      await stage.settled();
      stage.restoreCopy(joiner, copy, { isNoticed: true });
      await stage.start(joiner);
      await stage.settled();
    },
  },
  {
    name: "a host that has a damaged record in memory is as complete as before, whatever it has missed (seed 408121)",
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const heal = stage.cutOff(a!);
      await stage.sleep(3_000);
      await stage.put(b!, { quorum: 2 });
      assert.ok(damageRecord(stage.world, a!));
      await stage.get(a!, { verb: "local" });
      heal();
    },
  },
  {
    name: "a host whose disk was full catches up by anti-entropy once there is space, although nobody writes to it",
    brokenBy: "only a write finds out that there is space again",
    cluster: { config: { readRepairShare: 0, hintAgeMaxMs: 0 } },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      c!.disk.mood.full = "engine";
      await stage.put(a!, { context: "latest" });
      const heal = stage.world.network.cutPairs(
        [a!, b!].map((host) => [host.id, c!.id] as const),
        true,
      );
      // Long enough for the others to give up what they keep for it: anti-entropy is to pay.
      await stage.sleep(8_000);
      c!.disk.mood.full = false;
      heal();
    },
  },
  {
    name: "a hint over its bounds stays while an owner refuses it, for its copy may be one of W",
    brokenBy: "a hint over its bounds is dropped whether or not the other owners have it",
    cluster: { hosts: 4, config: { readRepairShare: 0, hintBytesMax: 0 } },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      c!.kill();
      await stage.sleep(3_000);
      b!.disk.mood.full = "headroom";
      const write = await stage.put(a!, { quorum: 2 });
      assert.ok(write.ack);
      await stage.sleep(5_000);
      await stage.wipe(a!);
      b!.disk.mood.full = false;
    },
  },
];
