/** `npm run sim`: swarms of simulated clusters, one seed again, stories, planted bugs. */
import { availableParallelism } from "node:os";
import { mutations } from "./planted/mutations.ts";
import { findAll, isFound, summary } from "./planted/search.ts";
import { drawScenario } from "./draw.ts";
import { describeScenario } from "./describe.ts";
import type { Scenario } from "./scenario.ts";
import { isNamedSeed, type ProfileName, profileNames, seedOf } from "./profiles.ts";
import { faultsPerRun, leastPercent, type Share, sharesOf, shortfalls } from "./shares.ts";
import { shrink } from "./shrink.ts";
import { type Report, simulate } from "./simulate.ts";
import { readArguments } from "../tools/arguments.ts";
import { stories } from "./stories/all.ts";
import { tell } from "./stories/stage.ts";
import { swarm, Totals } from "./swarm.ts";

const usage = `usage: npm run sim -- [--runs 1000] [--seed 1] [--minutes M] [--threads T] [--profile NAME]
Simulates one cluster per seed: --minutes M ends it early, and fails then; --first stops at the first failure;
--profile NAME biases all seeds so (else a quarter of them has one): ${profileNames.join(", ")}.
  --seed NAME-S        one seed as a failure names it
  --seed S --log       one seed again, with its whole event log
  --seed S --shrink    drops faults and operations while the same rule stays broken, and shows what is left
  --story NAME [--log] tells the stories whose names have NAME in them
  --planted [NAME]     the first seed in which the swarm finds each planted bug, of those with its profile if it names one;
                       ends with a table`;

const { values: options, positionals } = readArguments(usage, {
  runs: { type: "string" },
  seed: { type: "string", default: "1" },
  minutes: { type: "string" },
  threads: { type: "string" },
  log: { type: "boolean", default: false },
  first: { type: "boolean", default: false },
  shrink: { type: "boolean", default: false },
  profile: { type: "string" },
  story: { type: "string", multiple: true },
  planted: { type: "boolean", default: false },
});

const logLines = 40;
const progressMs = 60_000;
const usualRuns = 1_000;

if (options.planted) await runPlanted(positionals);
else if (options.story !== undefined) await tellStories(options.story);
else if (options.shrink) await runShrink(oneSeed());
else if (options.log) await replay(oneSeed());
else await runSwarm(allSeeds());

async function replay(seed: string): Promise<void> {
  const scenario = drawScenario(seed);
  console.log(`seed ${seed}: ${describeScenario(scenario)}`);
  const { log: _log, ...report } = await simulate(scenario, { echo: true });
  console.log(report);
  if (report.violation !== undefined) process.exitCode = 1;
}

async function runSwarm(seeds: readonly string[]): Promise<void> {
  const startMs = performance.now();
  const totals = new Totals();
  const tellProgress = (): void =>
    console.error(`… ${totals.runs} of ${seeds.length} seeds, ${totals.failures.length} failed`);
  const telling = setInterval(tellProgress, progressMs);
  await swarm({
    seeds,
    minutes: numberOf("minutes") ?? Infinity,
    stopAtFailure: options.first,
    threads: threads(),
    onReport: (report) => {
      totals.add(report);
      if (report.violation !== undefined) printFailure(report);
    },
  });
  clearInterval(telling);
  printTotals(totals, (performance.now() - startMs) / 1000);
  // A profile draws few kinds.
  const short = options.profile === undefined ? shortfalls(totals) : [];
  for (const line of short) console.log(line);
  const endedEarly = totals.runs < seeds.length && !(options.first && totals.failures.length > 0);
  if (endedEarly) console.log(`ended early: ${totals.runs} of ${seeds.length} seeds were run`);
  if (totals.failures.length > 0 || short.length > 0 || endedEarly) process.exitCode = 1;
}

/** One that names its profile is run alone: `--profile NAME --seed S` are many. */
function allSeeds(): string[] {
  if (!isNumber(options.seed)) {
    const seed = oneSeed();
    if (options.runs !== undefined) refuse(`${seed} is one seed: for more, --profile NAME --seed S --runs R`);
    return [seed];
  }
  const profile = chosenProfile();
  return Array.from({ length: runs() }, (_, i) => seedOf(Number(options.seed) + i, profile));
}

function oneSeed(): string {
  const { seed } = options;
  if (isNumber(seed)) return seedOf(Number(seed), chosenProfile());
  if (!isNamedSeed(seed)) refuse(`no seed is called ${seed}: it is a number, or a profile's name and one, as moves-3`);
  if (options.profile !== undefined) refuse(`${seed} says by itself which profile it has`);
  return seed;
}

function chosenProfile(): ProfileName | undefined {
  const profile = profileNames.find((name) => name === options.profile);
  if (profile === undefined && options.profile !== undefined)
    refuse(`no profile is called ${options.profile}: there are ${profileNames.join(", ")}`);
  return profile;
}

function runs(): number {
  return numberOf("runs") ?? usualRuns;
}

