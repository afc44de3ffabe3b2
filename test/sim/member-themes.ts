/** What the profile of members draws together: a membership, or a holding, ends or moves while something of it is under way. */
import { byTime, configured, fault, operation, several, withFaults } from "./bend.ts";
import type { Chance } from "./chance.ts";
import type { Fault } from "./faults/draw.ts";
import type { Operation, Scenario } from "./scenario.ts";
import { doomedWhile } from "./themes.ts";

export const memberThemes: readonly ((chance: Chance, scenario: Scenario) => Scenario)[] = [
  /** Who missed deletes falls asleep as it is back, is removed in its sleep, and wakes up while it is still asked. */
  (chance, scenario) => {
    const { graceMs } = scenario.config;
    const cut = fault(chance, scenario, "isolate", {
      atMs: chance.between(3_000, 8_000),
      forMs: 6_000 + graceMs! + chance.between(-500, 1_500),
    });
    const sleep = fault(chance, scenario, "pause", {
      hosts: cut.hosts,
      atMs: cut.atMs + cut.forMs - 1,
      // Peers dial it again within three seconds, and lose patience in ten.
      forMs: chance.between(6_000, 12_000),
      amount: chance.between(0.25, 0.5),
      rare: true,
    });
    // Nobody keeps anything for it, and who waits for its consent asks again soon.
    const config = { antiEntropyIntervalMs: 200, suspectAfterMs: 1_500, hintAgeMaxMs: 0, reapTimeoutMs: 300 };
    const patient = { ...configured(scenario, config), silentMs: 10_000, redialMsMax: 200 };
    return withFaults({ ...patient, operations: byTime([...scenario.operations, ...doomedWhile(chance, cut)]) }, [
      cut,
      sleep,
    ]);
  },
  /** Who is alone takes writes, and owns less when it is back; disks of some of the owners take nothing from it. */
  (chance, scenario) => {
    const first = chance.whole(0, 90);
    const alone = fault(chance, scenario, "isolate", {
      hosts: [first],
      atMs: chance.between(4_000, 20_000),
      forMs: chance.between(6_000, 12_000),
    });
    const { atMs } = alone;
    const kind = chance.pick(["full", "write-errors"] as const);
    const bad = several(scenario.n - 1, (i) =>
      fault(chance, scenario, kind, {
        hosts: [first + 1 + i],
        atMs: atMs + alone.forMs - 200,
        forMs: chance.between(3_000, 20_000),
        amount: chance.between(0.7, 1),
      }),
    );
    const joins = several(2, () => fault(chance, scenario, "join", { atMs: atMs + chance.between(1_800, 3_000) }));
    const puts = several(30, (i) =>
      operation(chance, {
        verb: "put",
        key: 200 + i,
        host: first,
        quorum: "one",
        atMs: atMs + chance.between(300, 1_500),
      }),
    );
    const slow = configured(scenario, { antiEntropyIntervalMs: 10_000 });
    return withFaults({ ...slow, operations: byTime([...scenario.operations, ...puts]) }, [alone, ...joins, ...bad]);
  },
  /** Deletes reach the owners while who owned the keys before is away; all are there again as the deletes are old enough. */
  (chance, scenario) => {
    const { graceMs } = scenario.config;
    const cut = fault(chance, scenario, "isolate", {
      atMs: chance.between(4_000, 10_000),
      forMs: 6_000 + graceMs! + chance.between(-500, 3_000),
    });
    const joins = several(chance.whole(1, 2), () =>
      fault(chance, scenario, "join", { atMs: cut.atMs + chance.between(100, 2_500) }),
    );
    const halfSeen = fault(chance, scenario, "half-seen", {
      hosts: [cut.hosts[0]!, chance.whole(0, 99)],
      atMs: cut.atMs + cut.forMs - 1,
      forMs: chance.between(5_000, 15_000),
      rare: true,
    });
    const operations = byTime([...scenario.operations, ...doomedWhile(chance, cut)]);
    return withFaults({ ...scenario, operations }, [cut, ...joins, ...(chance.is(0.6) ? [halfSeen] : [])]);
  },
  /** A directory is copied, and both run; each says what it holds while others lose their disks, and the copy ends last. */
  (chance, scenario) => {
    const hosts = [chance.whole(0, 99)];
    const startMs = chance.between(5_000, 20_000);
    const twins = several(4, (i) =>
      fault(chance, scenario, "twin", {
        hosts,
        atMs: startMs + i * 9_000 + chance.between(0, 1_000),
        forMs: chance.between(500, 8_000),
      }),
    );
    const others = several(4, () =>
      fault(chance, scenario, chance.pick(["kill", "wipe", "join", "isolate"] as const), {
        atMs: startMs + chance.between(0, 36_000),
        forMs: chance.between(500, 5_000),
      }),
    );
    return withFaults(scenario, [...twins, ...others]);
  },
  /** A disk of which there is a copy forgets deletes, and meets a ring founded apart; then the copy is brought back. */
  (chance, scenario) => {
    const { graceMs } = scenario.config;
    const doomed = { atMs: chance.between(5_000, 10_000) };
    const copiedMs = doomed.atMs + chance.between(200, 5_000);
    const met = fault(chance, scenario, "other-ring", {
      atMs: doomed.atMs + chance.between(0, 6_000 + graceMs!),
      forMs: chance.between(3_000, 12_000),
    });
    const oldMs = Math.max(met.atMs + met.forMs, doomed.atMs + 6_000 + graceMs!) + chance.between(2_000, 10_000);
    const old = fault(chance, scenario, "restore-old", {
      hosts: [chance.whole(0, 99)],
      atMs: oldMs,
      amount: copiedMs / oldMs,
      forMs: chance.between(50, 1_000),
    });
    const operations: readonly Operation[] = byTime([...scenario.operations, ...doomedWhile(chance, doomed)]);
    const faults: readonly Fault[] = [met, old];
    return withFaults({ ...scenario, operations }, faults);
  },
];
