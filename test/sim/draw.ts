/** Draws what a seed stands for: each part from a stream of its own, so that one does not change what another one gets. */
import type { NodeConfig, QuorumSpec } from "../../core/config.ts";
import { lease } from "../../core/membership/roles.ts";
import { Chance } from "./chance.ts";
import { withFaults } from "./bend.ts";
import {
  drawBrowserFaults,
  drawFaults,
  drawGoodbye,
  drawMinutesLate,
  drawRareLeaseFaults,
  drawRingFaults,
} from "./faults/draw.ts";
import { plainPrefix, type Profile, profileOf } from "./profiles.ts";
import { type ContextChoice, type Operation, plainOperation, type Scenario, type Site, stretched } from "./scenario.ts";

/** Copies of a key, each with how often. */
const usualN = [
  [1, 1],
  [2, 2],
  [3, 12],
  [4, 1],
  [5, 2],
] as const;
/** Whoever joins counts too. */
const hostsEverMax = 30;

export function drawScenario(seed: string): Scenario {
  const profile = profileOf(seed);
  const name = seed.replace(plainPrefix, "");
  const chance = new Chance(`scenario ${name}`);
  const drawn = drawPlain(chance, name, profile);
  if (profile !== undefined) return profile.bend(chance.fork("profile"), drawn);
  return Number(seed) % 8 === 7 ? { ...drawn, sites: drawSites(chance.fork("sites")) } : drawn;
}

/**
 * An eighth of the seeds: all hosts were alike before there were these, and other seeds stay what they were when they were
 * given names. A machine stands in one zone; a host may also stand for itself.
 */
function drawSites(chance: Chance): Site[] {
  const zones = ["a", "b", "c", "d"].slice(0, chance.whole(0, 4));
  const machines = chance.pick([0, 1, 3]);
  const alone = chance.pick([0, 0, 0.3]);
  const capacities = chance.pick([[100], [100, 200], [50, 100, 200]]);
  return Array.from({ length: hostsEverMax }, () => {
    const zone = zones.length === 0 || chance.is(alone) ? "" : chance.pick(zones);
    const deviceGroup = zone === "" || machines === 0 ? "" : `${zone}${chance.whole(1, machines)}`;
    return { zone, deviceGroup, capacity: chance.pick(capacities) };
  });
}

function drawPlain(chance: Chance, seed: string, profile: Profile | undefined): Scenario {
  const hosts = chance.whole(...(profile?.hosts ?? ([3, 9] as const)));
  const n = Math.min(hosts, chance.weighted(profile?.n ?? usualN));
  const cuts = profile === undefined ? chance.fork("cuts clocks").is(0.2) : profile.cutsClocks === true;
  const safetyMs = cuts ? 120_000 : chance.pick([10_000, 20_000, 30_000]);
  const scenario = {
    seed,
    hosts,
    n,
    partitions: chance.pick([16, 16, 32]),
    config: { ...drawConfig(chance.fork("config")), ...(cuts ? drawShortClocks(chance.fork("clocks")) : {}) },
    ...drawNetwork(chance.fork("network")),
    endsInDeletes: false,
    racesReaps: false,
    lateMsMax: cuts ? 500 : 120_000,
    skewMs: chance.pick([0, 100, 10_000, 3_600_000]),
    browsers: [],
    leaseMs: lease.minMs,
    edges: 0,
    joinsAtOnce: chance.is(0.2),
    gossips: chance.fork("gossip").is(0.7),
    evensOut: chance.fork("evens out").is(0.5),
    apart: drawApart(chance.fork("apart"), hosts),
    safetyMs,
    operations: drawOperations(chance.fork("operations"), safetyMs),
    faults: [
      ...drawFaults(chance.fork("faults"), safetyMs).filter((_fault, i) => !cuts || i % 3 === 0),
      ...drawRingFaults(chance.fork("ring faults"), safetyMs),
    ].toSorted((a, b) => a.atMs - b.atMs),
  };
  const reaping = chance.fork("reaping");
  const isLong = reaping.is(0.1) || (profile === undefined && chance.fork("long grace").is(0.03));
  const reaped = isLong ? scenario : withShortGrace(reaping, scenario, cuts);
  const isSlow = profile === undefined && reaped.lateMsMax >= 60_000;
  const drawn = isSlow ? withFaults(reaped, drawMinutesLate(chance.fork("very late"), reaped.safetyMs)) : reaped;
  const browsers = chance.fork("browser hosts");
  // Nothing tells a host that comes back that a clock was cut without it: see `drawShortClocks`.
  const hasBrowsers = profile === undefined ? !cuts && !browsers.is(0.7) : profile.hasBrowsers === true;
  if (!hasBrowsers) return drawn;
  const mixed = withBrowsers(browsers, drawn);
  if (profile !== undefined) return mixed;
  return withFaults(mixed, [
    ...drawGoodbye(chance.fork("for good"), mixed.safetyMs, { isSure: Number(seed) % 8 === 7 }),
    ...drawRareLeaseFaults(chance.fork("rare for leases"), mixed.safetyMs, mixed.leaseMs),
  ]);
}

