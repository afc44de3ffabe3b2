/** Stories of hosts that were removed, and of what they may and may not bring back. */
import assert from "node:assert/strict";
import { methods } from "../../../core/rpc/rpc.ts";
import { until } from "../cluster.ts";
import type { Stage, Story } from "./stage.ts";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";

/** Wires are calm here, so that little time suffices for whatever is on its way. */
const reaping = { hosts: 5, config: { readRepairShare: 0, graceMs: 6_000 }, lateMsMax: 1 } as const;

async function readNowhere(stage: Stage): Promise<void> {
  for (const host of stage.walk()) {
    await stage.get(host, { quorum: "all" });
    assert.deepEqual(await stage.siblings(host), [], host.name);
  }
}

/** Deletes the key without this host, which somebody has removed, and waits until all others have forgotten it. */
async function forgetWithout(stage: Stage, removed: SimHost, by: SimHost): Promise<void> {
  await stage.change(by, { kind: "remove", host: removed.id });
  await stage.delete(by);
  await stage.reaped(3);
}

/** So many runs of this host overwrite the key, each under an actor of its own, that its clock is cut. */
async function overwriteUntilCut(stage: Stage, host: SimHost): Promise<void> {
  for (let start = 0; start < 8; start++) {
    await stage.restart(host);
    await stage.sleep(10_000);
    await stage.get(host);
    await stage.put(host, { context: "latest" });
  }
  assert.ok(stage.world.entriesCut > 0 && !stage.world.oracle.history("sim/key0").truncated);
}

