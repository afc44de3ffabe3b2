/** How often each kind of fault came, and whether that suffices. */
import { edgeFaults } from "./edges/devices.ts";
import { faultKinds } from "./faults/draw.ts";
import type { Totals } from "./swarm.ts";

export interface Share {
  readonly kind: string;
  readonly count: number;
  /** With at least one. */
  readonly runs: number;
  /** The runs that could have one. */
  readonly of: number;
  readonly what: string;
}

/** Issue 4 asks for each kind of fault in so many of 100 runs, and for so many faults a run. */
export const leastPercent = 5;
const leastFaults = 20;
/** Fewer say little. */
const runsMin = 1_000;

export function sharesOf({ runs, edgeRuns, faults }: Totals): Share[] {
  const among = (kinds: readonly string[], of: number, what: string): Share[] =>
    of === 0 ? [] : kinds.map((kind) => ({ kind, ...(faults.get(kind) ?? { count: 0, runs: 0 }), of, what }));
  return [...among(faultKinds, runs, "runs"), ...among(edgeFaults, edgeRuns, `the ${edgeRuns} runs with edges`)];
}

export function faultsPerRun({ runs, faults }: Totals): number {
  return faultKinds.reduce((sum, kind) => sum + (faults.get(kind)?.count ?? 0), 0) / runs;
}

/**
 * What swarms without a profile show too little of, each in a line. Two standard deviations below the least share are
 * allowed: the rarest kinds are meant for little more than that, and a thousand seeds have fewer by chance. What has become
 * rarer in truth shows in more seeds. The average is far from its least, and gets no such margin.
 */
export function shortfalls(totals: Totals): string[] {
  if (totals.runs < runsMin) return [];
  const rare = sharesOf(totals).filter(({ runs, of }) => {
    const least = leastPercent / 100;
    return runs / of < least - 2 * Math.sqrt((least * (1 - least)) / of);
  });
  const average = faultsPerRun(totals);
  return [
    ...(average < leastFaults ? [`too few faults: ${average.toFixed(1)} a run, and not ${leastFaults}`] : []),
    ...rare.map(({ kind, runs, of, what }) => {
      const percent = ((100 * runs) / of).toFixed(1);
      return `too seldom: ${kind}, in ${percent} % of ${what}, and not in ${leastPercent} %`;
    }),
  ];
}
