/**
 * Makes a failing scenario smaller: drops faults and operations as long as the same rule is broken (Zeller's ddmin,
 * greedy). What is left is drawn from streams of its own, so it mostly stays as it was.
 */
import type { Scenario } from "./scenario.ts";
import { type Plot, type Report, simulate } from "./simulate.ts";

export interface Shrunk {
  readonly scenario: Scenario;
  readonly report: Report;
  readonly runs: number;
}

export async function shrink(
  scenario: Scenario,
  tell: (scenario: Scenario) => void,
  { plot }: { readonly plot?: Plot } = {},
): Promise<Shrunk> {
  const run = (each: Scenario): Promise<Report> => simulate(each, plot === undefined ? {} : { plot });
  let best = { scenario, report: await run(scenario) };
  const rule = best.report.violation?.rule;
  let runs = 1;
  if (rule === undefined) return { ...best, runs };

  const attempt = async (smaller: Scenario): Promise<boolean> => {
    runs += 1;
    const report = await run(smaller);
    if (report.violation?.rule !== rule) return false;
    best = { scenario: smaller, report };
    tell(smaller);
    return true;
  };
  for (let before = Infinity; sizeOf(best.scenario) < before;) {
    before = sizeOf(best.scenario);
    await dropFrom("faults");
    await dropFrom("operations");
  }
  return { ...best, runs };

  /** Halves first, then quarters, down to single ones. */
  async function dropFrom(list: "faults" | "operations"): Promise<void> {
    for (let size = Math.ceil(best.scenario[list].length / 2); size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < best.scenario[list].length;) {
        const smaller = { ...best.scenario, [list]: best.scenario[list].toSpliced(at, size) };
        if (!(await attempt(smaller))) at += size;
      }
    }
  }
}

function sizeOf({ faults, operations }: Scenario): number {
  return faults.length + operations.length;
}