export const returnStories: readonly Story[] = [
  {
    name: "a host that comes back takes requests once it has met the others, so that the first one meets its quorum",
    play: async (stage) => {
      const [a] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      a!.kill();
      await stage.sleep(3_000);
      stage.world.start(a!);
      while (!a!.ready) await stage.sleep(0.1);
      const { outcomes } = await stage.put(a!, { quorum: "all" });
      assert.deepEqual(outcomes, ["ok"]);
    },
  },
  {
    name: "what was deleted and forgotten while a host was away and removed does not return with it",
    cluster: reaping,
    brokenBy: "a host that returns offers what was reaped without it",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      c!.kill();
      await stage.sleep(3_000);
      await forgetWithout(stage, c!, b!);
      await stage.start(c!);
      await stage.notices(c!);
      await stage.restart(c!);
      await stage.settled();
      await readNowhere(stage);
    },
  },
  {
    name: "a host that returns sets aside only those partitions of which something was forgotten without it, and offers the others",
    cluster: reaping,
    brokenBy: "a host that returns sets all aside for one partition",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      const { oracle } = stage.world;
      const partitionOf = (key: number): number => oracle.locate(`sim/key${key}`).partition;
      const keys = Array.from({ length: 100 }, (_, key) => key);
      const other = keys.find((key) => partitionOf(key) !== partitionOf(0) && stage.walk(key)[0] === c)!;
      await stage.put(a!, { quorum: "all" });
      const heal = stage.cutOff(c!);
      await stage.sleep(5_000);
      const alone = await stage.put(c!, { key: other, quorum: "one" });
      assert.ok(alone.ack);
      await forgetWithout(stage, c!, b!);
      heal();
      await stage.notices(c!);
      await stage.restart(c!);
      await stage.settled();
      await readNowhere(stage);
      await until(stage.world, 60_000, "its write is offered", async () => {
        const found = await Promise.all(
          stage
            .walk(other)
            .slice(0, 3)
            .map((owner) => stage.siblings(owner, other)),
        );
        return found.every((siblings) => siblings.length === 1);
      });
      const status = await c!.call((node) => node.status());
      assert.ok(status !== "died");
      assert.deepEqual(status.storage.setAside, [`${c!.name}.old`]);
    },
  },
  {
    name: "what was overwritten while a host was removed does not return with it, although its entry was cut from the clock meanwhile",
    cluster: { hosts: 5, config: { readRepairShare: 0, inFlightMsMax: 2_000, clockEntriesMax: 3 } },
    brokenBy: "a cut raises no mark",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all", withId: true });
      const heal = stage.cutOff(c!);
      await stage.sleep(5_000);
      await stage.change(b!, { kind: "remove", host: c!.id });
      await stage.sleep(5_000);
      await overwriteUntilCut(stage, b!);
      heal();
      await stage.notices(c!);
      await stage.restart(c!);
      await stage.settled();
      assert.deepEqual(await stage.siblings(a!), ["write 8"]);
    },
  },
  {
    name: "what was overwritten does not come back with an old copy of a disk, although its entry was cut from the clock since",
    cluster: { hosts: 3, config: { readRepairShare: 0, inFlightMsMax: 2_000, clockEntriesMax: 3 } },
    brokenBy: "a cut raises no mark",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all", withId: true });
      // Of this same run: what it will say of itself when it is back, it knows already.
      const copy = c!.disk.synced.copy();
      await overwriteUntilCut(stage, b!);
      stage.restoreCopy(c!, copy, { isNoticed: false });
      await stage.start(c!);
      await stage.settled();
      await stage.sleep(5_000);
      for (const host of stage.walk()) assert.deepEqual(await stage.siblings(host), ["write 8"], host.name);
    },
  },
  {
    name: "a removed host that never noticed gives nothing to a co-owner that has forgotten it (removed host that never noticed)",
    cluster: reaping,
    brokenBy: "who was removed is a member again when it states something",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const heal = stage.cutOff(c!);
      await stage.sleep(5_000);
      await forgetWithout(stage, c!, b!);
      // Its record has a higher incarnation from here on than the one that says that it was removed.
      await stage.restart(c!);
      heal();
      await stage.sleep(5_000);
      await readNowhereBut(stage, c!);
      await stage.notices(c!);
      await stage.restart(c!);
      await stage.settled();
      await readNowhere(stage);
    },
  },
  {
    name: "a host that slept while it was removed gives nothing to a co-owner that had asked it before (seed 407518)",
    cluster: { ...reaping, hosts: 3 },
    brokenBy: "what a peer answers is taken in although its membership has ended",
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const heal = stage.cutOff(c!);
      await stage.sleep(3_000);
      await stage.delete(a!);
      await stage.sleep(stage.world.graceMs);
      c!.process!.pause();
      heal();
      // A keeps the delete for C, which is not to reach it.
      stage.world.network.cutPairs([[a!.id, c!.id]], true);
      await stage.requested(b!, methods.compare, c!);
      await stage.change(a!, { kind: "remove", host: c!.id, force: true });
      await stage.reaped(2);
      c!.process!.resume();
      await stage.sleep(1_000);
      for (const host of [a!, b!]) assert.deepEqual(await stage.siblings(host), [], host.name);
    },
  },
  {
    name: "a host that joins beside a cut keeps what it copied, although one on the other side forgets what all had agreed on before (two sides of a cut of which one reaps)",
    cluster: { ...reaping, hosts: 3 },
    play: async (stage) => {
      const { world } = stage;
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      await stage.delete(a!, { quorum: "all" });
      const joiner = world.addHost();
      let heal = (): void => {};
      stage.beforeRequest(a!, methods.commitReap, () => (heal = stage.cutOff(a!)));
      await stage.reaped(1);
      world.arrivals.arrives(joiner, world.schedule.nowMs);
      await stage.start(joiner);
      await until(world, 60_000, "it copies the delete", async () => {
        const { node } = joiner;
        return (await node!.status()).keys > 0;
      });
      heal();
      await stage.settled();
      const status = await joiner.call((node) => node.status());
      assert.ok(status !== "died");
      assert.deepEqual(status.storage.setAside, []);
      await stage.reaped(4);
      for (const host of [a!, b!, c!, joiner]) assert.deepEqual(await stage.siblings(host), [], host.name);
    },
  },
  {
    name: "a host that was removed while cut off admits a joiner, which copies from it what the others forget meanwhile",
    cluster: { ...reaping, n: 2 },
    brokenBy: "a new member does not care what was reaped without it",
    play: async (stage) => {
      const { world } = stage;
      const [a, b, c] = world.hosts;
      const keys = Array.from({ length: 20 }, (_, key) => key);
      for (const key of keys) await stage.put(a!, { key, quorum: "all" });
      const joiner = world.addHost();
      world.arrivals.copied(joiner);
      const heal = stage.cutOff(c!, joiner);
      await stage.sleep(5_000);
      world.start(joiner);
      while (!joiner.ready) await stage.sleep(100);
      await stage.sleep(10_000);
      const copies = await Promise.all(keys.map((key) => stage.siblings(joiner, key)));
      const copied = keys.filter((key) => copies[key]!.length > 0);
      assert.ok(copied.length > 0, "it copied something");
      await stage.change(b!, { kind: "remove", host: c!.id });
      await stage.sleep(2_000);
      for (const key of copied) await stage.delete(a!, { key });
      await stage.reaped(2 * copied.length);
      heal();
      await stage.notices(c!);
      await stage.restart(c!);
      await stage.settled();
      for (const key of copied) for (const host of world.hosts) assert.deepEqual(await stage.siblings(host, key), []);
    },
  },
  {
    name: "a write that lived alone on a host that was removed while it was filling is offered when it returns",
    brokenBy: "a host that was removed while it filled offers nothing",
    cluster: { hosts: 5, config: { readRepairShare: 0, fillPageBytes: 1 } },
    play: async (stage) => {
      const [a, b] = stage.walk();
      for (let key = 1; key < 20; key++) await stage.put(a!, { key, quorum: "all" });
      await stage.wipe(a!);
      const heal = stage.cutOff(a!);
      await stage.sleep(5_000);
      const status = await a!.call((node) => node.status());
      assert.ok(status !== "died" && status.partitions.filling > 0);
      const write = await stage.put(a!, { quorum: "one" });
      await stage.change(b!, { kind: "remove", host: a!.id });
      heal();
      await stage.notices(a!);
      await stage.restart(a!);
      await stage.settled();
      assert.ok(write.ack);
      for (const host of stage.walk().slice(0, 3)) assert.equal((await stage.siblings(host)).length, 1, host.name);
    },
  },
  {
    name: "a hint with an older value that an owner keeps for another one is delivered before the delete is forgotten",
    brokenBy: "an owner forgets a key of which it keeps a hint",
    cluster: { ...reaping, hosts: 4, config: { ...reaping.config, hintAgeMaxMs: 86_400_000 } },
    play: async (stage) => {
      const [a, b, c, standIn] = stage.walk();
      // The stand-in keeps the value for C, and becomes an owner after B has gone.
      c!.kill();
      await stage.sleep(3_000);
      await stage.put(a!, { quorum: "all" });
      for (const [from, to] of [
        [standIn!, c!],
        [c!, standIn!],
      ] as const)
        stage.world.network.cut(from.id, to.id);
      await stage.start(c!);
      await stage.change(b!, { kind: "leave", host: b!.id });
      await stage.gone(b!);
      await stage.delete(a!);
      await stage.notReaped();
      stage.world.network.healAll();
      await stage.reaped(3);
      await stage.settled();
      await readNowhere(stage);
    },
  },
  {
    name: "a host that returns after it was removed says that it fills until it has what the others took in meanwhile",
    cluster: { hosts: 5, config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000, fillPageBytes: 1 } },
    play: async (stage) => {
      const { world } = stage;
      const [, b, c] = stage.walk();
      c!.kill();
      await stage.sleep(3_000);
      await stage.change(b!, { kind: "remove", host: c!.id });
      await stage.sleep(2_000);
      for (let key = 0; key < 10; key++) await stage.put(b!, { key, quorum: "all" });
      await stage.start(c!);
      await stage.notices(c!);
      c!.kill("is brought back by its operator");
      world.arrivals.arrives(c!, world.schedule.nowMs);
      await stage.start(c!);
      await stage.settled();
    },
  },
  {
    name: "owners that fill are not enough for a read to say that a key is absent",
    brokenBy: "a filling host is counted in R",
    cluster: { hosts: 3, delayMs: [50, 60], config: { readRepairShare: 0, fillPageBytes: 1 } },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      for (const host of [b!, c!]) await stage.wipe(host);
      const heal = stage.cutOff(a!);
      const status = await b!.call((node) => node.status());
      assert.ok(status !== "died" && status.partitions.filling === status.partitions.owned);
      await stage.sleep(5_000);
      await stage.get(b!, { quorum: 2 });
      heal();
    },
  },
  {
    name: "a host that was removed before it was told the secrets ends its start, says what it is, and comes back as a new member (seed 699)",
    brokenBy: "a joiner waits for the secrets although it was removed",
    cluster: { delayMs: [20, 40] },
    play: async (stage) => {
      const { world } = stage;
      const [a] = stage.walk();
      await stage.put(a!, { quorum: "all" });
      const joiner = world.addHost();
      world.arrivals.arrives(joiner, world.schedule.nowMs);
      world.start(joiner);
      const isKnown = ({ disk }: SimHost): boolean => membershipOn(disk.view)!.roster.members.has(joiner.id);
      while (!world.hosts.some((host) => host !== joiner && isKnown(host))) await stage.sleep(1);
      const heal = stage.cutOff(joiner);
      await stage.sleep(3_000);
      assert.deepEqual(membershipOn(joiner.disk.view)!.roster.secrets, []);
      await stage.change(world.hosts.find(isKnown)!, { kind: "remove", host: joiner.id });
      heal();
      await stage.notices(joiner);
      await stage.sleep(1_000);
      assert.ok(joiner.ready, "it has ended its start");
      await assert.rejects(
        joiner.call((node) => node.get("sim", "key0")),
        { code: "not-member" },
      );
      await stage.restart(joiner);
      await stage.settled();
    },
  },
];

/** Nobody has it but this one, which may not know yet. */
async function readNowhereBut(stage: Stage, removed: SimHost): Promise<void> {
  for (const host of stage.world.hosts.filter((each) => each !== removed)) {
    assert.deepEqual(await stage.siblings(host), [], host.name);
  }
}
