/** What a profile draws together: of each profile with themes, a run has one. */
import type { NodeConfig } from "../../core/config.ts";
import { byTime, configured, fault, operation, several, withFaults } from "./bend.ts";
import type { Chance } from "./chance.ts";
import type { Fault } from "./faults/draw.ts";
import type { Operation, Scenario } from "./scenario.ts";

/** What the faults of one theme have in common. */
interface ClockTheme {
  readonly lateMsMax?: number;
  readonly skewMs?: number;
  readonly config?: Partial<NodeConfig>;
  readonly bend: (chance: Chance, scenario: Scenario) => Fault[];
}

export const clockThemes: readonly ClockTheme[] = [
  /** Messages that are as late as they may be, and doubled. */
  {
    lateMsMax: 10_000,
    bend: (chance, scenario) => [
      ...several(3, () => fault(chance, scenario, "late", { forMs: chance.between(20_000, 60_000) })),
      ...several(3, () => fault(chance, scenario, "duplicates", { forMs: chance.between(20_000, 60_000) })),
    ],
  },
  /** Owners that are cut off, of whom no hint tells; and clocks that go wrong. */
  {
    skewMs: 3_600_000,
    config: { hintBytesMax: 0 },
    bend: (chance, scenario) =>
      several(4, () => fault(chance, scenario, "isolate", { forMs: chance.between(5_000, 30_000) })),
  },
  /** Hints for one who was away, and who keeps them does not reach it. */
  {
    config: { hintBytesMax: 268_435_456, hintAgeMaxMs: 86_400_000 },
    bend: (chance, scenario) =>
      several(3, () => {
        const away = fault(chance, scenario, "kill", { forMs: chance.between(2_000, 5_000) });
        const { hosts, atMs } = away;
        return [
          away,
          fault(chance, scenario, "cut", { hosts, atMs: atMs + 1_500, forMs: chance.between(30_000, 60_000) }),
        ];
      }).flat(),
  },
  /** Hosts that are removed while they are cut off, and disks of which an old copy comes back. */
  {
    bend: (chance, scenario) => [
      fault(chance, scenario, "remove-cut", {
        atMs: chance.between(5_000, 40_000),
        forMs: chance.between(40_000, 80_000),
      }),
      fault(chance, scenario, "restore-old", {
        atMs: chance.between(80_000, 140_000),
        amount: chance.between(0.1, 0.5),
      }),
      ...several(3, () => fault(chance, scenario, "isolate", { forMs: chance.between(500, 5_000) })),
    ],
  },
];

type DeleteTheme = (
  chance: Chance,
  scenario: Scenario,
) => { readonly faults: readonly Fault[]; readonly operations: readonly Operation[] };

