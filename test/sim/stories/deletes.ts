/** Stories of deleted keys that are forgotten, and of what must not come back then. */
import assert from "node:assert/strict";
import { methods } from "../../../core/rpc/rpc.ts";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";
import type { Stage, Story } from "./stage.ts";

/** Wires are calm here, so that little time suffices for whatever is on its way. */
const reaping = { config: { readRepairShare: 0, graceMs: 6_000 }, lateMsMax: 1 } as const;

/** The walk of the key. It was first written while its third host, an owner, was away: the fourth holds what that one lacks. */
async function writtenWhileAway(stage: Stage): Promise<SimHost[]> {
  const walk = stage.walk();
  const [first, , away] = walk;
  away!.kill();
  await stage.sleep(1_000);
  await stage.put(first!, { quorum: "all" });
  return walk;
}

interface MovedKey {
  readonly key: number;
  readonly owners: readonly SimHost[];
  /** It is away, has the key on its disk, and takes itself for an owner. */
  readonly former: SimHost;
}

/** A host joins while an owner is away, and takes over from it. */
async function movedFromWhoIsAway(stage: Stage): Promise<MovedKey> {
  const { world } = stage;
  const former = stage.walk()[0]!;
  const keys = Array.from({ length: 12 }, (_, i) => i).filter(
    (key) => stage.walk(key).indexOf(former) < world.scenario.n,
  );
  for (const key of keys) await stage.put(former, { key, quorum: "all" });
  former.kill();
  await stage.sleep(5_000);
  const joiner = world.addHost();
  world.arrivals.arrives(joiner, world.schedule.nowMs);
  await stage.start(joiner);
  await stage.sleep(10_000); // time to fill
  const { ring } = membershipOn(joiner.disk.view)!;
  for (const key of keys) {
    const { partition } = world.oracle.locate(`sim/key${key}`);
    const owners = ring.owners(partition).map((id) => world.hosts.find((host) => host.id === id)!);
    if (!owners.includes(former)) return { key, owners, former };
  }
  throw new assert.AssertionError({ message: "the join moved no key" });
}

