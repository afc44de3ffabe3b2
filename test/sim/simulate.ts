/**
 * One run: start, safety phase under faults, heal, liveness phase within a bound of simulated time, last judgement.
 */
import { nodeDefaults } from "../../core/config.ts";
import { Clients, keyOf } from "./clients.ts";
import { tombstoneLeft } from "./forgetting.ts";
import { backUp, healAll, inject } from "./faults.ts";
import { clientReadsHeal, hintsDrain } from "./not-yet.ts";
import type { SimHost } from "./host.ts";
import type { Violation } from "./oracle.ts";
import { raceReaps } from "./reap-races.ts";
import { membershipOn } from "./rows.ts";
import { plainOperation, type Scenario } from "./scenario.ts";
import { World } from "./world.ts";

export interface Report {
  readonly seed: string;
  readonly hash: string;
  readonly violation: Violation | undefined;
  readonly log: readonly string[];
  readonly simulatedMs: number;
  readonly events: number;
  readonly messages: number;
  readonly operations: number;
  readonly acknowledged: number;
  readonly reads: number;
  readonly checks: number;
  readonly healMs: number;
  /** Deleted keys that hosts have forgotten, and those of them while there were faults. */
  readonly reaped: { readonly keys: number; readonly underFaults: number };
  readonly faults: Readonly<Record<string, number>>;
}

/** The cluster stands in this time, and converges in this time after healing. */
const startMsMax = 120_000;
const healMsMax = 180_000;
/** Requests and their repeats are over by then, whatever happens. */
const requestsMsMax = 60_000;
const pollMs = 500;
/** A request may meet a spike of delay. */
const triesMax = 20;

/** What a run does: a swarm's two phases, or a story. */
export type Plot = (world: World, clients: Clients) => Promise<void>;

export async function simulate(
  scenario: Scenario,
  { echo = false, plot = safetyThenLiveness }: { readonly echo?: boolean; readonly plot?: Plot } = {},
): Promise<Report> {
  const world = new World(scenario, { echo });
  const clients = new Clients(world);
  let over = false;
  const driven = plot(world, clients)
    .catch((error: unknown) => {
      if (error !== stopped) world.oracle.broken("the simulator works", String((error as Error)?.stack ?? error));
    })
    .finally(() => {
      over = true;
    });
  await world.schedule.run(Infinity, () => over || world.oracle.violation !== undefined);
  if (over) await driven;
  return reportOf(world, clients);
}

function reportOf(world: World, clients: Clients): Report {
  const { scenario, schedule, oracle, network, healMs, reaped } = world;
  return {
    seed: scenario.seed,
    hash: schedule.hash,
    violation: oracle.violation,
    log: oracle.violation === undefined ? [] : schedule.tail,
    simulatedMs: schedule.nowMs,
    events: schedule.eventsRun,
    messages: network.messages,
    operations: clients.counts.issued,
    acknowledged: clients.counts.acknowledged,
    reads: clients.counts.read,
    checks: oracle.checks,
    healMs,
    reaped: { ...reaped },
    faults: Object.fromEntries(world.faults),
  };
}

async function safetyThenLiveness(world: World, clients: Clients): Promise<void> {
  await stand(world);
  if (world.scenario.racesReaps) raceReaps(world, clients);
  await safety(world, clients);
  await healAndJudge(world, clients);
}

/** Everything heals; then all must converge, and the last judgement is spoken. */
export async function healAndJudge(world: World, clients: Clients): Promise<void> {
  const healedMs = world.schedule.nowMs;
  healAll(world);
  await converge(world, clients);
  world.healMs = world.schedule.nowMs - healedMs;
  await forgotten(world, clients);
  await judge(world, clients);
}

/** Thrown to leave the drive once a rule is broken. */
const stopped = new Error("a rule is broken");

/** All hosts run, agree on the ring and hold their partitions. */
export async function stand(world: World): Promise<void> {
  const [founder, ...others] = world.hosts;
  world.start(founder!, true);
  await until(world, startMsMax, "the first host stands", () => founder!.ready);
  for (const host of others) {
    world.start(host);
    // Hosts that join in the same moment take the same tokens, and some end without any.
    if (!world.scenario.joinsAtOnce) await until(world, startMsMax, `${host.name} has its share`, () => hasShare(host));
  }
  await until(world, startMsMax, "the cluster stands", () => world.hosts.every((host) => host.ready));
  await settle(world, startMsMax, "partitions are filled at first");
}

function hasShare({ id, disk }: SimHost): boolean {
  return membershipOn(disk.view)?.ring.host(id) !== undefined;
}

async function safety(world: World, clients: Clients): Promise<void> {
  const { scenario, schedule } = world;
  for (const fault of scenario.faults) {
    schedule.after(fault.atMs, `fault ${fault.kind}`, () => inject(world, fault));
    if (fault.kind === "restore-old") schedule.after(fault.atMs * fault.amount, "backup", () => backUp(world, fault));
  }
  for (const operation of scenario.operations) {
    schedule.after(operation.atMs, "client", () => clients.start(operation));
  }
  await world.sleep(scenario.safetyMs);
}