export const deleteThemes: readonly DeleteTheme[] = [
  /** Hosts that are removed while they are cut off, write there, start again there, and come back after the reap. */
  (chance, scenario) => {
    const removed = fault(chance, scenario, "remove-cut", {
      atMs: chance.between(3_000, 15_000),
      forMs: chance.between(35_000, 50_000),
      amount: chance.between(0, 0.6),
    });
    const { atMs, hosts } = removed;
    const again = fault(chance, scenario, "kill", { hosts, atMs: atMs + chance.between(4_000, 20_000), forMs: 100 });
    const wiped = fault(chance, scenario, "wipe", { hosts, atMs: atMs - chance.between(50, 300), amount: 0.1 });
    return {
      faults: [removed, again, ...(chance.is(0.3) ? [wiped] : [])],
      operations: [...doomedWhile(chance, removed), ...alone(chance, removed)],
    };
  },
  /** The same, and it admits somebody meanwhile, who copies from it. */
  (chance, scenario) => {
    const removed = fault(chance, scenario, "remove-cut", {
      atMs: chance.between(3_000, 15_000),
      forMs: chance.between(45_000, 60_000),
      rare: true,
    });
    return {
      faults: [removed],
      operations: doomedWhile(chance, { ...removed, atMs: removed.atMs + removed.forMs / 3 }),
    };
  },
  /** Something is kept for one who was away; who keeps it does not reach it, and comes to own it. */
  (chance, scenario) => {
    const { away, keeper, third } = whileAway(chance, scenario);
    const { atMs } = away;
    const cut = fault(chance, scenario, "cut", {
      hosts: [keeper - 1, 0],
      atMs: atMs + 1_500,
      forMs: chance.between(30_000, 50_000),
    });
    const leave = fault(chance, scenario, "leave", { hosts: [third], atMs: atMs + chance.between(4_000, 6_000) });
    return { faults: [away, cut, leave], operations: doomedWhile(chance, { atMs: atMs + 2_000 }) };
  },
  /** Something is kept for one who was away; who kept it gets an old copy of its disk, and has it again. */
  (chance, scenario) => {
    const { away, keeper } = whileAway(chance, scenario);
    const copiedMs = away.atMs + 2_000;
    const olds = several(2, (i) => {
      const atMs = copiedMs + 28_000 + i * 6_000;
      return fault(chance, scenario, "restore-old", { hosts: [keeper + i], atMs, amount: copiedMs / atMs, forMs: 50 });
    });
    return { faults: [away, ...olds], operations: doomedWhile(chance, { atMs: away.atMs + 1_700 }) };
  },
  /** Records of deleted keys rot, also where there is no other copy. */
  (chance, scenario) => ({
    faults: several(8, () => fault(chance, scenario, "damage", { atMs: chance.between(20_000, 90_000) })),
    operations: doomedWhile(chance, { atMs: scenario.safetyMs - 12_000 }),
  }),
  /** Values expire, and hosts differ about the time. */
  (chance, scenario) => ({
    faults: several(3, () => fault(chance, scenario, "clock-jump", { amount: chance.pick([0, 0.81, 0.95]) })),
    operations: several(10, (i) =>
      operation(chance, {
        verb: "put",
        key: 140 + i,
        quorum: "all",
        ttlMs: chance.pick([1, 5_000]),
        atMs: scenario.safetyMs * chance.next(),
      }),
    ),
  }),
];

export const laterDeleteThemes: readonly DeleteTheme[] = [
  /** A ring founded apart forgets what was deleted there; one who hears of it as it is back has writes of its own alone. */
  (chance, scenario) => {
    const { graceMs } = scenario.config;
    const met = fault(chance, scenario, "other-ring", {
      atMs: chance.between(3_000, 10_000),
      forMs: 10_000 + 2 * graceMs! + chance.between(0, 15_000),
    });
    const metMs = met.atMs + met.forMs;
    const aloneMs = metMs - chance.between(4_000, 8_000);
    const cut = fault(chance, scenario, "isolate", {
      atMs: aloneMs,
      forMs: metMs - aloneMs + chance.between(3_000, 8_000),
    });
    // Whoever founded the other ring is the last of all hosts.
    const apart = doomedWhile(chance, { atMs: met.atMs + 4_000 }).map((each) => ({ ...each, host: scenario.hosts }));
    return { faults: [met, cut], operations: [...apart, ...alone(chance, cut)] };
  },
];

/** One host is away for a moment; the next one may stand in for it. */
function whileAway(chance: Chance, scenario: Scenario): { away: Fault; keeper: number; third: number } {
  const first = chance.whole(1, 90);
  const how = { hosts: [first], atMs: chance.between(4_000, 10_000), forMs: chance.between(2_500, 4_000) };
  return { away: fault(chance, scenario, "kill", how), keeper: first + 1, third: first + 2 };
}

