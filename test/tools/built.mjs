/**
 * Builds, then runs a built program: `node test/tools/built.mjs [--clean] [--site] [--all-cores] [SOURCE [ARGUMENT]...]`.
 * `--site`: the demo's page, too. `--all-cores`: the program keeps them busy by itself.
 * Plain JavaScript, because it runs before anything is built.
 * Keeps: the program gets each Ctrl-C once, and nothing that it started outlives it.
 */
import { spawn, spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { dirname, join } from "node:path";

const options = process.argv.slice(2, 5).filter((each) => ["--clean", "--site", "--all-cores"].includes(each));
const [source, ...rest] = process.argv.slice(2 + options.length);

// `tsc -b` keeps the output of files that are gone, and a test run would run them.
if (options.includes("--clean")) rmSync("dist", { recursive: true, force: true });
build();
if (source) run(join("dist", source.replace(/\.ts$/, ".js")), rest);

function build() {
  const compiler = findCompiler();
  const programs = compiler ? [[compiler, "-b"]] : [];
  if (options.includes("--site")) programs.push([join("dist", "web-demo", "build", "site.js")]);
  const runs = (program) => spawnSync(process.execPath, program, { stdio: "inherit" }).status === 0;
  if (compiler && programs.every(runs)) return;
  console.error(
    compiler ? "The build failed, so nothing was run." : "Run `npm install` first: there is no compiler yet.",
  );
  // Whoever reads the last line of a test run finds one.
  if (source?.startsWith("test/")) console.log("0 passed, 1 failed");
  process.exit(1);
}

function findCompiler() {
  try {
    return join(dirname(createRequire(import.meta.url).resolve("typescript/package.json")), "bin", "tsc");
  } catch (error) {
    if (error.code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}

function run(program, programArguments) {
  // A group of its own: a terminal sends Ctrl-C to all of a group, npm sends it to its child once more.
  const grouped = process.platform !== "win32";
  // Where threads leave no core to V8's own it compiles and collects in the thread that wants it, optimizes what stays hot for
  // longer, and gives what is young more room. The simulator takes a third less time by that.
  const allCores = ["--single-threaded", "--max-semi-space-size=64"];
  // Later ones have no such setting.
  if (process.version.startsWith("v20.")) allCores.push("--interrupt-budget=540000");
  const engine = options.includes("--all-cores") ? allCores : [];
  const child = spawn(process.execPath, ["--enable-source-maps", ...engine, program, ...programArguments], {
    stdio: "inherit",
    detached: grouped,
  });

  /** Long enough for npm's copy of a signal, too short for a second Ctrl-C by hand. */
  const sameSignalMs = 300;
  let lastSignal = -Infinity;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (performance.now() - lastSignal < sameSignalMs) return;
      lastSignal = performance.now();
      child.kill(signal);
    });
  }

  child.on("exit", (code, signal) => {
    if (grouped) endGroup(child.pid);
    process.exit(code ?? 128 + constants.signals[signal]);
  });
}

function endGroup(groupId) {
  try {
    process.kill(-groupId, "SIGTERM");
  } catch (error) {
    // ESRCH: nobody is left. EPERM: macOS says so of a group of which only the dead are left.
    if (error.code !== "ESRCH" && error.code !== "EPERM") throw error;
  }
}
