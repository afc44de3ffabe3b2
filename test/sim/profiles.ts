/**
 * Profiles: biases of the drawing. What goes wrong only where several rare things meet (a lease, a cut of just that length,
 * a restart in the middle) is drawn too seldom when each is drawn on its own. A profile draws them together, and little
 * else beside them. A quarter of the swarm's seeds have one; `leases-17` is seed 17 with that one,
 * and `plain-17` without any.
 */
import { byTime, configured, lasting, several, thinned, withFaults } from "./bend.ts";
import { nodeDefaults } from "../../core/config.ts";
import type { Chance } from "./chance.ts";
import { drawFault, drawLeaseFaults } from "./faults/draw.ts";
import { type ApplicationsPlan, applicationValues, type Scenario } from "./scenario.ts";
import { memberThemes } from "./member-themes.ts";
import { clockThemes, deleteThemes, laterDeleteThemes, laterMoveThemes, moveThemes, overwrites } from "./themes.ts";

export interface Profile {
  readonly hosts: readonly [number, number];
  /** Copies of a key, each with how often. */
  readonly n: readonly (readonly [number, number])[];
  /** Some hosts are browser hosts. */
  readonly hasBrowsers?: true;
  /** Clocks are cut within the run. */
  readonly cutsClocks?: true;
  /** Changes what was drawn as for any other seed. */
  readonly bend: (chance: Chance, scenario: Scenario) => Scenario;
}

export type ProfileName = keyof typeof profiles;

