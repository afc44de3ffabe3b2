/** Stories of rules that no seed is likely to need: each fails without one of them (PROTOCOL 6, 9, 10). */
import assert from "node:assert/strict";
import { hasBit } from "../../../core/bytes/bitmap.ts";
import type { NodeId } from "../../../core/identity.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { until } from "../cluster.ts";
import type { SimHost } from "../host.ts";
import { membershipOn, statesOn } from "../rows.ts";
import type { Write } from "../write.ts";
import type { Stage, Story } from "./stage.ts";

/** Wires are calm here, so that little time suffices for whatever is on its way. */
const reaping = { hosts: 5, config: { readRepairShare: 0, graceMs: 6_000 }, lateMsMax: 1 } as const;

export const ruleStories: readonly Story[] = [
  {
    name: "a former owner that slept, and takes itself for complete, makes no read say absent: a read needs one holder more for each above N",
    brokenBy: "a read asks no more holders where there are more than N",
    cluster: { hosts: 4, n: 2, config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000 } },
    play: async (stage) => {
      const { world } = stage;
      const [a, b] = stage.walk();
      await stage.change(b!, { kind: "leave", host: b!.id });
      const next = stage.host(ownersOn(stage, b!).find((id) => id !== a!.id)!);
      while (ownersOn(stage, a!).includes(b!.id)) await stage.sleep(1);
      b!.process!.pause();
      await until(world, 60_000, "its successor is complete", () => isComplete(stage, next));
      const write = await stage.put(a!, { quorum: "all" });
      assert.deepEqual(write.ack?.durable.toSorted(), [a!.id, next.id].toSorted());
      // Now the other owner leaves too, and its successor reaches nobody but the one that slept.
      const last = world.hosts.find((host) => ![a, b, next].includes(host))!;
      let heal = (): void => {};
      stage.beforeRequest(last, methods.scan, () => {
        heal = world.network.cutPairs(
          [a!, next].map((host) => [last.id, host.id] as const),
          true,
        );
      });
      await stage.change(a!, { kind: "leave", host: a!.id });
      await stage.sleep(5_000);
      b!.process!.resume();
      await stage.sleep(1_000);
      await assert.rejects(
        last.call((node) => node.get("sim", "key0", { r: 1 })),
        { code: "quorum-not-met" },
      );
      heal();
      await stage.gone(a!);
      await stage.gone(b!);
      await stage.settled();
      await stage.get(last, { quorum: "one" });
      assert.deepEqual(await stage.siblings(last), ["write 0"]);
    },
  },
  {
    name: "a reap is consented to only on the ring that it was planned on: who returned by then keeps what it alone has",
    brokenBy: "a member consents to a reap that was planned on another ring",
    cluster: reaping,
    play: async (stage) => {
      const { world } = stage;
      const { a, c, alone } = await removedWithWrite(stage);
      // The questions leave, and are long on their way.
      let heal = (): void => {};
      const asked = new Promise<void>((resolve) => {
        stage.beforeRequest(a, methods.prepareReap, () => {
          const { mood } = world.network;
          const { delayMs } = mood;
          mood.delayMs = [8_000, 8_000];
          world.schedule.after(0, "wires are fast again", () => {
            mood.delayMs = delayMs;
            heal = stage.cutOff(a);
            resolve();
          });
        });
      });
      await asked;
      const others = world.hosts.filter((host) => host !== a && host !== c);
      await returnsAndDies(stage, c, others);
      heal();
      await stage.sleep(10_000);
      await isKept(stage, c, alone);
    },
  },
  {
    name: "a reap is not carried out on another ring than it was consented to on: who returned since keeps what it alone has",
    brokenBy: "a reap is carried out whatever has become of the ring",
    cluster: reaping,
    play: async (stage) => {
      const { a, c, alone } = await removedWithWrite(stage);
      const others = stage.world.hosts.filter((host) => host !== c);
      const last = others.find((host) => !ownersOn(stage, a).includes(host.id))!;
      const asked = new Promise<void>((resolve) => {
        stage.beforeRequest(
          a,
          methods.prepareReap,
          () => {
            last.process!.pause();
            resolve();
          },
          last,
        );
      });
      await asked;
      await stage.sleep(100);
      await returnsAndDies(
        stage,
        c,
        others.filter((host) => host !== last),
      );
      last.process!.resume();
      await stage.sleep(5_000);
      await isKept(stage, c, alone);
    },
  },
  {
    name: "what reaches a former owner while it asks the others is not dropped with the rest: they are asked about that too",
    brokenBy: "a former owner drops what it was not asked about",
    cluster: {
      hosts: 4,
      n: 2,
      silentMs: 20_000,
      config: { readRepairShare: 0, antiEntropyIntervalMs: 2_000_000_000, replicaTimeoutMs: 20_000 },
    },
    play: async (stage) => {
      const { world } = stage;
      const { network, oracle } = world;
      const cut = (left: readonly SimHost[], right: readonly SimHost[]): (() => void) =>
        network.cutPairs(
          left.flatMap((one) => right.map((other) => [one.id, other.id] as const)),
          true,
        );
      // Of a partition of which a fifth host takes the first owner's place.
      const key = Array.from({ length: 200 }, (_, i) => i).find((i) => oracle.locate(`sim/key${i}`).partition === 4)!;
      const [former, other, ...rest] = stage.walk(key);
      // Neither owner is there: two others keep the write for them.
      cut([other!], rest);
      const apart = cut([other!], [former!]);
      const healRest = cut([former!], rest);
      await stage.sleep(5_000);
      const write = await stage.put(rest[0]!, { key, quorum: 2 });
      const [keeper, last] = [former!, other!].map(({ id }) =>
        rest.find(({ disk }) => statesOn(disk.view).some(({ hintFor }) => hintFor === id)),
      );
      assert.deepEqual(write.ack?.durable.toSorted(), [keeper!.id, last!.id].toSorted());
      // Meanwhile somebody takes the place of one of them.
      const joiner = world.addHost();
      world.arrivals.copied(joiner);
      const healJoiner = cut([joiner], rest);
      const joinerApart = cut([joiner], [former!]);
      const healOwners = (): void => [apart, joinerApart].forEach((heal) => heal());
      await stage.start(joiner);
      await until(world, 60_000, "the joiner is complete", () => isComplete(stage, joiner, key));
      assert.ok(!ownersOn(stage, joiner, key).includes(former!.id), "it takes its place");
      // The former owner is handed the write while it counts, hears then that it does not, and asks before its slow disk has the write.
      former!.disk.mood.slowness = 3_000;
      stage.beforeRequest(keeper!, methods.replicate, healOwners, former);
      stage.beforeRequest(former!, methods.handOff, () => other!.process!.pause(), other);
      healRest();
      const has = ({ disk }: SimHost): boolean => statesOn(disk.view).some((each) => each.key === `sim/key${key}`);
      await until(world, 30_000, "it is handed over", () => has(former!) && !has(keeper!));
      former!.disk.mood.slowness = 1;
      other!.process!.resume();
      await stage.sleep(5_000);
      await stage.wipe(last!, { awaitReady: false });
      healJoiner();
    },
  },
];