/** Rings agree, everything is filled, owners are equal; and again when the last late message has arrived. */
async function converge(world: World, clients: Clients): Promise<void> {
  await until(world, requestsMsMax, "requests end", () => clients.running === 0);
  await settle(world, healMsMax, "partitions are filled after healing");
  await settle(world, healMsMax, "hints drain", hintsDrain);
  for (const key of world.oracle.keys) {
    await Promise.all(world.hosts.map((host) => clients.readLocal(host, nameOf(key))));
  }
  await equal(world, clients);
  const lateMs = world.network.lastArrivalMs - world.schedule.nowMs;
  if (lateMs <= 0) return;
  await world.sleep(lateMs);
  await settle(world, healMsMax, "hints drain after the last late message", hintsDrain);
  await equal(world, clients);
}

/** Where the grace period is short, all that is deleted is forgotten in the end; and owners are equal again. */
async function forgotten(world: World, clients: Clients): Promise<void> {
  if (world.graceMs >= nodeDefaults.graceMs) return;
  if (world.scenario.endsInDeletes) await onAllKeys(world, clients, "delete");
  // What a reap interrupted brings back waits for a whole period again.
  const deadlineMs = world.schedule.nowMs + 4 * world.graceMs + healMsMax;
  let left = tombstoneLeft(world);
  while (left !== undefined) {
    if (world.schedule.nowMs > deadlineMs) {
      const states = await Promise.all(world.hosts.map((host) => host.call((node) => node.status())));
      const why = states.flatMap((status, i) =>
        status === "died" ? [] : status.tombstones.why.map((text) => `${world.hosts[i]!.name}: ${text}`),
      );
      fail(world, "what is deleted is forgotten in the end", `${left} (${why.join("; ")})`);
    }
    await world.sleep(pollMs);
    left = tombstoneLeft(world);
  }
  if (world.scenario.endsInDeletes) await onAllKeys(world, clients, "put");
  await equal(world, clients);
}

async function onAllKeys(world: World, clients: Clients, verb: "put" | "delete"): Promise<void> {
  for (const key of world.oracle.keys) {
    const host = world.hosts[Math.floor(world.chance.next() * world.hosts.length)]!;
    const operation = { ...plainOperation, client: 91, key: Number(nameOf(key).slice("key".length)) };
    await clients.run(host, operation);
    await clients.run(host, { ...operation, verb, context: "latest" });
  }
}

async function equal(world: World, clients: Clients): Promise<void> {
  const deadlineMs = world.schedule.nowMs + healMsMax;
  let difference = world.oracle.difference();
  while (difference !== undefined) {
    if (world.schedule.nowMs > deadlineMs) fail(world, "owners become equal", difference);
    if (clientReadsHeal) {
      for (const key of world.oracle.keys) {
        const host = world.hosts[Math.floor(world.chance.next() * world.hosts.length)]!;
        await clients.get(host, nameOf(key), "all", 0);
      }
    }
    await world.sleep(pollMs);
    difference = world.oracle.difference();
  }
}

/** Every host answers every key, with the same values, and every key can be written. */
async function judge(world: World, clients: Clients): Promise<void> {
  world.oracle.checkEnd();
  for (const key of world.oracle.keys) {
    if (world.damagedKeys.has(key)) continue;
    for (const host of world.hosts) {
      let tries = 1;
      while (!(await clients.get(host, nameOf(key), "all", 0))) {
        if (tries++ === triesMax) fail(world, "a healed cluster answers", `${host.name} get ${key} r=all`);
        await world.sleep(pollMs);
      }
    }
  }
}

/** Rings agree, everything is filled, everybody reaches everybody; with `drained`, and nothing is owed to anybody. */
export async function settle(world: World, boundMs: number, what: string, drained = false): Promise<void> {
  const deadlineMs = world.schedule.nowMs + boundMs;
  for (;;) {
    const states = await Promise.all(world.hosts.map((host) => host.call((node) => node.status())));
    const first = states[0]!;
    const isSettled = states.every(
      (status) =>
        status !== "died" &&
        first !== "died" &&
        status.partitions.filling === 0 &&
        (!drained || status.hints === 0) &&
        status.ring === first.ring &&
        status.members.length === world.hosts.length &&
        status.members.every(({ alive }) => alive),
    );
    if (isSettled) return;
    if (world.schedule.nowMs > deadlineMs) {
      const told = states.map((status, i) => {
        const { name } = world.hosts[i]!;
        if (status === "died") return `${name} is down`;
        const { ring, partitions, members, hints } = status;
        return `${name} ring ${ring.slice(0, 6)}, filling ${partitions.filling} of ${partitions.owned}, ${members.filter(({ alive }) => alive).length} alive of ${members.length}, ${hints} hints`;
      });
      fail(world, what, told.join("; "));
    }
    await world.sleep(pollMs);
  }
}

async function until(world: World, boundMs: number, what: string, holds: () => boolean): Promise<void> {
  const deadlineMs = world.schedule.nowMs + boundMs;
  while (!holds()) {
    if (world.schedule.nowMs > deadlineMs) fail(world, what, `not within ${boundMs / 1000} s`);
    await world.sleep(100);
  }
}

function fail(world: World, rule: string, text: string): never {
  world.oracle.broken(rule, text);
  throw stopped;
}

function nameOf(key: string): string {
  return key.slice(keyOf("").length);
}
