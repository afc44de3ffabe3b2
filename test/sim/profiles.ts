/**
 * Profiles: biases of the drawing. What goes wrong only where several rare things meet (a lease, a cut of just that length,
 * a restart in the middle) is drawn too seldom when each is drawn on its own. A profile draws them together, and little
 * else beside them. A quarter of the swarm's seeds have one; `leases-17` is seed 17 with that one.
 */
import type { Chance } from "./chance.ts";
import { drawLeaseFaults, type Fault } from "./faults/draw.ts";
import { type Scenario, stretched } from "./scenario.ts";

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
} satisfies Record<string, Profile>;

/** The profile that a seed names, or that its number has; undefined: none. */
export function profileOf(seed: string): Profile | undefined {
  const name = /^([a-z]+)-/.exec(seed)?.[1] ?? nameByNumber(Number(seed));
  return name === undefined ? undefined : profiles[name as ProfileName];
}

function nameByNumber(seed: number): ProfileName | undefined {
  const names = Object.keys(profiles) as ProfileName[];
  return seed % 8 < 2 ? names[Math.floor(seed / 8) % names.length] : undefined;
}

function lasting(scenario: Scenario, safetyMs: number): Scenario {
  return stretched(scenario, Math.max(1, safetyMs / scenario.safetyMs));
}

/** With so many of its faults. */
function thinned(chance: Chance, scenario: Scenario, faults: number): Scenario {
  return { ...scenario, faults: chance.shuffled(scenario.faults).slice(0, faults) };
}

function withFaults(scenario: Scenario, more: readonly Fault[]): Scenario {
  return { ...scenario, faults: [...scenario.faults, ...more].toSorted((a, b) => a.atMs - b.atMs) };
}
