/**
 * `npm run trials [-- NAME...] [--short]`: runs the modules of test/trials one after another, prints their figures
 * beside references and bars, and writes them to `.everwrite/trials`. The last line is `N passed, N failed`.
 * Keeps: what did not run is listed by name with its reason, and counts as neither. With `--short` a missed bar of a
 * timing is told but fails nothing; see `bars.ts`.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { findChromium } from "../support/chromium.ts";
import { missedBars } from "./bars.ts";
import { formatCell, inFolder, keep, printTable, select } from "./measured.ts";
import type { Figure, Need, Table, Trial, TrialResult } from "./trial.ts";

const needs: Record<Need, { readonly has: () => boolean; readonly advice: string }> = {
  root: { has: () => process.getuid?.() === 0, advice: "needs root" },
  etcd: { has: () => runs("etcd", ["--version"]), advice: "needs etcd on the PATH (package etcd-server)" },
  chromium: {
    has: () => findChromium() !== undefined,
    advice: "needs Chromium (npx playwright install chromium, or the distribution's)",
  },
  tmpfs: { has: canMountTmpfs, advice: "needs to mount a tmpfs: Linux, as root" },
};

const selection = await select<Trial>("trials", "trial");
const skipped: string[] = [];
let passed = 0;
let failed = 0;

for (const trial of selection.chosen) {
  const missing = trial.needs?.find((need) => !needs[need].has());
  if (selection.signal.aborted) skipped.push(`${trial.name}: interrupted`);
  else if (missing !== undefined) skipped.push(`${trial.name}: ${needs[missing].advice}`);
  else if (await passes(trial)) passed += 1;
  else failed += 1;
}

if (selection.chosen.length === 0) console.log("There is no trial yet.");
if (skipped.length > 0) console.log(`Skipped:\n${skipped.map((line) => `  ${line}`).join("\n")}`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = selection.signal.aborted ? 130 : Math.min(failed, 1);

async function passes(trial: Trial): Promise<boolean> {
  console.log(`${trial.name}: ${trial.summary}`);
  const startMs = performance.now();
  const result = await inFolder(selection, (context) => trial.run(context)).catch((error: unknown): TrialResult => ({
    figures: [],
    failures: [inspect(error, { depth: 8 })],
  }));
  const seconds = (performance.now() - startMs) / 1000;
  const missed = missedBars(result.figures, selection.short);
  const notCounted = missed.flatMap(({ text, isCounted }) => (isCounted ? [] : [text]));
  const failures = [...result.failures, ...missed.flatMap(({ text, isCounted }) => (isCounted ? [text] : []))];

  if (result.figures.length > 0) printTable(tableOf(result.figures));
  for (const text of notCounted) console.log(`  missed (not counted in a short run): ${text}`);
  for (const failure of failures) console.log(`  FAILED: ${failure}`);
  console.log(`  ${failures.length === 0 ? "passed" : "failed"} in ${seconds.toFixed(1)} s\n`);
  await keep("trials", trial.name, { short: selection.short, seconds, figures: result.figures, failures, notCounted });
  return failures.length === 0;
}

function tableOf(figures: readonly Figure[]): Table {
  const rows = figures.map(({ name, value, unit, reference, bar }) => ({
    figure: name,
    value,
    unit,
    asked: bar === undefined ? "" : "atLeast" in bar ? `>= ${formatCell(bar.atLeast)}` : `<= ${formatCell(bar.atMost)}`,
    reference: reference === undefined ? "" : `${formatCell(reference.value)} (${reference.name})`,
  }));
  return { title: "", rows };
}

function runs(program: string, args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

/** Tried, because root in a container often may not. */
function canMountTmpfs(): boolean {
  const folder = mkdtempSync(join(tmpdir(), "everwrite-tmpfs-"));
  const mounted = process.platform === "linux" && runs("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]);
  if (mounted) runs("umount", [folder]);
  rmdirSync(folder);
  return mounted;
}
