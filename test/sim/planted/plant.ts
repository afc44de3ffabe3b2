/** A copy of the built program with one mutation in it, and the swarm or the stories run on it in a process of its own. */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setPriority } from "node:os";
import { join } from "node:path";
import { drawScenario } from "../draw.ts";
import { simulate } from "../simulate.ts";
import type { Mutation } from "./mutations.ts";

export interface Found {
  /** The first that fails with the mutation and passes without; undefined: not within the runs. */
  readonly seed: string | undefined;
  readonly rule: string;
  readonly runs: number;
}

/** Beside the original, where its packages are found too. */
const dist = join(import.meta.dirname, "..", "..", "..");
const main = join("test", "sim", "main.js");
const lowestPriority = 19;

/** @throws Error when the mutation cannot be planted, or the simulator itself breaks. */
export function findPlanted(mutation: Mutation, runs: number): Promise<Found> {
  return planted(mutation, async (folder) => {
    let next = 1;
    while (next <= runs) {
      const profile = mutation.profile === undefined ? [] : ["--profile", mutation.profile];
      const args = ["--seed", String(next), "--runs", String(runs - next + 1), ...profile];
      const output = await run(join(folder, main), [...args, "--threads", "1", "--first"]);
      const done = /^(\d+) runs/m.exec(output)?.[1];
      if (done === undefined) throw new Error(`the simulator did not end well:\n${output.slice(-2_000)}`);
      const [, failed, rule] = /^FAILED seed (\S+):[^]*?^ {2}broken: (.*)$/m.exec(output) ?? [];
      if (failed === undefined || rule === undefined) break;
      const number = Number(/\d+$/.exec(failed)![0]);
      // A seed that fails without the mutation says nothing about it.
      const { violation } = await simulate(drawScenario(failed));
      if (violation === undefined) return { seed: failed, rule, runs: number };
      next = number + 1;
    }
    return { seed: undefined, rule: "", runs };
  });
}

/** Names of those stories that hold no more with the mutation. */
export async function storiesBroken(mutation: Mutation, names: readonly string[]): Promise<string[]> {
  // Without a story the program would run a swarm.
  if (names.length === 0) return [];
  return planted(mutation, async (folder) => {
    const output = await run(
      join(folder, main),
      names.flatMap((name) => ["--story", name]),
    );
    return names.filter((name) => output.includes(`${name}\n    broken: `));
  });
}

/** The text of a built file with the mutation in it. @throws Error when its place is not found exactly once. */
export function mutated({ file, find, replace }: Mutation): string {
  const text = readFileSync(join(dist, "core", file), "utf8");
  const times = text.split(find).length - 1;
  if (times !== 1) throw new Error(`its text occurs ${times} times in core/${file}`);
  return text.replace(find, () => replace);
}

async function planted<T>(mutation: Mutation, work: (folder: string) => Promise<T>): Promise<T> {
  const text = mutated(mutation);
  const folder = mkdtempSync(join(dist, "planted-"));
  try {
    const isProgram = (path: string): boolean => !/\.(d\.ts|map)$/.test(path);
    const ofTests = ["sim", join("support", "test-identity.js"), join("tools", "arguments.js")];
    for (const part of ["core", ...ofTests.map((each) => join("test", each))]) {
      cpSync(join(dist, part), join(folder, part), { recursive: true, filter: isProgram });
    }
    writeFileSync(join(folder, "core", mutation.file), text);
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    if (child.pid !== undefined) setPriority(child.pid, lowestPriority);
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes: Buffer) => (output += bytes));
    child.on("error", reject);
    child.on("close", () => resolve(output));
  });
}