export const deleteStories: readonly Story[] = [
  {
    name: "a deleted key is forgotten by all owners, and can be written again",
    cluster: reaping,
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.delete(b!);
      await stage.reaped(3);
      for (const host of [a!, b!, c!]) {
        const status = await host.call((node) => node.status());
        assert.ok(status !== "died");
        assert.deepEqual([status.keys, status.tombstones], [0, { waiting: 0, why: [] }]);
      }
      await stage.put(c!, { quorum: "all" });
      assert.deepEqual(await stage.siblings(a!), ["write 2"]);
    },
  },
  {
    name: "a tombstone that one owner kept does not swallow what was written after the others had forgotten it (riak_kv#1094, doomstone)",
    brokenBy: "an actor outlives the clock that named it (riak_kv#1094)",
    cluster: reaping,
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.put(a!, { quorum: "all", context: "latest" });
      await stage.delete(a!, { quorum: "all" });
      stage.beforeRequest(a!, methods.commitReap, (to) => {
        const { network, schedule } = stage.world;
        network.cut(a!.id, to);
        schedule.after(100, "the wire is mended", () => network.heal(a!.id, to));
      });
      await stage.reaped(2);
      await stage.put(a!, { quorum: "one" });
      await stage.settled();
      await stage.sleep(5_000);
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), ["write 3"]);
    },
  },
  {
    name: "what a stand-in kept all the time is delivered before the delete is forgotten (scylladb#23712, hint after reap)",
    brokenBy: "a reap goes on without the members that are away",
    cluster: { ...reaping, hosts: 5 },
    play: async (stage) => {
      const [a, b, c, standIn] = await writtenWhileAway(stage);
      standIn!.kill();
      await stage.start(c!);
      await stage.sleep(1_000);
      await stage.delete(b!);
      await stage.notReaped();
      await stage.start(standIn!);
      await stage.reaped(3);
      await stage.settled();
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), []);
    },
  },
  {
    name: "nobody is asked to forget a record that is damaged where it is led from, for there is no other copy to mend it",
    brokenBy: "a leader asks everybody about what it would not forget itself",
    cluster: { ...reaping, n: 1 },
    play: async (stage) => {
      const [owner] = stage.walk();
      await stage.put(owner!);
      await stage.delete(owner!);
      stage.world.damagedKeys.add("sim/key0");
      await stage.damage(owner!);
      const asked: string[] = [];
      stage.beforeRequest(owner!, methods.prepareReap, (to) => asked.push(to));
      await stage.notReaped();
      assert.deepEqual(asked, []);
    },
  },
  {
    name: "owners whose clocks differ are asked ever more seldom about a value that is not expired for all of them (seed 50285)",
    brokenBy: "a leader asks again and again about what was refused",
    cluster: reaping,
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      c!.machine.skewMs -= 3_000_000;
      await stage.put(a!, { quorum: "all", ttlMs: 1 });
      await stage.notReaped();
      const status = await a!.call((node) => node.status());
      assert.ok(status !== "died");
      assert.equal(status.tombstones.waiting, 1);
      assert.match(status.tombstones.why.join(), /^1 are younger/);
      assert.deepEqual(await stage.siblings(b!), []);
    },
  },
  {
    name: "a delete whose record is lost is waited for no more once the key is written anew",
    cluster: { ...reaping, n: 1 },
    play: async (stage) => {
      const [owner] = stage.walk();
      await stage.put(owner!);
      await stage.delete(owner!);
      stage.lose(owner!);
      await stage.start(owner!);
      await stage.settled();
      await stage.put(owner!);
      await stage.sleep(2 * stage.world.graceMs);
      const status = await owner!.call((node) => node.status());
      assert.ok(status !== "died");
      assert.deepEqual(status.tombstones, { waiting: 0, why: [] });
    },
  },
  {
    name: "a hint that is delivered twice, late the second time, finds the delete still there",
    cluster: { ...reaping, hosts: 5, lateMsMax: 1_000 },
    play: async (stage) => {
      const [a, b, c, standIn] = await writtenWhileAway(stage);
      for (const host of [a!, b!]) stage.world.network.cut(host.id, standIn!.id);
      await stage.start(c!);
      await stage.delete(b!, { quorum: "all" });
      await stage.sleep(7_000);
      // The copy of the hint that is repeated arrives when the other one was acknowledged long ago.
      const { mood } = stage.world.network;
      Object.assign(mood, { duplicates: 1, spikes: 0.5, spikeMs: 1_000 });
      for (const host of [a!, b!]) stage.world.network.heal(host.id, standIn!.id);
      await stage.sleep(3_000);
      Object.assign(mood, { duplicates: 0, spikes: 0 });
      await stage.reaped(3);
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), []);
    },
  },
  {
    name: "a key that was deleted and written anew is not forgotten (delete-and-recreate)",
    cluster: reaping,
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!);
      await stage.delete(b!);
      await stage.put(c!, { context: "latest" });
      await stage.notReaped();
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), ["write 2"]);
    },
  },
  {
    name: "a key is deleted, forgotten and written again and again (delete-and-recreate)",
    cluster: reaping,
    play: async (stage) => {
      const owners = stage.walk();
      for (let i = 0; i < 5; i++) {
        await stage.put(owners[i % 3]!, { context: i % 2 === 0 ? "none" : "latest" });
        await stage.delete(owners[(i + 1) % 3]!, { quorum: "all" });
        await stage.reaped(3 * (i + 1));
      }
      await stage.put(owners[0]!, { context: "stale", quorum: "all" });
      assert.deepEqual(await stage.siblings(owners[1]!), ["write 10"]);
    },
  },
  {
    name: "what is written between the consent and the forgetting stays (riak_kv#1777, reap race)",
    brokenBy: "a reap is carried out whatever has changed since (riak_kv#1777)",
    cluster: reaping,
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.delete(a!, { quorum: "all" });
      const racing: Promise<unknown>[] = [];
      stage.beforeRequest(a!, methods.commitReap, () => racing.push(stage.put(b!, { quorum: "one" })));
      await stage.reaped(1);
      assert.equal(racing.length, 1, "the put came in between");
      await Promise.all(racing);
      await stage.settled();
      await stage.sleep(5_000);
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), ["write 2"]);
    },
  },
  {
    name: "a member that is away stops all reaping, and what it brings back is deleted",
    cluster: { ...reaping, hosts: 4 },
    play: async (stage) => {
      const [a, b, c, other] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      c!.kill();
      await stage.delete(a!);
      await stage.notReaped();
      const status = await a!.call((node) => node.status());
      assert.ok(status !== "died" && status.tombstones.waiting === 1);
      assert.match(status.tombstones.why.join(), new RegExp(`away.*${c!.id}`));
      await stage.start(c!);
      await stage.reaped(3);
      other!.kill();
      await stage.put(b!);
      await stage.delete(b!);
      await stage.sleep(4 * stage.world.graceMs);
      assert.equal(stage.world.reaped.keys, 3, "a member that owns nothing of it is asked too");
    },
  },
  {
    name: "after a restart of all hosts a delete is forgotten once nothing from before it can be on its way any more",
    cluster: {
      ...reaping,
      config: { ...reaping.config, graceMs: 120_000, inFlightMsMax: 10_000, reapIntervalMs: 1_000 },
    },
    play: async (stage) => {
      const owners = stage.walk();
      await stage.put(owners[0]!, { quorum: "all" });
      await stage.delete(owners[0]!, { quorum: "all" });
      await stage.sleep(stage.world.graceMs - 10_000);
      for (const host of owners) host.kill();
      await stage.sleep(10_000);
      for (const host of owners) await stage.start(host);
      const startedMs = stage.world.schedule.nowMs;
      await stage.reaped(3);
      const tookMs = stage.world.schedule.nowMs - startedMs;
      assert.ok(tookMs < 30_000, `after ${tookMs} ms, of which 10 s are the longest way`);
    },
  },
  {
    name: "a delete is forgotten where hosts look for such more seldom than messages take at most",
    cluster: {
      ...reaping,
      config: { ...reaping.config, graceMs: 120_000, inFlightMsMax: 5_000, reapIntervalMs: 6_000 },
    },
    play: async (stage) => {
      const [owner] = stage.walk();
      await stage.put(owner!, { quorum: "all" });
      await stage.delete(owner!, { quorum: "all" });
      await stage.reaped(3);
    },
  },
  {
    name: "neither side of a cut forgets a delete before they are one again (two sides of a cut of which one reaps)",
    cluster: { ...reaping, hosts: 5 },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const heal = stage.cutOff(a!, b!);
      await stage.sleep(5_000);
      await stage.delete(a!, { quorum: 2 });
      await stage.notReaped();
      heal();
      await stage.reaped(3);
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), []);
    },
  },
  {
    name: "nor does the side with all owners, while a stand-in on the other has kept what was deleted",
    brokenBy: "a reap goes on without the members that are away",
    cluster: { ...reaping, hosts: 5 },
    play: async (stage) => {
      const [a, b, c, standIn] = await writtenWhileAway(stage);
      const heal = stage.cutOff(standIn!);
      await stage.start(c!);
      await stage.sleep(1_000);
      await stage.delete(b!);
      await stage.notReaped();
      heal();
      await stage.reaped(3);
      await stage.settled();
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), []);
    },
  },
  {
    name: "a host that was stopped for longer than a grace period brings nothing back when it goes on",
    brokenBy: "a reap goes on without the members that are away",
    cluster: { ...reaping, hosts: 4 },
    play: async (stage) => {
      const [a, b, c, other] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      other!.process!.pause();
      await stage.delete(a!);
      await stage.notReaped();
      other!.process!.resume();
      await stage.reaped(3);
      for (const host of [a!, b!, c!]) assert.deepEqual(await stage.siblings(host), []);
    },
  },
  {
    name: "a host that gets a copy of its disk from before a reap back brings no deleted value back (restored copy after the reap)",
    cluster: reaping,
    brokenBy: "a forgetting mark without a consent is ignored",
    play: async (stage) => {
      const [a, , c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const copy = c!.disk.synced.copy();
      await stage.delete(a!, { quorum: "all" });
      await stage.reaped(3);
      c!.kill("gets an old copy of its disk back");
      c!.disk.restore(copy);
      await stage.start(c!);
      await stage.settled();
      await stage.sleep(5_000);
      for (const host of stage.walk()) assert.deepEqual(await stage.siblings(host), []);
    },
  },
  {
    name: "a former owner that is away stops the reap, and brings nothing back when it returns",
    brokenBy: "a reap goes on without the members that are away",
    cluster: { ...reaping, n: 2 },
    play: async (stage) => {
      const { key, owners, former } = await movedFromWhoIsAway(stage);
      await stage.delete(owners[0]!, { key });
      await stage.notReaped();
      await stage.start(former);
      await stage.reaped(2);
      for (const host of stage.walk(key)) assert.deepEqual(await stage.siblings(host, key), [], host.name);
    },
  },
  {
    name: "a former owner that was removed brings nothing back that was forgotten without it (former owner returns after the reap)",
    brokenBy: "a host that returns offers what was reaped without it",
    cluster: { ...reaping, n: 2 },
    play: async (stage) => {
      const { key, owners, former } = await movedFromWhoIsAway(stage);
      await stage.change(owners[0]!, { kind: "remove", host: former.id });
      await stage.delete(owners[0]!, { key });
      await stage.reaped(2);
      await stage.start(former);
      await stage.notices(former);
      await stage.restart(former);
      await stage.settled();
      for (const host of stage.walk(key)) assert.deepEqual(await stage.siblings(host, key), [], host.name);
    },
  },
  {
    name: "a host that comes back on a copy from before the reap is heard by no owner before they have met anew",
    brokenBy: "a host that has started anew counts as met",
    cluster: reaping,
    play: async (stage) => {
      const [a, b] = stage.walk();
      b!.kill();
      await stage.sleep(1_000);
      await stage.put(a!, {});
      await stage.sleep(100);
      // It still owes B the write.
      const copy = a!.disk.synced.copy();
      await stage.start(b!);
      await stage.drained();
      await stage.delete(b!);
      await stage.reaped(3);
      stage.restoreCopy(a!, copy, { isNoticed: false });
      await stage.start(a!);
      await stage.settled();
      await stage.sleep(1_000);
      assert.deepEqual(await stage.siblings(b!), []);
    },
  },
];
