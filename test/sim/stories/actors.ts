/** Stories of dots that two events might share. */
import assert from "node:assert/strict";
import type { Story } from "./stage.ts";

export const actorStories: readonly Story[] = [
  {
    name: "a wiped coordinator that is back at once mints nothing that is taken for an old event (riak_kv#679)",
    brokenBy: "an actor is used again after a restart (riak_kv#679)",
    play: async (stage) => {
      const [coordinator, other] = stage.walk();
      for (let i = 0; i < 5; i++)
        await stage.put(coordinator!, { context: i === 0 ? "none" : "latest", quorum: "all" });
      await stage.wipe(coordinator!);
      await stage.put(coordinator!, { quorum: "one" });
      await stage.settled();
      await stage.get(other!, { quorum: "all" });
      assert.deepEqual(await stage.siblings(other!), ["write 4", "write 5"]);
    },
  },
  {
    name: "a stand-in that lost its hints mints nothing that is taken for an old event (riak_kv#679, fallback)",
    brokenBy: "an actor is used again after a restart (riak_kv#679)",
    cluster: { hosts: 5 },
    play: async (stage) => {
      const [a, b, c, standIn] = stage.walk();
      for (const owner of [a!, b!, c!]) owner.kill();
      await stage.sleep(1_000);
      await stage.put(standIn!, { quorum: "one" });
      await stage.put(standIn!, { quorum: "one", context: "latest" });
      await stage.wipe(standIn!);
      await stage.put(standIn!, { quorum: "one" });
      await stage.put(standIn!, { quorum: "one" });
      for (const owner of [a!, b!, c!]) await stage.start(owner);
    },
  },
  {
    name: "a host on an older copy of its disk mints nothing that is taken for a later event of its own (riak_kv#1643)",
    brokenBy: "an actor is used again after a restart (riak_kv#679)",
    play: async (stage) => {
      const [coordinator, other] = stage.walk();
      await stage.put(coordinator!, { quorum: "all" });
      const copy = coordinator!.disk.synced.copy();
      for (let i = 0; i < 3; i++) await stage.put(coordinator!, { context: "latest", quorum: "all" });
      coordinator!.kill();
      const { oracle, schedule } = stage.world;
      oracle.losing(coordinator!, schedule.nowMs, () => coordinator!.disk.restore(copy));
      await stage.start(coordinator!);
      await stage.put(coordinator!, { quorum: "one" });
      await stage.put(coordinator!, { quorum: "one" });
      await stage.settled();
      await stage.get(other!, { quorum: "all" });
      await stage.sleep(100);
      assert.deepEqual(await stage.siblings(other!), ["write 3", "write 4", "write 5"]);
    },
  },
  {
    name: "two processes on copies of one disk never share a dot (riak_kv#1027)",
    brokenBy: "an actor is used again after a restart (riak_kv#679)",
    cluster: { hosts: 4 },
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const twin = stage.world.addTwin(a!);
      while (!twin.ready) await stage.sleep(10);
      for (let i = 0; i < 6; i++) await stage.put(i % 2 === 0 ? a! : twin, { quorum: "one" });
      await stage.get(b!, { quorum: "one" });
      stage.world.endTwin(twin);
    },
  },
  {
    name: "a stand-in that has handed its hint on mints nothing that covers it (riak_kv#679, hand-off)",
    brokenBy: "an actor outlives the hint that was handed on (riak_kv#679, hand-off)",
    cluster: { hosts: 5 },
    play: async (stage) => {
      const [a, b, c, standIn] = stage.walk();
      const owners = [a!, b!, c!];
      const mint = async (): Promise<void> => {
        for (const owner of owners) owner.kill();
        await stage.sleep(1_000);
        await stage.put(standIn!, { quorum: "one" });
        for (const owner of owners) await stage.start(owner);
        await stage.settled();
        await stage.drained();
      };
      await mint();
      await mint();
      assert.deepEqual(await stage.siblings(a!), ["write 0", "write 1"]);
    },
  },
  {
    name: "a host whose disk was lost after many starts is believed again (memberlist#311)",
    brokenBy: "the lower incarnation of a member wins (memberlist#311)",
    play: async (stage) => {
      const [host, other] = stage.walk();
      for (let i = 0; i < 5; i++) await stage.restart(host!);
      await stage.settled();
      await stage.sleep(5_000);
      const before = stage.incarnation(host!, other!);
      await stage.wipe(host!);
      await stage.settled();
      await stage.sleep(5_000);
      assert.ok(before >= 5 && stage.incarnation(host!, other!) > before, `${before} before`);
    },
  },
  {
    name: "all hosts restart at once, one of them without its disk",
    brokenBy: "a host believes its peers about what it holds",
    cluster: { hosts: 5 },
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const { arrivals, oracle, schedule, hosts } = stage.world;
      for (const host of hosts) host.kill();
      oracle.losing(b!, schedule.nowMs, () => b!.disk.wipe());
      arrivals.arrives(b!, schedule.nowMs);
      for (const host of hosts) stage.world.start(host);
      await stage.settled();
    },
  },
];
