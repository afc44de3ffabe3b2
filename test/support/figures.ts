/** What several trials do with their numbers. */
import { loadavg } from "node:os";
import type { Figure } from "../tools/trial.ts";
import type { Failure, LoadResult } from "./load.ts";

const toldMax = 10;

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * ms that `share` of all requests of some turns of one load took longer than; those that failed, too. Not the median of the
 * turns: what every second one suffers would not be seen.
 */
export function slowerThan(turns: readonly LoadResult[], share: number): number {
  const all = turns.flatMap(({ tookMs, failedMs }) => [...tookMs, ...failedMs]).toSorted((a, b) => b - a);
  return all[Math.floor(all.length * share)] ?? Infinity;
}

/** A load without a fault gives none. */
export function failuresOf(what: string, { errors, count, failures }: LoadResult): string[] {
  if (errors === 0) return count === 0 ? [`${what}: nothing was answered`] : [];
  return [`${what}: ${errors} of ${errors + count} operations failed, first: ${failures[0]?.message}`];
}

/**
 * Of a load during which a host was killed: what failed in the second after that, and how many requests failed otherwise,
 * of which the first few are told.
 */
export function failuresAround(
  { errors, failures }: LoadResult,
  killedAtMs: number,
  log: (line: string) => void,
): { readonly early: number; readonly late: number } {
  const isEarly = ({ atMs }: Failure): boolean => atMs >= killedAtMs && atMs <= killedAtMs + 1_000;
  const early = failures.filter(isEarly);
  const late = failures.filter((failure) => !isEarly(failure));
  for (const { atMs, message } of [...early.slice(0, 1), ...late.slice(0, toldMax)]) {
    log(`a request failed ${atMs - killedAtMs} ms after the kill: ${message}`);
  }
  return { early: early.length, late: errors - early.length };
}

/** How busy the machine was with others: timings of a busy one say little. */
export function loadAverage(): Figure {
  return { name: "load average of the machine at the end", value: loadavg()[0]!, unit: "" };
}
