/**
 * `npm test [-- --unit] [-- FILTER...]`: runs the built test files, each in a process of its own.
 * A filter is a part of a file's path. The last line is `N passed, N failed`.
 * Keeps: what did not run did not pass. A file without a test, a skipped test and an empty run are failures.
 */
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve, sep } from "node:path";
import { run } from "node:test";
import { inspect, styleText } from "node:util";
import { readArguments } from "./arguments.ts";

/** Against hanging only, so far above what any file may take. */
const fileTimeoutMs = 10 * 60_000;
/** Files at once. Tests of hosts start processes themselves, so more than this only makes them slow. */
const concurrency = Math.min(4, availableParallelism());
/** Fast, and without processes or sockets: for every commit. */
const unitFolders = ["core/", "sim/planted/places", "tidy"];

interface FileReport {
  readonly file: string;
  passed: number;
  readonly failures: { readonly test: string; readonly detail: string }[];
  output: string;
}

// For the test processes: their failures name lines of the source.
process.env["NODE_OPTIONS"] ??= "--enable-source-maps";

const root = resolve("dist/test");
const { values: options, positionals: filters } = readArguments(
  "usage: npm test -- [--unit] [FILTER...]: all test files, or those that have a filter in their path",
  { unit: { type: "boolean", default: false } },
);
const stopper = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopper.abort());

const startMs = performance.now();
const files = findTests();
const reports = await runAll(files);
printSummary();

function findTests(): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".test.js"))
    .map((file) => file.replaceAll(sep, "/"))
    .filter((file) => !options.unit || unitFolders.some((folder) => file.startsWith(folder)))
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .toSorted();
}

async function runAll(all: readonly string[]): Promise<FileReport[]> {
  const waiting = [...all];
  const done: FileReport[] = [];
  const lane = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined && !stopper.signal.aborted; file = waiting.shift()) {
      const fileStartMs = performance.now();
      const report = await runFile(file);
      if (stopper.signal.aborted) return;
      done.push(report);
      printFile(report, performance.now() - fileStartMs);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, lane));
  return done;
}

async function runFile(file: string): Promise<FileReport> {
  const path = join(root, file);
  const report: FileReport = { file, passed: 0, failures: [], output: "" };
  const fail = (test: string, detail: string): void => void report.failures.push({ test, detail });
  // Events come in the order of the source: a test's parents follow it, so the path is known only from its start.
  const names: string[] = [];
  let last = "none";

  for await (const event of run({ files: [path], timeout: fileTimeoutMs, signal: stopper.signal })) {
    if (event.type === "test:stdout" || event.type === "test:stderr") report.output += event.data.message;
    // A throw after a test ended is a diagnostic of the runner and nothing else; so are its totals.
    if (event.type === "test:diagnostic" && !/^\w+ [\d.]+$/.test(event.data.message)) {
      report.output += `${event.data.message}\n`;
    }
    if (event.type === "test:start") names.splice(event.data.nesting, Infinity, event.data.name);
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;

    const { data } = event;
    const test = [...names.slice(0, data.nesting), data.name].join(" > ");
    // The runner reports a whole file as a test only if the file reported none, or died.
    if (data.nesting === 0 && resolve(data.name) === path) {
      if (event.type === "test:pass") fail("the file", "holds no test, or ended before its first one did");
      else fail("the file", `${describeEnd(event.data.details.error)}\nlast test that ended: ${last}`);
    } else if (data.skip !== undefined || data.todo !== undefined) {
      fail(test, "is skipped: make it run everywhere, or make it a trial, which may say what it needs");
    } else if (event.type === "test:fail") {
      if (!failedByChildren(event.data.details.error)) fail(test, describe(event.data.details.error));
    } else if (data.details.type !== "suite") {
      report.passed += 1;
    }
    last = test;
  }
  return report;
}

function failedByChildren(error: unknown): boolean {
  return (error as { failureType?: string }).failureType === "subtestsFailed";
}

/** Also how the process ended: when each test passed, the runner tells no other cause. */
function describeEnd(error: Error): string {
  const { exitCode, signal } = error as { readonly exitCode?: number | null; readonly signal?: string | null };
  return `${describe(error)}: its process ended with ${signal ?? `exit code ${exitCode ?? "unknown"}`}`;
}

/** The runner wraps what a test threw; its own frames below the test's say nothing. */
function describe(error: Error): string {
  const detail = inspect(error.cause ?? error, { depth: 8, colors: process.stdout.isTTY });
  return detail.replaceAll(/\n.* at .*\bnode:(?:internal\/|async_hooks).*?(?= \{$|$)/gm, "");
}

function printFile({ file, passed, failures, output }: FileReport, ms: number): void {
  const mark = failures.length === 0 ? paint("green", "ok  ") : paint("red", "FAIL");
  const name = file.replace(/\.test\.js$/, "");
  console.log(`${mark} ${String(passed).padStart(4)} passed ${seconds(ms).padStart(8)}  ${name}`);
  if (failures.length === 0) return;
  for (const { test, detail } of failures) console.log(indent(`${paint("red", test)}\n${indent(detail)}`));
  if (output) console.log(indent(`${paint("yellow", "what it printed")}\n${indent(output.trimEnd())}`));
}

function printSummary(): void {
  const passed = reports.reduce((sum, report) => sum + report.passed, 0);
  let failed = reports.reduce((sum, report) => sum + report.failures.length, 0);
  console.log(`\n${reports.length} of ${files.length} files in ${seconds(performance.now() - startMs)}`);
  if (stopper.signal.aborted) console.log("Interrupted.");
  const broken = reports.filter((report) => report.failures.length > 0).map((report) => report.file);
  if (broken.length > 0) console.log(`Again: npm test -- ${broken.map((file) => file.replace(/\.js$/, "")).join(" ")}`);
  if (files.length === 0) console.log(`No test file matches ${[...filters, options.unit ? "--unit" : ""].join(" ")}.`);
  // A run that was cut short, or in which no test ran, has shown nothing.
  if (failed === 0 && (stopper.signal.aborted || passed === 0)) failed = 1;
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = stopper.signal.aborted ? 130 : Math.min(failed, 1);
}

function paint(color: "green" | "red" | "yellow", text: string): string {
  return process.stdout.isTTY ? styleText(color, text) : text;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "       ");
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