function threads(): number {
  return numberOf("threads") ?? availableParallelism();
}

/** What is no number, or not above 0, would run nothing, and pass. */
function numberOf(name: "runs" | "minutes" | "threads"): number | undefined {
  const text = options[name];
  if (text === undefined) return undefined;
  const number = Number(text);
  const isRight = number > 0 && (name === "minutes" || Number.isSafeInteger(number));
  return isRight ? number : refuse(`--${name} ${text} is no ${name === "minutes" ? "" : "whole "}number above 0`);
}

function isNumber(text: string): boolean {
  return /^(?:0|[1-9]\d*)$/.test(text) && Number.isSafeInteger(Number(text));
}

function refuse(why: string): never {
  console.error(why);
  process.exit(1);
}

async function runShrink(seed: string): Promise<void> {
  const tellSize = ({ faults, operations }: Scenario): void =>
    console.log(`still broken with ${faults.length} faults and ${operations.length} operations`);
  const { scenario, report, runs } = await shrink(drawScenario(seed), tellSize);
  if (report.violation === undefined) return console.log(`seed ${seed} breaks no rule`);
  await simulate(scenario, { echo: true });
  console.log(`after ${runs} runs: ${report.violation.rule}: ${report.violation.text}`);
  console.log(JSON.stringify(scenario, null, 1));
}

async function tellStories(parts: readonly string[]): Promise<void> {
  const chosen = stories.filter(({ name }) => parts.some((part) => name.includes(part)));
  if (chosen.length === 0) refuse(`no story has ${parts.join(" or ")} in its name`);
  for (const story of chosen) {
    const { violation } = await tell(story, { echo: options.log });
    const result = violation === undefined ? "holds" : `broken: ${violation.rule}: ${violation.text}`;
    console.log(`${story.name}\n    ${result}`);
    if (violation !== undefined) process.exitCode = 1;
  }
}

async function runPlanted(parts: readonly string[]): Promise<void> {
  const chosen = mutations.filter(({ name }) => parts.length === 0 || parts.some((part) => name.includes(part)));
  if (chosen.length === 0) refuse(`no planted bug has ${parts.join(" or ")} in its name`);
  console.log("         seed    time  planted bug, and the rule that it breaks");
  const results = await findAll(chosen, { runs: runs(), threads: threads(), onLine: (line) => console.log(line) });
  console.log(summary(results, runs()));
  if (!results.every(isFound)) process.exitCode = 1;
}

function printFailure({ seed, hash, violation, log }: Report): void {
  console.log(`\nFAILED seed ${seed}: ${describeScenario(drawScenario(seed))}`);
  for (const line of log.slice(-logLines)) console.log(`  ${line}`);
  console.log(`  broken: ${violation!.rule}: ${violation!.text}`);
  console.log(`  again, with hash ${hash}: npm run sim -- --seed ${seed} --log (or --shrink)`);
}

function printTotals(totals: Totals, seconds: number): void {
  const {
    runs,
    events,
    operations,
    acknowledged,
    reads,
    checks,
    simulatedMs,
    faults,
    failures,
    healMsMax,
    entriesCut,
    delivered,
    updates,
    reaped,
  } = totals;
  const share = (some: number): string => `${((100 * some) / runs).toFixed(0)} %`;
  console.log(`${runs} runs in ${seconds.toFixed(1)} s (${(runs / seconds).toFixed(1)} seeds a second)`);
  console.log(`${(simulatedMs / 3_600_000).toFixed(1)} simulated hours, ${events} events`);
  console.log(`${operations} operations: ${acknowledged} writes acknowledged, ${reads} reads; ${checks} checks`);
  console.log(`${faultsPerRun(totals).toFixed(1)} faults a run; longest healing ${(healMsMax / 1000).toFixed(1)} s`);
  console.log(
    `${reaped.keys} deleted keys forgotten, in ${share(reaped.runs)} of runs; ` +
      `${reaped.underFaults} amid faults, in ${share(reaped.runsUnderFaults)}`,
  );
  const lapses = faults.get("lapse") ?? { count: 0, runs: 0 };
  console.log(`${lapses.count} leases ended, in ${share(lapses.runs)} of runs`);
  console.log(`${delivered} writes of edges found at hosts, ${updates} updates in their documents`);
  console.log(`${entriesCut} entries of clocks cut with agreement`);
  console.log(`${totals.inexact.keys} keys cut by force, not judged exactly, in ${share(totals.inexact.runs)} of runs`);
  for (const share of sharesOf(totals)) printShare(share);
  console.log(`${runs - failures.length} passed, ${failures.length} failed`);
}

function printShare({ kind, count, runs, of, what }: Share): void {
  const percent = (100 * runs) / of;
  const rare = percent < leastPercent ? ", rare" : "";
  console.log(
    `  ${kind.padEnd(23)} ${String(count).padStart(7)}  in ${percent.toFixed(1).padStart(5)} % of ${what}${rare}`,
  );
}