export const moveThemes: readonly ((chance: Chance, scenario: Scenario) => Scenario)[] = [
  /** Several lose their disks at once, and who has everything is away. */
  (chance, scenario) => {
    const atMs = chance.between(0.2, 0.7) * scenario.safetyMs;
    const wipes = several(chance.whole(1, 2), () =>
      fault(chance, scenario, "wipe", { atMs: atMs + chance.between(0, 200), amount: 0.1 }),
    );
    const puts = several(60, (i) =>
      operation(chance, { verb: "put", key: 200 + i, quorum: "all", atMs: atMs * chance.next() }),
    );
    const away = fault(chance, scenario, "isolate", {
      atMs: atMs + chance.between(0, 400),
      forMs: chance.between(5_000, 15_000),
    });
    const reads = several(40, () =>
      operation(chance, { verb: chance.pick(["get", "local"]), atMs: atMs + chance.between(0, 15_000) }),
    );
    return withFaults({ ...scenario, operations: byTime([...scenario.operations, ...puts, ...reads]) }, [
      ...wipes,
      away,
    ]);
  },
  /** Two rings meet. */
  (chance, scenario) => {
    const met = fault(chance, scenario, "other-ring", { atMs: 5_000, forMs: chance.between(10_000, 20_000) });
    const reads = several(40, () =>
      operation(chance, {
        verb: chance.pick(["get", "local"]),
        atMs: met.atMs + met.forMs + chance.between(500, 8_000),
      }),
    );
    return withFaults({ ...scenario, operations: byTime([...scenario.operations, ...reads]) }, [met]);
  },
  /** Batches that a disk rejects and keeps, of new keys in partitions that move away in that moment; then it starts again. */
  (chance, scenario) => {
    const atMs = chance.between(0.2, 0.6) * scenario.safetyMs;
    const bad = several(2, () =>
      fault(chance, scenario, "write-errors", { atMs, forMs: 800, amount: chance.between(0.5, 0.9) }),
    );
    const puts = several(60, (i) =>
      operation(chance, { verb: "put", key: 200 + i, quorum: "one", atMs: atMs + chance.between(0, 800) }),
    );
    const joins = several(2, () => fault(chance, scenario, "join", { atMs: atMs + chance.between(0, 600) }));
    const again = bad.map((each) =>
      fault(chance, scenario, "kill", { hosts: each.hosts, atMs: atMs + 12_000, forMs: 300 }),
    );
    return withFaults({ ...scenario, operations: byTime([...scenario.operations, ...puts]) }, [
      ...bad,
      ...joins,
      ...again,
    ]);
  },
  /** One that is alone again and again, and takes writes of what it does not own. */
  (chance, scenario) => {
    const alone = several(3, (i) => fault(chance, scenario, "isolate", { atMs: 3_000 + i * 10_000, forMs: 4_000 }));
    const hosts = alone[0]!.hosts;
    const puts = alone.flatMap(({ atMs }) =>
      several(12, (i) =>
        operation(chance, {
          verb: "put",
          key: i,
          host: hosts[0]!,
          quorum: "one",
          atMs: atMs + chance.between(500, 3_500),
        }),
      ),
    );
    const isolated = alone.map((each) => ({ ...each, hosts }));
    return withFaults({ ...scenario, operations: byTime([...scenario.operations, ...puts]) }, isolated);
  },
  /** A disk that is full until the end, of a host that is away then, so that nothing is kept for it; W never counts on it. */
  (chance, scenario) => {
    const { safetyMs } = scenario;
    const hosts = [chance.whole(0, 99)];
    const atMs = chance.between(0.2, 0.5) * safetyMs;
    const puts = several(30, (i) =>
      operation(chance, { verb: "put", key: 200 + i, quorum: "one", atMs: chance.between(atMs, safetyMs) }),
    );
    const before = scenario.operations.filter((each) => each.atMs < atMs - 2_000);
    const quiet = { ...scenario, operations: byTime([...before, ...puts]), faults: [] };
    return withFaults(configured(quiet, { hintAgeMaxMs: 0 }), [
      fault(chance, scenario, "full", { hosts, atMs, forMs: safetyMs }),
      fault(chance, scenario, "isolate", { hosts, atMs: safetyMs - 12_000, forMs: safetyMs }),
    ]);
  },
  /** One is away, another one's disk is full, and who took writes with a stand-in alone loses its disk. */
  (chance, scenario) => {
    const first = chance.whole(0, 90);
    const atMs = chance.between(0.2, 0.6) * scenario.safetyMs;
    const puts = several(30, (i) =>
      operation(chance, {
        verb: "put",
        key: 200 + i,
        host: first + 2,
        quorum: 2,
        atMs: atMs + chance.between(2_000, 6_000),
      }),
    );
    const quiet = configured(
      { ...scenario, operations: byTime([...scenario.operations, ...puts]), faults: [] },
      { hintBytesMax: 0 },
    );
    return withFaults(quiet, [
      fault(chance, scenario, "kill", { hosts: [first], atMs, forMs: 14_000 }),
      fault(chance, scenario, "full", { hosts: [first + 1], atMs, forMs: 14_000 }),
      fault(chance, scenario, "wipe", { hosts: [first + 2], atMs: atMs + chance.between(8_000, 11_000), amount: 0.1 }),
    ]);
  },
  /** Somebody is cut off as it joins. */
  (chance, scenario) =>
    withFaults(
      scenario,
      several(3, () => fault(chance, scenario, "join", { forMs: 8_000, rare: true })),
    ),
  /** Old copies of disks of which nobody knows at first, amid writes that wait. */
  (chance, scenario) => {
    const old = several(2, (i) =>
      fault(chance, scenario, "restore-old", { atMs: 3_000 + i * 18_000, forMs: 4_000, rare: true }),
    );
    const writes = old.flatMap(({ atMs, forMs, hosts }) =>
      several(120, (i) =>
        operation(chance, {
          verb: "put",
          quorum: "all",
          atMs: atMs + forMs + chance.between(0, 4_000),
          // Half of them at the host itself.
          ...(i % 2 === 0 ? { host: hosts[0]! } : {}),
        }),
      ),
    );
    const slow = configured(scenario, {
      replicaTimeoutMs: 2_000,
      requestTimeoutMs: 5_000,
      graceMs: 86_400_000,
      inFlightMsMax: 600_000,
    });
    return withFaults({ ...slow, delayMs: [20, 120], operations: byTime([...slow.operations, ...writes]) }, old);
  },
];