const profiles = {
  /** Browser hosts that are heard by some, by nobody, or too late; and hosts that sleep while others are away. */
  leases: {
    hosts: [4, 6],
    n: [
      [1, 3],
      [2, 1],
      [3, 4],
    ],
    hasBrowsers: true,
    bend: (chance, scenario) => {
      const later = lasting(scenario, chance.between(8, 12) * scenario.leaseMs);
      return withFaults(thinned(chance, later, 6), drawLeaseFaults(chance, later.safetyMs, later.leaseMs));
    },
  },
  /** Clocks that grow with each write, and are cut while somebody may still bring back what they cover. */
  clocks: {
    hosts: [4, 4],
    n: [
      [2, 1],
      [3, 5],
    ],
    cutsClocks: true,
    bend: (chance, scenario) => {
      const { bend, ...theme } = chance.pick(clockThemes);
      const lateMsMax = theme.lateMsMax ?? scenario.lateMsMax;
      const inFlightMsMax = 2 * (lateMsMax + scenario.config.requestTimeoutMs! + 4 * scenario.config.replicaTimeoutMs!);
      const config = { clockEntriesMax: chance.whole(1, 3), inFlightMsMax, graceMs: 3 * inFlightMsMax };
      const later = lasting(configured(scenario, { ...config, ...theme.config }), 150_000);
      const calm = { ...thinned(chance, later, 2), lateMsMax, skewMs: theme.skewMs ?? scenario.skewMs };
      const operations = overwrites(chance, calm, { keys: 2, count: 110 });
      return withFaults({ ...calm, operations: byTime([...calm.operations, ...operations]) }, bend(chance, calm));
    },
  },
  /** Deleted keys that are forgotten while somebody is away who has them still, or is no member any more. */
  deletes: {
    hosts: [4, 5],
    n: [
      [1, 1],
      [2, 1],
      [3, 5],
    ],
    bend: (chance, scenario) => {
      const timing = { replicaTimeoutMs: 100, requestTimeoutMs: 200 };
      const inFlightMsMax = 2 * (100 + 200 + 10 * 100);
      const config = { ...timing, inFlightMsMax, graceMs: 3 * inFlightMsMax, reapIntervalMs: 1_000, fillPageBytes: 1 };
      const quick = { ...configured(scenario, config), delayMs: [0.2, 5] as const, lateMsMax: 100 };
      const later = { ...thinned(chance, lasting(quick, 90_000), 2), racesReaps: chance.is(0.3) };
      const { faults, operations } = themeOf(chance, deleteThemes, laterDeleteThemes)(chance, later);
      return withFaults({ ...later, operations: byTime([...later.operations, ...operations]) }, faults);
    },
  },
  /** Partitions that change hands, or are filled, with nothing else that would heal them soon. */
  moves: {
    hosts: [4, 6],
    n: [
      [2, 1],
      [3, 5],
    ],
    bend: (chance, scenario) => {
      const config = { readRepairShare: 0, fillPageBytes: chance.pick([1, 500]), antiEntropyIntervalMs: 10_000 };
      const later = thinned(chance, lasting(configured(scenario, config), 40_000), 4);
      return themeOf(chance, moveThemes, laterMoveThemes)(chance, later);
    },
  },
  /** Members that are removed, moved from, copied, or met by another ring, while something of theirs is under way. */
  members: {
    hosts: [4, 5],
    n: [
      [2, 1],
      [3, 3],
    ],
    bend: (chance, scenario) => {
      const timing = { replicaTimeoutMs: 100, requestTimeoutMs: 200, readRepairShare: 0 };
      const inFlightMsMax = 2 * (100 + 200 + 10 * 100);
      const config = { ...timing, inFlightMsMax, graceMs: 3 * inFlightMsMax, reapIntervalMs: chance.pick([50, 300]) };
      const calm = { delayMs: [0.2, 5] as const, lateMsMax: 100, racesReaps: false, faults: [] };
      const quick = { ...configured(scenario, config), ...calm };
      return chance.pick(memberThemes)(chance, lasting(quick, 60_000));
    },
  },
  /**
   * Edges beside the clients: offline for longer than hosts remember (in half of the runs, see `edges/devices.ts`), frozen, robbed
   * of storage, in two tabs; or with sessions.
   */
  edges: {
    hosts: [3, 5],
    n: [
      [2, 1],
      [3, 5],
    ],
    bend: (chance, scenario) => {
      const timing = { replicaTimeoutMs: 100, requestTimeoutMs: 200 };
      const inFlightMsMax = 2 * (100 + 200 + 10 * 100);
      // Where hosts forget within the run, no old copy of an edge's storage may come back: what it believes unsent would, too.
      const { graceMs, inFlightMsMax: usualMs } = nodeDefaults;
      const forgets = chance.is(0.5);
      const periods = forgets ? { inFlightMsMax, graceMs: 3 * inFlightMsMax } : { inFlightMsMax: usualMs, graceMs };
      const config = { ...timing, ...periods, reapIntervalMs: 1_000, fillPageBytes: chance.pick([1, 500]) };
      const quick = { ...configured(scenario, config), delayMs: [0.2, 5] as const, lateMsMax: 100, edges: 3 };
      const calmer = { ...thinned(chance, lasting(quick, 40_000), 6), racesReaps: false };
      // An lww write of an edge may lose to a later one where it arrives: the oracle would not hear of what it had seen.
      const edged = { ...calmer, operations: calmer.operations.map((each) => ({ ...each, lww: false })) };
      return isLaterFifth(scenario) ? withSessions(edged) : edged;
    },
  },
  /** Applications that use the Store, with faults that take no data away: what was acknowledged is judged to the last increment. */
  values: {
    hosts: [4, 6],
    n: [
      [3, 5],
      [5, 1],
    ],
    bend: (chance, scenario) => {
      const { graceMs: _graceMs, ...config } = scenario.config;
      const plain = { ...lasting(scenario, 60_000), config: { ...config, durability: "synced" as const } };
      const faults = several(chance.whole(6, 25), () => drawFault(chance, chance.pick(harmless), plain.safetyMs));
      const operations = plain.operations.filter((_operation, i) => i % 4 === 0);
      return withFaults(
        { ...plain, operations, endsInDeletes: false, racesReaps: false, applications, faults: [] },
        faults,
      );
    },
  },
  /** Documents that hosts and edges write updates of, and fold, under fewer faults. */
  documents: {
    hosts: [3, 7],
    n: [
      [2, 1],
      [3, 5],
    ],
    bend: (chance, scenario) => {
      const calmer = thinned(chance, scenario, 15);
      const operations = scenario.operations.filter((_operation, i) => i % 4 === 0);
      return {
        ...calmer,
        operations: operations.map((each) => ({ ...each, lww: false })),
        edges: 3,
        writesDocuments: true,
        ...(isLaterFifth(scenario) ? { foldsUnsent: true } : {}),
      };
    },
  },
} satisfies Record<string, Profile>;

