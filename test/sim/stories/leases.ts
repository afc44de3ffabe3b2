/** Stories of browser hosts: of leases, and of what is not left to browsers. */
import assert from "node:assert/strict";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";
import type { Stage, Story } from "./stage.ts";

const leaseMs = 10_000;

function browsersOf({ world }: Stage): SimHost[] {
  return world.hosts.filter((host) => host.leaseMs !== undefined);
}

/** Of the history on its disk. */
function lapsesAt({ disk }: SimHost): number {
  return membershipOn(disk.view)!.roster.changes.filter(({ verb }) => verb === "lapse").length;
}

export const leaseStories: readonly Story[] = [
  {
    name: "a host whose lease lapsed comes back by itself with the writes that lived on it alone",
    cluster: { hosts: 5, browsers: [0, 1, 2, 3, 4] },
    play: async (stage) => {
      const [a, b] = stage.walk();
      const heal = stage.cutOff(a!);
      const write = await stage.put(a!, { quorum: "one" });
      assert.ok(write.ack);
      await stage.lapsed(a!, b!);
      heal();
      await stage.settled();
      assert.equal(stage.member(a!, b!).life, 2);
      for (const host of stage.walk().slice(0, 3)) assert.deepEqual(await stage.siblings(host), ["write 0"], host.name);
    },
  },
  {
    name: "a host that was closed for longer than its lease is a member again after its start",
    brokenBy: "who lapsed does not come back",
    cluster: { hosts: 4, browsers: [3] },
    play: async (stage) => {
      const [browser] = browsersOf(stage);
      const [a] = stage.world.hosts;
      browser!.kill("is closed");
      await stage.lapsed(browser!, a!);
      await stage.put(a!, { quorum: "all" });
      await stage.start(browser!);
      await stage.settled();
      assert.deepEqual([stage.member(browser!, a!).life, lapsesAt(a!)], [2, 1]);
    },
  },
  {
    name: "a founder whose lease lapsed comes back without seeds, also when it is closed as it hears of that",
    brokenBy: "who lapsed asks its seeds alone",
    cluster: { hosts: 4, browsers: [0] },
    play: async (stage) => {
      const [founder, other] = stage.world.hosts;
      founder!.kill("is closed");
      await stage.lapsed(founder!, other!);
      founder!.start([]);
      // It goes on at once.
      for (let ms = 0; stage.member(founder!, founder!).status !== "lapsed"; ms++) {
        assert.ok(ms < 60_000, "it hears nothing");
        await stage.sleep(1);
      }
      founder!.kill("is closed again");
      await stage.sleep(1_000); // nobody dials it any more
      founder!.start([]);
      await stage.settled();
      assert.equal(stage.member(founder!, other!).life, 2);
    },
  },
  {
    name: "a minority side of a cut ends nobody's lease",
    brokenBy: "a minority ends leases",
    cluster: { hosts: 5, browsers: [3, 4] },
    play: async (stage) => {
      const [a, b] = stage.world.hosts;
      const heal = stage.cutOff(a!, b!);
      await stage.nobodyLapses(4 * leaseMs);
      heal();
      await stage.settled();
      await stage.nobodyLapses(leaseMs);
    },
  },
  {
    name: "two hosts that end one lease at once make one change of it",
    brokenBy: "a lapse that two hosts carry out is two changes",
    cluster: { hosts: 5, browsers: [4], delayMs: [700, 800] },
    play: async (stage) => {
      const { world } = stage;
      const [browser] = browsersOf(stage);
      browser!.kill("is closed");
      await stage.lapsed(browser!, world.hosts[0]!);
      await stage.sleep(10_000);
      assert.ok(world.faults.get("lapse")! > 1, "two have carried it out");
      for (const host of world.hosts) if (host !== browser) assert.equal(lapsesAt(host), 1, host.name);
      await stage.start(browser!);
      await stage.settled();
    },
  },
  {
    name: "hosts whose machines slept for longer than a lease end none of those whom they could not hear meanwhile",
    brokenBy: "sleep counts as silence",
    cluster: { hosts: 4, browsers: [3] },
    play: async (stage) => {
      const [browser] = browsersOf(stage);
      const others = stage.world.hosts.filter((host) => host !== browser);
      const heal = stage.cutOff(browser!);
      await stage.sleep(2_000);
      for (const host of others) host.process!.pause();
      await stage.sleep(3 * leaseMs);
      for (const host of others) host.process!.resume();
      await stage.sleep(4_000);
      heal();
      await stage.nobodyLapses(5_000);
    },
  },
  {
    name: "a clock that jumps ends no lease",
    cluster: { hosts: 4, browsers: [3] },
    play: async (stage) => {
      for (const host of stage.world.hosts) host.machine.skewMs += 10 * leaseMs;
      await stage.nobodyLapses(5_000);
    },
  },
  {
    name: "a browser host that reaches one host only keeps its lease: that one has heard it",
    brokenBy: "who has heard a member is not listened to",
    cluster: { hosts: 4, browsers: [3] },
    play: async (stage) => {
      const [browser] = browsersOf(stage);
      const [a, , ...others] = stage.world.hosts.filter((host) => host !== browser);
      const pairs = [a!, ...others].map((host) => [browser!.id, host.id] as const);
      const heal = stage.world.network.cutPairs(pairs, true);
      await stage.nobodyLapses(4 * leaseMs);
      heal();
    },
  },
  {
    name: "a host that alone holds partitions completely stays a member beyond its lease",
    brokenBy: "the only holder of a partition lapses too",
    cluster: { hosts: 3, n: 1, browsers: [0, 1, 2] },
    play: async (stage) => {
      const browser = browsersOf(stage).at(-1);
      browser!.kill("is closed");
      await stage.nobodyLapses(4 * leaseMs);
      const status = await stage.world.hosts[0]!.call((node) => node.status());
      assert.ok(status !== "died" && status.notices.some((text) => text.includes("it alone holds")));
      await stage.start(browser!);
    },
  },
  {
    name: "browsers alone acknowledge no write where there are other hosts",
    brokenBy: "copies in browsers are enough",
    cluster: { hosts: 4, browsers: [1, 2, 3] },
    play: async (stage) => {
      const [host] = stage.world.hosts;
      host!.kill();
      await stage.sleep(3_000);
      const write = await stage.put(browsersOf(stage)[0]!, { quorum: "one" });
      assert.equal(write.ack, undefined);
      await stage.start(host!);
      await stage.settled();
    },
  },
  {
    name: "deletes wait for a browser host until its lease has lapsed, and do not come back with it",
    brokenBy: "a host that returns offers what was reaped without it",
    cluster: { hosts: 5, browsers: [4], n: 5, config: { readRepairShare: 0, graceMs: 6_000 }, lateMsMax: 1 },
    play: async (stage) => {
      const [a] = stage.world.hosts;
      const [browser] = browsersOf(stage);
      await stage.put(a!, { quorum: "all" });
      const heal = stage.cutOff(browser!);
      await stage.sleep(3_000);
      await stage.delete(a!);
      await stage.reaped(4);
      assert.equal(stage.member(browser!, a!).status, "lapsed");
      heal();
      await stage.settled();
      for (const host of stage.world.hosts) assert.deepEqual(await stage.siblings(host), [], host.name);
    },
  },
];
