/** What a seed drew, in words: much of a failure is understood from them before its log is read. */
import type { Fault } from "./faults/draw.ts";
import type { Operation, Scenario, Site } from "./scenario.ts";

/** Of operations: how many have them. */
const extras = ["pw", "lww", "ttlMs", "withId", "ifAbsent", "returnSiblings"] as const;

/** In lines; what has none of its own is in that of the cluster, by its name. */
export function describeScenario(scenario: Scenario): string {
  const { seed: _seed, hosts, n, partitions, safetyMs, config, sites, applications, ...others } = scenario;
  const { operations, faults, ...cluster } = others;
  const lines = [
    `${hosts} hosts, N=${n}, Q=${partitions}, ${operations.length} operations in ${seconds(safetyMs)} s`,
    `cluster: ${settings(cluster)}`,
    ...(sites === undefined ? [] : [`sites (zone/machine/capacity): ${sites.map(describeSite).join(" ")}`]),
    `config: ${settings(config)}`,
    ...(applications === undefined ? [] : [`applications: ${settings(applications)}`]),
    `operations: ${describeOperations(operations)}`,
    `faults: ${describeFaults(faults)}`,
  ];
  return lines.join("\n  ");
}

function describeSite({ zone, deviceGroup, capacity }: Site): string {
  return `${zone}/${deviceGroup}/${capacity}`;
}

function describeOperations(operations: readonly Operation[]): string {
  const writes = operations.filter(({ verb }) => verb !== "get" && verb !== "local");
  const parts = [
    `${distinct(operations, ({ key }) => key)} keys, ${distinct(operations, ({ client }) => client)} clients`,
    counted(operations.map(({ verb }) => verb)),
    `contexts ${counted(writes.map(({ context }) => context))}`,
    `quorums ${counted(operations.map(({ quorum }) => quorum))}`,
    `also ${counted(operations.flatMap((operation) => extras.filter((name) => Boolean(operation[name]))))}`,
    `up to ${Math.max(0, ...operations.map(({ bytes }) => bytes))} bytes`,
  ];
  return parts.join("; ");
}

/** By kind, with the seconds in which each begins. */
function describeFaults(faults: readonly Fault[]): string {
  const times = new Map<string, string[]>();
  for (const { kind, atMs } of faults) times.set(kind, [...(times.get(kind) ?? []), seconds(atMs)]);
  const told = [...times].map(([kind, atSeconds]) => `${atSeconds.length} × ${kind} at ${atSeconds.join(" ")} s`);
  return told.join(", ") || "none";
}

/** By their names; what is off or empty is left out. */
function settings(values: object): string {
  const told = Object.entries(values).flatMap(([name, value]: [string, unknown]) => {
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) return [];
    return [value === true ? name : `${name}=${JSON.stringify(value).replaceAll('"', "")}`];
  });
  return told.join(" ") || "as usual";
}

/** Each with its number, those that come most often first. */
function counted(list: readonly (string | number)[]): string {
  const counts = new Map<string | number, number>();
  for (const each of list) counts.set(each, (counts.get(each) ?? 0) + 1);
  const sorted = [...counts].toSorted(([, a], [, b]) => b - a);
  return sorted.map(([each, count]) => `${count} × ${each}`).join(", ") || "none";
}

function distinct<T>(list: readonly T[], of: (each: T) => unknown): number {
  return new Set(list.map(of)).size;
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}
