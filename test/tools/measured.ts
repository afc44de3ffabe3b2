/**
 * What the runners of trials and benches share: finding them, giving each a folder, printing tables, keeping results.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { availableParallelism, cpus, totalmem } from "node:os";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { readArguments } from "./arguments.ts";
import type { Context, Table } from "./trial.ts";

type Named = { readonly name: string; readonly summary: string };

export interface Selection<T> {
  readonly chosen: readonly T[];
  readonly short: boolean;
  readonly signal: AbortSignal;
}

/**
 * Imports what the built modules of `dist/test/FOLDER` export as `exportName`, and picks what the command line names.
 * An unknown name ends the program: a typing error must not look like a pass.
 */
export async function select<T extends Named>(folder: string, exportName: string): Promise<Selection<T>> {
  const found = await load<T>(resolve("dist/test", folder), exportName);
  const known = `There are:\n${found.map(({ name, summary }) => `  ${name}: ${summary}`).join("\n") || "  none"}`;
  const usage = `usage: npm run ${folder} -- [--short] [NAME...]: all, or those that are named. ${known}`;
  const { values, positionals } = readArguments(usage, { short: { type: "boolean", default: false } });
  const unknown = positionals.filter((name) => found.every((each) => each.name !== name));
  if (unknown.length > 0) {
    console.error(`Unknown: ${unknown.join(", ")}. ${known}`);
    console.log("0 passed, 1 failed");
    process.exit(2);
  }
  return {
    chosen: positionals.length === 0 ? found : found.filter(({ name }) => positionals.includes(name)),
    short: values.short,
    signal: stopSignal(),
  };
}

async function load<T extends Named>(folder: string, exportName: string): Promise<T[]> {
  const files = (await readdir(folder).catch(emptyIfMissing)).filter((file) => file.endsWith(".js")).toSorted();
  const modules = files.map(async (file) => {
    const module = (await import(pathToFileURL(join(folder, file)).href)) as Record<string, T | undefined>;
    const exported = module[exportName];
    if (exported === undefined) throw new Error(`${join(folder, basename(file))} exports no \`${exportName}\``);
    return exported;
  });
  return await Promise.all(modules);
}

function emptyIfMissing(error: NodeJS.ErrnoException): string[] {
  if (error.code === "ENOENT") return [];
  throw error;
}

/** Aborts at the first Ctrl-C; the second ends the program at once. */
function stopSignal(): AbortSignal {
  const stopper = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      if (stopper.signal.aborted) process.exit(130);
      stopper.abort();
    });
  }
  return stopper.signal;
}

/** Runs one with an empty folder of its own. The folder is on the disk of the project: a temporary one is often memory. */
export async function inFolder<R>(selection: Selection<unknown>, run: (context: Context) => Promise<R>): Promise<R> {
  await mkdir(".everwrite", { recursive: true });
  const folder = await mkdtemp(resolve(".everwrite", "run-"));
  const { short, signal } = selection;
  try {
    return await run({ short, signal, folder, log: (line) => console.log(`  … ${line}`) });
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Writes `.everwrite/KIND/NAME.json`, with what is needed to compare it with another machine's. */
export async function keep(kind: string, name: string, result: object): Promise<void> {
  const folder = join(".everwrite", kind);
  await mkdir(folder, { recursive: true });
  const machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
  const kept = { name, at: new Date().toISOString(), machine, ...result };
  await writeFile(join(folder, `${name}.json`), `${JSON.stringify(kept, undefined, 2)}\n`);
}

export function printTable({ title, rows }: Table): void {
  const columns = Object.keys(rows[0] ?? {});
  const lines = [columns, ...rows.map((row) => columns.map((column) => formatCell(row[column])))];
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)));
  const isNumeric = columns.map((column) => rows.every((row) => typeof row[column] === "number"));
  if (title !== "") console.log(`  ${title}`);
  for (const line of lines) {
    const cells = line.map((cell, index) => {
      const width = widths[index] ?? 0;
      return isNumeric[index] ? cell.padStart(width) : cell.padEnd(width);
    });
    console.log(`    ${cells.join("  ").trimEnd()}`);
  }
}

/** Four digits that count, so that a table can be read down. */
export function formatCell(value: string | number | undefined): string {
  if (typeof value !== "number") return value ?? "";
  if (Number.isInteger(value) || Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return Number(value.toPrecision(4)).toString();
}
