/** Stories of values that should not be there, or no more. */
import assert from "node:assert/strict";
import type { Story } from "./stage.ts";

export const siblingStories: readonly Story[] = [
  {
    name: "100 interleaved writes of two writers leave two siblings (sibling explosion)",
    brokenBy: "a value survives although the other side has seen it",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      for (let i = 0; i < 50; i++) {
        await stage.get(a!, { client: 1 });
        await stage.get(b!, { client: 2 });
        await stage.put(a!, { client: 1, context: "latest" });
        await stage.put(b!, { client: 2, context: "latest" });
      }
      await stage.get(c!, { quorum: "all" });
      await stage.sleep(100);
      assert.equal((await stage.siblings(c!)).length, 2);
    },
  },
  {
    name: "seven writers that read before they write, for 30 s, never make more than seven siblings (riak_cs#1006)",
    brokenBy: "a value survives although the other side has seen it",
    play: async (stage) => {
      const hosts = stage.walk();
      const endMs = stage.world.schedule.nowMs + 30_000;
      let most = 0;
      const write = async (client: number): Promise<void> => {
        for (let i = client; stage.world.schedule.nowMs < endMs; i++) {
          const at = hosts[i % 3]!;
          await stage.get(at, { client });
          await stage.put(at, { client, context: "latest", repeats: 2, withId: i % 2 === 0 });
          most = Math.max(most, (await stage.siblings(at)).length);
          // So long that some meet what they have seen before, and not so short that the run has no end.
          await stage.sleep(100 + 17 * client);
        }
      };
      await Promise.all([1, 2, 3, 4, 5, 6, 7].map(write));
      assert.ok(most > 1 && most <= 7, `${most} siblings`);
    },
  },
  {
    name: "a delete stays when an owner that was away returns with the value",
    brokenBy: "a value survives although the other side has seen it",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      c!.kill();
      await stage.get(a!, {});
      await stage.put(a!, { verb: "delete", context: "latest" });
      await stage.start(c!);
      await stage.settled();
      await stage.get(b!, { quorum: "all" });
      await stage.sleep(100);
      assert.deepEqual(await stage.siblings(c!), []);
    },
  },
  {
    name: "a key that was deleted and written anew has the new value only, whoever was away",
    brokenBy: "a value survives although the other side has seen it",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      c!.kill();
      await stage.put(a!, { verb: "delete", context: "latest" });
      await stage.get(b!, {});
      await stage.put(b!, { context: "latest" });
      await stage.start(c!);
      await stage.settled();
      await stage.get(a!, { quorum: "all" });
      await stage.sleep(100);
      assert.equal((await stage.siblings(c!)).length, 1);
    },
  },
  {
    name: "what a stand-in keeps survives its power cut, and reaches the owners when nobody else has it",
    brokenBy: "a hint is acknowledged and not stored",
    cluster: { hosts: 5 },
    play: async (stage) => {
      const [a, b, c, standIn] = stage.walk();
      for (const owner of [b!, c!]) owner.kill();
      await stage.sleep(1_000);
      await stage.put(a!, { quorum: 2 });
      stage.cutPower(standIn!);
      await stage.wipe(a!, { awaitReady: false });
      for (const host of [standIn!, b!, c!]) stage.world.start(host);
      await stage.settled();
      await stage.drained();
      assert.deepEqual(await stage.siblings(b!), ["write 0"]);
    },
  },
  {
    name: "what a stand-in keeps for owners survives its restart (riak_core#154)",
    brokenBy: "hints are counted in memory only (riak_core#154)",
    cluster: { hosts: 5 },
    play: async (stage) => {
      const [a, b, c, standIn] = stage.walk();
      for (const owner of [a!, b!, c!]) owner.kill();
      await stage.sleep(1_000);
      await stage.put(standIn!, { quorum: 2 });
      await stage.restart(standIn!);
      const status = await standIn!.call((node) => node.status());
      assert.ok(status !== "died" && status.hints > 0, "the hint is counted after the restart");
    },
  },
];
