/** A copy of the built program with one mutation in it, and the swarm run on it in a process of its own. */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Mutation } from "./mutations.ts";

export interface Found {
  /** Undefined: not within the runs. */
  readonly seed: string | undefined;
  readonly rule: string;
  readonly runs: number;
}

/** Beside the original, where its packages are found too. */
const dist = join(import.meta.dirname, "..", "..", "..");

export async function findPlanted(mutation: Mutation, runs: number): Promise<Found> {
  const folder = mkdtempSync(join(dist, "planted-"));
  try {
    cpSync(join(dist, "core"), join(folder, "core"), { recursive: true });
    cpSync(join(dist, "test", "sim"), join(folder, "test", "sim"), { recursive: true });
    plant(join(folder, "core", mutation.file), mutation);
    const output = await run(join(folder, "test", "sim", "main.js"), ["--runs", String(runs), "--first"]);
    const [, seed, rule] = /^FAILED seed (\d+)[^]*?^ {2}broken: (.*)$/m.exec(output) ?? [];
    const done = /^(\d+) runs/m.exec(output)?.[1];
    if (done === undefined) throw new Error(`the simulator did not end well:\n${output.slice(-2000)}`);
    return { seed, rule: rule ?? "", runs: Number(done) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function plant(path: string, { find, replace }: Mutation): void {
  const text = readFileSync(path, "utf8");
  const times = text.split(find).length - 1;
  if (times !== 1) throw new Error(`its text occurs ${times} times in ${path}`);
  writeFileSync(
    path,
    text.replace(find, () => replace),
  );
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => (output += bytes));
    child.on("error", reject);
    child.on("close", () => resolve(output));
  });
}
