/** Looks for planted bugs, one after the other in each lane, and sums up. */
import { profileNames } from "../profiles.ts";
import { stories } from "../stories/all.ts";
import type { Mutation } from "./mutations.ts";
import { type Found, findPlanted, storiesBroken } from "./plant.ts";

/** What became of one bug. */
export interface Result extends Found {
  readonly mutation: Mutation;
  /** Stories that it breaks, of those that tell of it; where no seed showed it. */
  readonly told: readonly string[];
}

const notSought: Found = { seed: undefined, rule: "", runs: 0 };

/** By a seed, or by its story where no more is asked of it. */
export function isFound({ mutation, seed, told }: Result): boolean {
  return seed !== undefined || (mutation.isOnlyTold === true && told.length > 0);
}

/** Of bugs that the swarm's own seeds are to show. */
const swarmName = "the swarm";

/** @returns the results in the order of `chosen` */
export async function findAll(
  chosen: readonly Mutation[],
  {
    runs,
    threads,
    onLine,
  }: {
    readonly runs: number;
    readonly threads: number;
    /** Told of each as it is found, in words. */
    readonly onLine: (line: string) => void;
  },
): Promise<readonly Result[]> {
  const results = new Map<Mutation, Result>();
  // Those that take long first.
  const isRare = ({ profile }: Mutation): boolean => profile !== undefined;
  const waiting = [...chosen.filter(isRare), ...chosen.filter((each) => !isRare(each))].values();
  const lane = async (): Promise<void> => {
    for (const mutation of waiting) {
      const startMs = performance.now();
      const found = mutation.isOnlyTold === true ? notSought : await findPlanted(mutation, runs);
      const told = found.seed === undefined ? await storiesBroken(mutation, storiesOf(mutation)) : [];
      const result = { ...found, mutation, told };
      results.set(mutation, result);
      onLine(lineOf(result, (performance.now() - startMs) / 1_000));
    }
  };
  await Promise.all(Array.from({ length: threads }, lane));
  return chosen.map((mutation) => results.get(mutation)!);
}

/**
 * A table with a line for each profile: how many bugs it is to show, how many it does, and the seed of the slowest.
 * Below it the names of those for which no seed was sought, and of those that were not found.
 */
export function summary(results: readonly Result[], runs: number): string {
  const lines = [...profileNames, undefined].flatMap((profile) => {
    const name = profile === undefined ? swarmName : `profile ${profile}`;
    const ofIt = results.filter(({ mutation }) => mutation.profile === profile && mutation.isOnlyTold !== true);
    return ofIt.length === 0 ? [] : [rowOf(name, ofIt)];
  });
  const onlyTold = results.filter(({ mutation }) => mutation.isOnlyTold === true);
  const missing = results.filter((result) => !isFound(result)).map(({ mutation }) => mutation.name);
  return [
    "",
    `| looked for in ${runs} seeds of | bugs | found | slowest: at seed |`,
    "|---|---|---|---|",
    ...lines,
    ...(onlyTold.length === 0 ? [] : [rowOf("none: by a story", onlyTold)]),
    rowOf("all", results),
    ...onlyTold.map(({ mutation }) => `by a story only: ${mutation.name}`),
    ...missing.map((name) => `not found: ${name}`),
  ].join("\n");
}

function rowOf(name: string, results: readonly Result[]): string {
  const found = results.filter(isFound);
  const slowest = Math.max(0, ...found.map(({ runs }) => runs));
  return `| ${name} | ${results.length} | ${found.length} | ${slowest === 0 ? "-" : slowest} |`;
}

function lineOf({ mutation, seed, rule, runs, told }: Result, seconds: number): string {
  const byStory = told.length === 0 ? "nor by a story" : `but by the story: ${told[0]}`;
  const unseen =
    mutation.isOnlyTold === true && told.length > 0
      ? `by the story: ${told[0]}`
      : `NOT FOUND in ${runs} seeds, ${byStory}`;
  const result = seed === undefined ? unseen : rule;
  const head = `${(seed ?? "-").padStart(13)} ${seconds.toFixed(0).padStart(5)} s  ${mutation.name}`;
  return `${head}\n${" ".repeat(23)}${result.slice(0, 160)}`;
}

function storiesOf(mutation: Mutation): string[] {
  return stories.filter(({ brokenBy }) => brokenBy === mutation.name).map(({ name }) => name);
}
