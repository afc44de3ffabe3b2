/** Looks for planted bugs, one after the other in each lane, and sums up. */
import { profileNames } from "../profiles.ts";
import { stories } from "../stories/all.ts";
import type { Mutation } from "./mutations.ts";
import { type Found, findPlanted, storiesBroken } from "./plant.ts";

/** What became of one bug. */
export interface Result extends Found {
  readonly mutation: Mutation;
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
      const result = { ...(await findPlanted(mutation, runs)), mutation };
      const told = result.seed === undefined ? await storiesBroken(mutation, storiesOf(mutation)) : [];
      results.set(mutation, result);
      onLine(lineOf(result, told, (performance.now() - startMs) / 1_000));
    }
  };
  await Promise.all(Array.from({ length: threads }, lane));
  return chosen.map((mutation) => results.get(mutation)!);
}

/** A table with a line for each profile: how many bugs it is to show, how many it does, and the seed of the slowest. */
export function summary(results: readonly Result[], runs: number): string {
  const lines = [...profileNames, undefined].flatMap((profile) => {
    const name = profile === undefined ? swarmName : `profile ${profile}`;
    const ofIt = results.filter(({ mutation }) => mutation.profile === profile);
    return ofIt.length === 0 ? [] : [rowOf(name, ofIt)];
  });
  const missing = results.filter(({ seed }) => seed === undefined).map(({ mutation }) => mutation.name);
  return [
    "",
    `| looked for in ${runs} seeds of | bugs | found | slowest: at seed |`,
    "|---|---|---|---|",
    ...lines,
    rowOf("all", results),
    ...missing.map((name) => `not found: ${name}`),
  ].join("\n");
}

function rowOf(name: string, results: readonly Result[]): string {
  const found = results.filter(({ seed }) => seed !== undefined);
  const slowest = Math.max(0, ...found.map(({ runs }) => runs));
  return `| ${name} | ${results.length} | ${found.length} | ${slowest === 0 ? "-" : slowest} |`;
}

function lineOf({ mutation, seed, rule, runs }: Result, told: readonly string[], seconds: number): string {
  const unseen = `NOT FOUND in ${runs} seeds, ${told.length === 0 ? "nor by a story" : `but by the story: ${told[0]}`}`;
  const result = seed === undefined ? unseen : rule;
  const head = `${(seed ?? "-").padStart(13)} ${seconds.toFixed(0).padStart(5)} s  ${mutation.name}`;
  return `${head}\n${" ".repeat(23)}${result.slice(0, 160)}`;
}

function storiesOf(mutation: Mutation): string[] {
  return stories.filter(({ brokenBy }) => brokenBy === mutation.name).map(({ name }) => name);
}
