/** What several trials do with their numbers. */
import { loadavg } from "node:os";
import type { Figure } from "../tools/trial.ts";
import type { LoadResult } from "./load.ts";

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** A load without a fault gives none. */
export function failuresOf(what: string, { errors, count, firstError }: LoadResult): string[] {
  if (errors === 0) return count === 0 ? [`${what}: nothing was answered`] : [];
  return [`${what}: ${errors} of ${errors + count} operations failed, first: ${firstError}`];
}

/** How busy the machine was with others: timings of a busy one say little. */
export function loadAverage(): Figure {
  return { name: "load average of the machine at the end", value: loadavg()[0]!, unit: "" };
}
