/**
 * After the faults: all must converge within a bound, answer on either side of a cut, come to rest, and keep what they
 * promised (I1, I4, I5, I8-I12).
 */
import { nodeDefaults } from "../../core/config.ts";
import { sum } from "../../core/placement/shares.ts";
import { type Clients, keyOf } from "./clients.ts";
import { fail, membersOf, pollMs, settle, until } from "./cluster.ts";
import { healAll } from "./faults/faults.ts";
import { ask, putInOrder } from "./faults/membership.ts";
import { tombstoneLeft } from "./forgetting.ts";
import type { SimHost } from "./host.ts";
import { checkLapses, checkNothingLost, checkPlaces, checkSpread, differenceOfOwners, ownersState } from "./owners.ts";
import { endRaces } from "./reap-races.ts";
import { comeToRest } from "./rest.ts";
import { membershipOn } from "./rows.ts";
import { plainOperation } from "./scenario.ts";
import type { World } from "./world.ts";

/** All converges in this time after healing. */
const healMsMax = 180_000;
/** Requests and their repeats are over by then, whatever happens. */
const requestsMsMax = 60_000;
/** Until both sides of a cut have found out. */
const noticeMsMax = 60_000;
/** A request may meet a spike of delay, or a host that has just found out that a peer is gone. */
const triesMax = 20;
/**
 * A client that knows only what it has read from the healed cluster. A ring that lost its only disk before it met the
 * other one took its secret along, and the contexts that it gave out open nowhere (seed 94228).
 */
const resolverClient = 92;
/** Of those that are read and written on both sides of a cut. */
const keysApartMax = 2;

/** `others`: what else takes part heals, and is done with, before the last judgement. */
export async function healAndJudge(
  world: World,
  clients: Clients,
  others: () => Promise<void> = async () => {},
): Promise<void> {
  const healedMs = world.schedule.nowMs;
  healAll(world);
  await until(world, requestsMsMax, "requests end", () => clients.running === 0);
  await until(world, healMsMax, "everybody is a member, or gone", () => putInOrder(world));
  await converge(world, clients);
  world.healMs = world.schedule.nowMs - healedMs;
  await others();
  await converge(world, clients);
  await answerApart(world, clients);
  await forgetDeleted(world, clients);
  await evenOut(world, clients);
  await comeToRest(world);
  checkNothingLost(world);
  checkPlaces(world);
  checkSpread(world);
  checkLapses(world);
  await resolveAll(world, clients);
  await readAll(world, clients);
}

/** Rings agree, everything is filled, hints are delivered, owners are equal; and again after the last late message. */
async function converge(world: World, clients: Clients): Promise<void> {
  await settle(world, healMsMax, "partitions are filled after healing");
  await settle(world, healMsMax, "hints drain", true);
  for (const key of world.oracle.keys) {
    await Promise.all(world.hosts.map((host) => clients.readLocal(host, nameOf(key))));
  }
  await becomeEqual(world);
  const lateMs = world.network.lastArrivalMs - world.schedule.nowMs;
  if (lateMs <= 0) return;
  await world.sleep(lateMs);
  await settle(world, healMsMax, "hints drain after the last late message", true);
  await becomeEqual(world);
}

/**
 * After a rebalance each host has its share of the tokens, give or take one, and another one has nothing to do (I8). Where hosts
 * are not alike, that share is by capacity.
 */