export const laterMoveThemes: readonly ((chance: Chance, scenario: Scenario) => Scenario)[] = [
  /** A disk is lost, and a source, or all, fall silent in the middle of many small pages; what the host misses then is read there. */
  (chance, scenario) => {
    const first = chance.whole(0, 90);
    const atMs = chance.between(0.3, 0.55) * scenario.safetyMs;
    const puts = several(60, (i) =>
      operation(chance, { verb: "put", key: 200 + i, quorum: "all", atMs: atMs * chance.next() }),
    );
    const silentMs = atMs + chance.between(400, 1_500);
    const missedMs = silentMs + chance.between(50, 3_000);
    const missed = several(60, (i) => {
      const how = { key: 200 + i, quorum: "one", atMs: missedMs + chance.between(100, 3_000) } as const;
      return [
        operation(chance, { ...how, verb: "put", host: first + 2 }),
        operation(chance, { ...how, verb: "get", host: first, atMs: how.atMs + chance.between(200, 2_000) }),
        operation(chance, { ...how, verb: "local", host: first, atMs: silentMs + chance.between(10_000, 16_000) }),
      ];
    }).flat();
    const before = scenario.operations.filter((each) => each.atMs < atMs - 2_000);
    const operations = byTime([...before, ...puts, ...missed]);
    // It copies for seconds.
    const quiet = { ...scenario, delayMs: [10, 60] as const, silentMs: 10_000, operations, faults: [] };
    const config = { fillPageBytes: 1, replicaTimeoutMs: 400, requestTimeoutMs: 2_000 };
    const lost = fault(chance, scenario, "wipe", { hosts: [first], atMs, amount: 0.1 });
    const cut = fault(chance, scenario, "cut", { hosts: [first, 0], atMs: silentMs, forMs: 16_000 });
    const next = { ...cut, hosts: [first, 1], atMs: missedMs };
    const isolated = { ...cut, kind: "isolate" } as const;
    return withFaults(configured(quiet, config), [lost, ...(chance.is(0.5) ? [cut, next] : [isolated])]);
  },
];

/** Each by an actor of its own. */
export function overwrites(
  chance: Chance,
  { safetyMs }: Scenario,
  { keys, count }: { readonly keys: number; readonly count: number },
): Operation[] {
  const how = { verb: "update", context: "latest", withId: true } as const;
  return several(count, () =>
    operation(chance, { ...how, key: chance.whole(0, keys - 1), atMs: chance.between(0, safetyMs) }),
  );
}

/** Keys that all have, and that are deleted while this goes on. */
export function doomedWhile(chance: Chance, { atMs }: Pick<Fault, "atMs">): Operation[] {
  return several(12, (i) => {
    const next = (verb: Operation["verb"], afterMs: number): Operation =>
      operation(chance, { verb, key: 100 + i, client: 90, context: "latest", quorum: "quorum", atMs: atMs + afterMs });
    return [
      next("put", -chance.between(500, 3_000)),
      next("update", -200),
      next("get", 5_000),
      next("delete", 6_000 + i),
    ];
  }).flat();
}

/** Writes that live on one host alone. */
function alone(chance: Chance, { atMs, hosts }: Fault): Operation[] {
  return several(10, (i) =>
    operation(chance, {
      verb: "put",
      key: 120 + i,
      host: hosts[0]!,
      quorum: "one",
      atMs: atMs + chance.between(100, 6_000),
    }),
  );
}