/** Some hosts are browser hosts, which are away for longer than their lease now and then; a few clusters have no others. */
function withBrowsers(chance: Chance, scenario: Scenario): Scenario {
  const leaseMs = chance.pick([lease.minMs, 15_000]);
  const share = chance.pick([0.3, 0.3, 0.6, 0.6, 1]);
  const browsers = Array.from({ length: hostsEverMax }, (_, i) => i).filter(() => chance.is(share));
  const late = stretched(scenario, Math.max(1, (4 * leaseMs) / scenario.safetyMs));
  const absences = drawBrowserFaults(chance.fork("absences"), late.safetyMs, leaseMs);
  const faults = [...late.faults, ...absences].toSorted((a, b) => a.atMs - b.atMs);
  return { ...late, browsers, leaseMs, faults };
}

/**
 * In most runs the grace period is short enough to end. A third of it outlasts, twice, whatever may be on its way: a
 * message at its slowest, after a request that asked one host after the other (PROTOCOL 9, end). Some keys are deleted
 * early, and some of those written again late; some runs take so long that a reap may come amid the faults.
 */
function withShortGrace(chance: Chance, scenario: Scenario, cuts: boolean): Scenario {
  const { hosts, delayMs, config, operations } = scenario;
  const common = { endsInDeletes: chance.is(0.7), racesReaps: chance.is(0.5) };
  const doomed = chance.fork("doomed");
  if (cuts) {
    const short = { ...config, graceMs: 3 * config.inFlightMsMax! };
    return {
      ...scenario,
      ...common,
      config: short,
      operations: [...operations, ...drawDoomed(doomed, scenario.safetyMs)],
    };
  }
  const lateMsMax = Math.max(delayMs[1], chance.pick([100, 1_000, 5_000]));
  const replicaTimeoutMs = Math.max(chance.pick([100, 400]), 5 * delayMs[1]);
  const requestTimeoutMs = 2 * replicaTimeoutMs;
  const inFlightMsMax = 2 * (lateMsMax + requestTimeoutMs + hosts * replicaTimeoutMs);
  const graceMs = 3 * inFlightMsMax;
  const late = stretched(scenario, chance.is(0.5) ? Math.max(1, (3 * graceMs) / scenario.safetyMs) : 1);
  return {
    ...late,
    ...common,
    config: { ...config, requestTimeoutMs, replicaTimeoutMs, inFlightMsMax, graceMs },
    lateMsMax,
    operations: [...late.operations, ...drawDoomed(doomed, late.safetyMs)],
  };
}

function drawDoomed(chance: Chance, safetyMs: number): Operation[] {
  return Array.from({ length: chance.whole(1, 6) }, (_, i) => {
    const common = { ...plainOperation, client: 90, key: 90 + i, host: chance.whole(0, 99) };
    const next = (verb: Operation["verb"], from: number, to: number, context: ContextChoice = "latest"): Operation => ({
      ...common,
      verb,
      atMs: safetyMs * chance.between(from, to),
      context,
      quorum: chance.pick(["one", "quorum"] as const),
    });
    const early = [next("put", 0, 0.1), next("get", 0.1, 0.15), next("delete", 0.15, 0.2)];
    if (chance.is(0.5)) return early;
    const anew = next("put", 0.5, 1, chance.pick(["none", "latest", "stale"] as const));
    return [...early, anew, ...(chance.is(0.5) ? [next("get", 0.5, 1), next("delete", 0.5, 1)] : [])];
  }).flat();
}

/**
 * Clocks that are cut with everyone's agreement within the run. That counts on what the core may count on: messages are
 * not late for ever, and what was agreed is not taken back by a disk (writes that were never synced).
 */
function drawShortClocks(chance: Chance): Partial<NodeConfig> {
  return {
    durability: "synced",
    requestTimeoutMs: 1_000,
    replicaTimeoutMs: 200,
    clockEntriesMax: chance.pick([2, 3, 5]),
    inFlightMsMax: 5_000,
  };
}