async function evenOut(world: World, clients: Clients): Promise<void> {
  if (!world.scenario.evensOut) return;
  const operator = world.hosts[0]!;
  // Where some are browsers, an owner set has another host, so that not all can have their share.
  const { browsers, sites } = world.scenario;
  const canAll = browsers.length === 0 && sites === undefined;
  const tokens = (): number[] => world.hosts.map(({ id }) => world.oracle.ring()!.tokensOf(id).length);
  // Hosts differ about the ring while one takes its share (seed 19002741).
  const allHaveOne = (): boolean => world.oracle.ring() !== undefined && tokens().every((count) => count > 0);
  // Who has just come back looks again in a moment whether it has met all (seed deletes-53032).
  if (canAll) await until(world, healMsMax, "each host takes a share", allHaveOne);
  const joins = (): number =>
    membershipOn(operator.disk.view)!.roster.changes.filter(({ verb }) => verb === "join").length;
  // A host that takes the rest of its share beside it plans on the ring from before: the next one mends that (PROTOCOL 2).
  for (let before = -1; before < joins();) {
    before = joins();
    await tryAgain(world, "rebalance", () => ask(world, operator, { kind: "rebalance" }));
    await converge(world, clients);
  }
  world.oracle.checks += 1;
  if (canAll && Math.max(...tokens()) - Math.min(...tokens()) > 1)
    fail(world, "a rebalanced ring is even", tokens().join(", "));
  if (browsers.length === 0) checkCapacities(world, tokens());
  const plan = await operator.call((node) => node.plan({ kind: "rebalance" }));
  if (plan !== "died" && plan.tokens + plan.withheld > 0) {
    fail(world, "a rebalanced ring stays as it is", `${plan.tokens} tokens, ${plan.withheld} withheld`);
  }
}

/** Where zones and machines have no say: by capacity, but a host is an owner once, so none has more than a share of 1 in N. */
function checkCapacities({ hosts, scenario, oracle }: World, tokens: readonly number[]): void {
  const { n, partitions } = scenario;
  // With fewer, the token that each has at least weighs too much.
  if (hosts.some(({ site }) => site.zone !== "") || partitions < 2 * hosts.length) return;
  const most = hosts.length <= n ? partitions : partitions / n;
  const wanted = new Map<SimHost, number>();
  for (let left = hosts.toSorted((a, b) => b.site.capacity - a.site.capacity); left.length > 0; left = left.slice(1)) {
    const [largest] = left;
    const tokensLeft = partitions - sum([...wanted.values()]);
    const share = largest!.site.capacity / sum(left.map(({ site }) => site.capacity));
    wanted.set(largest!, Math.min(most, tokensLeft * share));
  }
  for (const [i, host] of hosts.entries()) {
    oracle.checks += 1;
    if (Math.abs(tokens[i]! - wanted.get(host)!) <= 1.5) continue;
    const told = hosts.map(({ name, site }, j) => `${name} of ${site.capacity} has ${tokens[j]}`);
    oracle.broken("a rebalanced ring goes by capacity", told.join(", "));
  }
}

/** Without anybody reading (I4). */
async function becomeEqual(world: World): Promise<void> {
  const deadlineMs = world.schedule.nowMs + healMsMax;
  let difference = differenceOfOwners(world);
  while (difference !== undefined) {
    if (world.schedule.nowMs > deadlineMs) fail(world, "owners become equal", difference);
    await world.sleep(pollMs);
    difference = differenceOfOwners(world);
  }
}

/** Each side of a cut takes writes as long as W of its hosts run, and answers reads (I11). */
async function answerApart(world: World, clients: Clients): Promise<void> {
  const { hosts, scenario, network, schedule } = world;
  const sides = [true, false].map((side) => hosts.filter((_, i) => scenario.apart.includes(i) === side));
  if (sides.some((side) => side.length === 0)) return;
  const [left, right] = sides as [SimHost[], SimHost[]];
  const ring = world.oracle.ring()!;
  schedule.log(`apart: ${left.map(({ name }) => name).join()} and ${right.map(({ name }) => name).join()}`);
  const heal = network.cutPairs(
    left.flatMap((a) => right.map((b) => [a.id, b.id] as const)),
    true,
  );
  for (const side of sides) {
    for (const host of side) {
      await until(world, noticeMsMax, `${host.name} notices who is away`, async () => {
        const status = await host.call((node) => node.status());
        return status !== "died" && membersOf(status).filter(({ alive }) => alive).length === side.length;
      });
    }
  }
  const majority = Math.floor(Math.min(scenario.n, hosts.length) / 2) + 1;
  for (const side of sides) {
    // Some hold no tokens, after joining at once with others: no write is theirs. And none is of browsers alone.
    const quorum = Math.min(majority, side.filter(({ id }) => ring.tokensOf(id).length > 0).length);
    if (quorum === 0 || !ring.anchors(side.map(({ id }) => id))) continue;
    for (const host of side) {
      for (const key of keysOf(world).slice(0, keysApartMax)) {
        const operation = { ...plainOperation, key, quorum };
        await tryAgain(world, `${host.name} put key${key} w=${quorum}`, async () => {
          const write = await clients.put(host, operation);
          return write.ack !== undefined;
        });
        await tryAgain(world, `${host.name} get key${key} r=${quorum}`, () =>
          clients.get(host, nameOf(`sim/key${key}`), quorum, operation.client),
        );
      }
    }
  }
  heal();
  await converge(world, clients);
}