/**
 * An owner was cut off, took a write alone, and was removed; the others are about to forget another key of that partition,
 * led by `a`.
 */
async function removedWithWrite(stage: Stage) {
  const { oracle } = stage.world;
  const partitionOf = (each: number): number => oracle.locate(`sim/key${each}`).partition;
  const [a, b, c] = stage.walk();
  const key = Array.from({ length: 200 }, (_, i) => i + 1).find((each) => partitionOf(each) === partitionOf(0))!;
  await stage.put(a!, { quorum: "all" });
  const heal = stage.cutOff(c!);
  await stage.sleep(5_000);
  const alone = await stage.put(c!, { key, quorum: "one" });
  assert.deepEqual(alone.ack?.durable, [c!.id]);
  await stage.change(b!, { kind: "remove", host: c!.id });
  heal();
  await stage.notices(c!);
  c!.kill();
  await stage.delete(b!);
  return { a: a!, c: c!, alone: { key, write: alone } };
}

/** Until these have heard that it is a member again, and it dies; what it offers them meanwhile is lost on the way. */
async function returnsAndDies(stage: Stage, host: SimHost, told: readonly SimHost[]): Promise<void> {
  const { network, schedule } = stage.world;
  stage.world.start(host);
  host.transport!.onNextRequest = (to, body) => {
    if (body[0] === methods.exchange.number) return;
    network.cut(host.id, to);
    schedule.after(0, "is lost", () => network.heal(host.id, to));
  };
  const isBack = (at: SimHost): boolean => stage.member(host, at).status === "up";
  await until(stage.world, 2_000, "it is a member again", () => told.every(isBack));
  host.kill();
}

/** What the host alone had comes to all owners when it is back. */
async function isKept(
  stage: Stage,
  host: SimHost,
  { key, write }: { readonly key: number; readonly write: Write },
): Promise<void> {
  await stage.start(host);
  await stage.settled();
  await until(stage.world, 60_000, "its write is offered", async () => {
    if (stage.world.oracle.ring() === undefined) return false;
    const owners = stage.walk(key).slice(0, 3);
    const found = await Promise.all(owners.map((owner) => stage.siblings(owner, key)));
    return found.every((siblings) => siblings.join() === `write ${write.id}`);
  });
}

/** Of the key, as this host has the ring on its disk. */
function ownersOn(stage: Stage, at: SimHost, key = 0): readonly NodeId[] {
  return membershipOn(at.disk.view)!.ring.owners(stage.world.oracle.locate(`sim/key${key}`).partition);
}

/** It says that it holds the key's partition completely. */
function isComplete(stage: Stage, host: SimHost, key = 0): boolean {
  const said = membershipOn(host.disk.view)?.roster.holdings.get(host.id);
  return said !== undefined && hasBit(said.complete, stage.world.oracle.locate(`sim/key${key}`).partition);
}
