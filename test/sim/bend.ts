/** How a profile changes a scenario that was drawn without it. */
import type { NodeConfig } from "../../core/config.ts";
import type { Chance } from "./chance.ts";
import { drawFault, type Fault, type FaultKind } from "./faults/draw.ts";
import { type Operation, plainOperation, type Scenario, stretched } from "./scenario.ts";

export function lasting(scenario: Scenario, safetyMs: number): Scenario {
  return stretched(scenario, Math.max(1, safetyMs / scenario.safetyMs));
}

/** With so many of its faults. */
export function thinned(chance: Chance, scenario: Scenario, faults: number): Scenario {
  return { ...scenario, faults: chance.shuffled(scenario.faults).slice(0, faults) };
}

export function withFaults(scenario: Scenario, more: readonly Fault[]): Scenario {
  return { ...scenario, faults: [...scenario.faults, ...more].toSorted((a, b) => a.atMs - b.atMs) };
}

export function configured(scenario: Scenario, config: Partial<NodeConfig>): Scenario {
  return { ...scenario, config: { ...scenario.config, ...config } };
}

export function fault(chance: Chance, { safetyMs }: Scenario, kind: FaultKind, how: Partial<Fault>): Fault {
  return { ...drawFault(chance, kind, safetyMs), ...how };
}

export function operation(chance: Chance, how: Partial<Operation>): Operation {
  return { ...plainOperation, client: chance.whole(0, 3), host: chance.whole(0, 99), key: chance.whole(0, 9), ...how };
}

export function several<T>(count: number, make: (index: number) => T): T[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

export function byTime<T extends { readonly atMs: number }>(list: readonly T[]): T[] {
  return list.toSorted((a, b) => a.atMs - b.atMs);
}