/** Where the grace period is short, all that is deleted is forgotten in the end (I12). */
async function forgetDeleted(world: World, clients: Clients): Promise<void> {
  const { scenario, graceMs, schedule, hosts } = world;
  if (graceMs >= nodeDefaults.graceMs) return;
  if (scenario.endsInDeletes) await writeAll(world, clients, "delete");
  // What a reap that was interrupted brings back waits for a whole period again.
  const deadlineMs = schedule.nowMs + 4 * graceMs + healMsMax;
  let left = tombstoneLeft(world);
  while (left !== undefined) {
    if (schedule.nowMs > deadlineMs) {
      const states = await Promise.all(hosts.map((host) => host.call((node) => node.status())));
      const why = states.map((status) =>
        status === "died" ? "died" : `${status.id}: ${status.tombstones.why.join()}`,
      );
      fail(world, "what is deleted is forgotten in the end", `${left} (${why.join("; ")})`);
    }
    await world.sleep(pollMs);
    left = tombstoneLeft(world);
  }
  if (scenario.endsInDeletes) await writeAll(world, clients, "put");
  await converge(world, clients);
}

async function writeAll(world: World, clients: Clients, verb: "put" | "delete"): Promise<void> {
  for (const key of keysOf(world)) {
    const host = world.chance.pick(world.hosts);
    const operation = { ...plainOperation, client: 91, key };
    await clients.run(host, operation);
    await clients.run(host, { ...operation, verb, context: "latest" });
  }
}

/** Who has read a key and writes it leaves one value, everywhere (I5). */
async function resolveAll(world: World, clients: Clients): Promise<void> {
  const { oracle } = world;
  // A write that races one of these would be its sibling (seed 6000762).
  endRaces(world);
  await until(world, requestsMsMax, "races of reaps end", () => clients.running === 0);
  const resolved = new Map<string, number>();
  for (const key of keysOf(world)) {
    const host = world.chance.pick(world.hosts);
    await tryAgain(world, `${host.name} reads and writes key${key} w=all`, async () => {
      const isRead = await clients.get(host, `key${key}`, "all", resolverClient);
      if (!isRead) return false;
      const operation = { ...plainOperation, client: resolverClient, key, quorum: "all" } as const;
      const write = await clients.put(host, { ...operation, context: "latest" });
      resolved.set(keyOf(`key${key}`), write.id);
      return write.ack !== undefined;
    });
  }
  await settle(world, healMsMax, "hints drain after the last writes", true);
  await becomeEqual(world);
  for (const [key, id] of resolved) {
    oracle.checks += 1;
    const values = ownersState(world, key)?.values ?? [];
    const found = values.map(({ contentType }) => contentType).join();
    if (!oracle.history(key).truncated && found !== `sim/${id}`) {
      fail(world, "one resolving write leaves one value", `${key}: ${found} instead of sim/${id}`);
    }
  }
}

/** Every host answers every key. */
async function readAll(world: World, clients: Clients): Promise<void> {
  for (const key of keysOf(world)) {
    for (const host of world.hosts) {
      await tryAgain(world, `${host.name} get key${key} r=all`, () => clients.get(host, `key${key}`, "all", 0));
    }
  }
}

async function tryAgain(world: World, what: string, attempt: () => Promise<boolean>): Promise<void> {
  for (let tries = 1; !(await attempt()); tries++) {
    if (tries === triesMax) fail(world, "a healed cluster answers", what);
    await world.sleep(pollMs);
  }
}

/** Those that have been written, by their numbers; but not those whose last whole copy may be gone. */
function keysOf(world: World): number[] {
  return [...world.oracle.keys]
    .filter((key) => !world.damagedKeys.has(key))
    .map((key) => Number(nameOf(key).slice("key".length)))
    .filter(Number.isInteger);
}

function nameOf(key: string): string {
  return key.slice(keyOf("").length);
}