/** In half of the runs. */
function drawApart(chance: Chance, hosts: number): number[] {
  const indices = Array.from({ length: hosts }, (_, i) => i);
  return chance.is(0.5) ? [] : chance.shuffled(indices).slice(0, chance.whole(1, hosts - 1));
}

function drawConfig(chance: Chance): Partial<NodeConfig> {
  const timeoutMs = chance.pick([1_000, 2_000, 5_000]);
  return {
    durability: chance.is(0.25) ? "buffered" : "synced",
    requestTimeoutMs: timeoutMs,
    replicaTimeoutMs: Math.round(timeoutMs * chance.pick([0.2, 0.4])),
    readRepairShare: chance.pick([0, 0.1, 1]),
    inlineValueBytesMax: chance.pick([0, 64, 4_096]),
    cacheBytesMax: chance.pick([0, 2_000, 67_108_864]),
    clockEntriesMax: chance.is(0.9) ? 50 : chance.pick([0, 1, 3]),
    suspectAfterMs: chance.pick([300, 1_500]),
    fillPageBytes: chance.pick([1, 500, 1_048_576]),
    hintBytesMax: chance.pick([0, 300, 268_435_456]),
    hintAgeMaxMs: chance.pick([0, 5_000, 86_400_000]),
  };
}

function drawNetwork(chance: Chance): Pick<Scenario, "delayMs" | "silentMs" | "redialMsMax"> {
  return {
    delayMs: chance.pick([
      [0.1, 0.5],
      [0.2, 5],
      [5, 40],
      [20, 120],
    ] as const),
    silentMs: chance.pick([1_500, 5_000, 10_000]),
    redialMsMax: chance.pick([200, 1_000, 5_000]),
  };
}

function drawOperations(chance: Chance, safetyMs: number): Operation[] {
  const keys = chance.weighted([
    [1, 3],
    [2, 3],
    [5, 3],
    [20, 2],
  ]);
  const clients = chance.whole(1, 5);
  const count = chance.whole(30, 120);
  const lww = chance.is(0.15);
  const small = chance.is(0.7);
  const ids = chance.pick([0, 0.3, 1]);
  const ttl = chance.is(0.2) ? 0.3 : 0;
  const quorums = chance.pick<readonly QuorumSpec[]>([
    ["quorum"],
    ["quorum"],
    ["one"],
    ["one", "quorum", "all"],
    ["all"],
    ["quorum", 2],
  ]);
  const contexts = chance.pick<readonly (readonly [ContextChoice, number])[]>([
    [
      ["latest", 6],
      ["stale", 1],
      ["none", 2],
      ["forged", 0.3],
      ["other-key", 0.3],
      ["cut-short", 0.3],
    ],
    [
      ["latest", 1],
      ["stale", 3],
      ["none", 1],
    ],
    [["latest", 1]],
    [
      ["none", 3],
      ["latest", 2],
    ],
  ]);
  const verbs = chance.pick<readonly (readonly [Operation["verb"], number])[]>([
    [
      ["get", 3],
      ["local", 1],
      ["put", 4],
      ["delete", 1],
      ["update", 3],
    ],
    [
      ["get", 1],
      ["put", 2],
      ["delete", 2],
      ["update", 2],
    ],
    [
      ["get", 4],
      ["put", 4],
    ],
    [
      ["update", 4],
      ["delete", 1],
      ["local", 1],
    ],
  ]);
  // Bursts: several clients at one key in the same moment.
  const burst = chance.pick([0, 0.3, 0.8]);
  let atMs = 0;
  return Array.from({ length: count }, () => {
    atMs = chance.is(burst) ? Math.min(atMs + chance.between(0, 3), safetyMs) : chance.between(0, safetyMs);
    const withId = chance.is(ids);
    return {
      atMs,
      verb: chance.weighted(verbs),
      client: chance.whole(0, clients - 1),
      host: chance.whole(0, 99),
      key: chance.whole(0, keys - 1),
      context: chance.weighted(contexts),
      quorum: chance.pick(quorums),
      ...(chance.is(0.05) ? { pw: "one" as const } : {}),
      bytes: small ? chance.whole(8, 32) : chance.pick([8, 100, 5_000]),
      lww: lww && chance.is(0.5),
      ...(chance.is(ttl) ? { ttlMs: chance.pick([1, 1_000, 5_000, 3_600_000]) } : {}),
      withId,
      repeats: withId ? chance.whole(0, 4) : 0,
      ifAbsent: chance.is(0.05),
      returnSiblings: chance.is(0.3),
    };
  });
}