/** Seeds for what came later: the others stay what they were when they were given names. */
function isLaterFifth({ seed }: Scenario): boolean {
  const number = Number(/\d+$/.exec(seed)![0]);
  return number > 8 && number % 5 === 4;
}

/** Instead of the usual edges; hosts agree about the time. */
function withSessions(scenario: Scenario): Scenario {
  const { graceMs, inFlightMsMax } = nodeDefaults;
  const faults = scenario.faults.filter(({ kind }) => kind !== "clock-jump");
  const calm = { ...scenario, skewMs: 100, edges: 0, sessions: 3, faults };
  return configured(lasting(calm, 60_000), { graceMs, inFlightMsMax });
}

/**
 * Each as often as the next. The later ones are drawn from a stream of their own: seeds without one of them stay what they
 * were when they were given names.
 */
function themeOf<T>(chance: Chance, themes: readonly T[], later: readonly T[]): T {
  const own = chance.fork("later themes");
  return own.is(later.length / (themes.length + later.length)) ? own.pick(later) : chance.pick(themes);
}

/** Disks keep what they have acknowledged. */
const harmless = [
  "cut",
  "cut-one-way",
  "isolate",
  "halves",
  "bridge",
  "flap",
  "reset",
  "loss",
  "duplicates",
  "slow-net",
  "late",
  "kill",
  "kill-at-step",
  "kill-at-batch",
  "kill-at-request",
  "power-cut",
  "pause",
  "stutter",
  "clock-jump",
  "join",
  "leave",
] as const;

const applications: ApplicationsPlan = {
  edges: 3,
  changes: 250,
  keys: 2,
  kinds: applicationValues,
  pauseMs: 1_500,
  mishaps: 0.15,
};

/** Of the seeds with one; leases have faults of their own, which should come often enough. */
const turns: readonly ProfileName[] = [
  "leases",
  "clocks",
  "deletes",
  "edges",
  "leases",
  "moves",
  "values",
  "members",
  "documents",
];

export const profileNames = Object.keys(profiles) as ProfileName[];

export function seedOf(number: number, profile: ProfileName | undefined): string {
  return profile === undefined ? String(number) : `${profile}-${number}`;
}

/** Of a seed that is drawn without the profile that its number has. */
export const plainPrefix = "plain-";

/** As `seedOf` writes it with a profile, or of one that is drawn without. */
export function isNamedSeed(text: string): boolean {
  const [, prefix] = /^([a-z]+-)(?:0|[1-9]\d*)$/.exec(text) ?? [];
  return prefix === plainPrefix || profileNames.some((name) => prefix === `${name}-`);
}

/** The profile that a seed names, or that its number has; undefined: none. */
export function profileOf(seed: string): Profile | undefined {
  if (seed.startsWith(plainPrefix)) return undefined;
  const name = /^([a-z]+)-/.exec(seed)?.[1] ?? nameByNumber(Number(seed));
  return name === undefined ? undefined : profiles[name as ProfileName];
}

function nameByNumber(seed: number): ProfileName | undefined {
  return seed % 8 < 2 ? turns[Math.floor(seed / 8) % turns.length] : undefined;
}
