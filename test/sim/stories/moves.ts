/** Stories of partitions that change hands while something goes wrong. */
import assert from "node:assert/strict";
import { hasBit } from "../../../core/bytes/bitmap.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { until } from "../cluster.ts";
import { membershipOn, statesOn } from "../rows.ts";
import type { Story } from "./stage.ts";

const four = { hosts: 4 };

export const moveStories: readonly Story[] = [
  {
    name: "a host that leaves and loses power before anybody knows tells it when it is back",
    cluster: four,
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.change(b!, { kind: "leave", host: b!.id });
      stage.cutPower(b!);
      await stage.start(b!);
      await stage.gone(b!);
      await stage.settled();
      assert.equal((await stage.siblings(a!)).length, 1);
    },
  },
  {
    name: "the last copy of a write does not leave with its host: nobody drops before two owners confirm",
    cluster: { ...four, config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000 } },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      b!.kill();
      c!.kill();
      await stage.sleep(3_000);
      const write = await stage.put(a!, { quorum: "one" });
      assert.ok(write.ack);
      await stage.start(b!);
      await stage.start(c!);
      await stage.change(a!, { kind: "leave", host: a!.id });
      await stage.gone(a!);
      await stage.settled();
      for (const host of stage.walk().slice(0, 2)) assert.equal((await stage.siblings(host)).length, 1, host.name);
    },
  },
  {
    name: "two hosts that let go of one partition at once leave it whole with the others",
    brokenBy: "two hosts take one token, and each keeps it",
    cluster: { hosts: 6 },
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await Promise.all([a!, b!].map((host) => stage.change(host, { kind: "leave", host: host.id })));
      await Promise.all([a!, b!].map((host) => stage.gone(host)));
      await stage.settled();
      for (const host of stage.walk().slice(0, 3)) assert.equal((await stage.siblings(host)).length, 1, host.name);
    },
  },
  {
    name: "hosts that join in one moment, and take the same tokens, agree on whose these are, and hold all that was written",
    brokenBy: "two hosts take one token, and each yields it to the other",
    cluster: { hosts: 3, partitions: 32, delayMs: [20, 120], gossips: true },
    play: async (stage) => {
      const { arrivals, schedule } = stage.world;
      const keys = Array.from({ length: 8 }, (_, key) => key);
      for (const key of keys) await stage.put(stage.walk(key)[0]!, { key, quorum: "all" });
      const joiners = Array.from({ length: 4 }, () => stage.world.addHost());
      for (const joiner of joiners) arrivals.arrives(joiner, schedule.nowMs);
      for (const joiner of joiners) stage.world.start(joiner);
      await stage.sleep(10_000);
      assert.ok(stage.world.oracle.ring(), "all see one ring");
      await stage.settled();
      for (const key of keys) {
        for (const owner of stage.walk(key).slice(0, 3)) assert.equal((await stage.siblings(owner, key)).length, 1);
      }
    },
  },
  {
    name: "a host that fills asks for page after page until there is nothing more",
    cluster: { ...four, config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000, fillPageBytes: 1 } },
    brokenBy: "filling ends after the first page",
    play: async (stage) => {
      const keys = Array.from({ length: 40 }, (_, key) => key);
      const [host] = stage.walk();
      for (const key of keys) await stage.put(host!, { key, quorum: "all" });
      await stage.wipe(host!);
      await stage.settled();
      const held = new Set(statesOn(host!.disk.view).map(({ key }) => key));
      const owned = keys.filter((key) => stage.walk(key).indexOf(host!) < 3);
      assert.deepEqual(
        owned.filter((key) => !held.has(`sim/key${key}`)),
        [],
      );
    },
  },
  {
    name: "a host that is killed while it fills goes on where it was, and a source that is killed is asked again",
    cluster: { ...four, config: { readRepairShare: 0, fillPageBytes: 1 } },
    play: async (stage) => {
      const [a, b] = stage.walk();
      for (let key = 0; key < 20; key++) await stage.put(a!, { key, quorum: "all" });
      await stage.wipe(b!);
      await stage.sleep(300);
      await stage.restart(b!);
      a!.kill();
      await stage.sleep(300);
      await stage.start(a!);
      await stage.settled();
      const keys = new Set(statesOn(b!.disk.view).map(({ key }) => key));
      for (let key = 0; key < 20; key++) {
        if (stage.walk(key).indexOf(b!) < 3) assert.ok(keys.has(`sim/key${key}`), `key${key}`);
      }
    },
  },
  {
    name: "a partition that is filled is told within seconds, although a source of others is silent (seed 404606)",
    cluster: { ...four, silentMs: 20_000 },
    brokenBy: "what is filled is told at the end",
    play: async (stage) => {
      const [a, , , d] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.wipe(a!, { awaitReady: false });
      stage.beforeRequest(a!, methods.scan, () => d!.process!.pause(), d);
      while (!d!.process!.paused) await stage.sleep(10);
      const { partition } = stage.world.oracle.locate("sim/key0");
      await until(stage.world, 2_500, `${a!.name} says that it is complete`, () => {
        const said = membershipOn(a!.disk.view)?.roster.holdings.get(a!.id);
        return said !== undefined && hasBit(said.complete, partition);
      });
      d!.process!.resume();
    },
  },
  {
    name: "what a browser and a host keep for the only owner of a key is one copy once that has it (seed 404383)",
    cluster: { ...four, n: 1, browsers: [3] },
    play: async (stage) => {
      const [a] = stage.walk();
      a!.kill();
      await stage.sleep(3_000);
      const write = await stage.put(stage.host("h4"), { quorum: "one" });
      assert.equal(write.ack?.durable.length, 2);
      await stage.start(a!);
      await stage.drained();
      await stage.wipe(a!);
    },
  },
  {
    name: "a host that had left and starts from a copy of its disk from before only ends (seed 408280)",
    cluster: four,
    play: async (stage) => {
      const [a, b] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.change(b!, { kind: "leave", host: b!.id });
      const copy = b!.disk.synced.copy();
      assert.notEqual(statesOn(copy).length, 0);
      const status = (): string => stage.member(b!, b!).status;
      await until(stage.world, 60_000, `${b!.name} has left`, () => status() === "left");
      stage.restoreCopy(b!, copy, { isNoticed: false });
      assert.equal(status(), "leaving");
      await stage.start(b!);
      await stage.gone(b!);
    },
  },
  {
    name: "a host that was removed while it was cut off offers what it alone has when it is brought back",
    cluster: four,
    play: async (stage) => {
      const [a, b] = stage.walk();
      const heal = stage.cutOff(a!);
      await stage.sleep(5_000);
      await stage.put(a!, { quorum: "one" });
      await stage.change(b!, { kind: "remove", host: a!.id });
      heal();
      await stage.notices(a!);
      await stage.restart(a!);
      await stage.settled();
      for (const host of stage.walk().slice(0, 3)) assert.equal((await stage.siblings(host)).length, 1, host.name);
    },
  },
  {
    name: "a row that the disk shows anew in a partition that its host does not hold goes to the owners, and then away",
    cluster: four,
    brokenBy: "what the disk shows anew stays where it is",
    play: async (stage) => {
      const [a, , , d] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const [row] = [...a!.disk.view.rows("objects")];
      d!.kill();
      for (const image of [d!.disk.view, d!.disk.synced]) image.apply([{ kind: "put", ns: "objects", ...row! }]);
      await stage.start(d!);
      await stage.settled();
    },
  },
];
