/**
 * `npm run check`, before each commit: lint, format, dead code and unit tests. The build before it checked the types.
 */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readArguments } from "./arguments.ts";

const usage = `usage: npm run check -- [--no-tests]
Before each commit: lint, format, types, dead code and unit tests; --no-tests where \`npm test\` follows, which has them too.`;

const { values: options } = readArguments(usage, { "no-tests": { type: "boolean", default: false } });

interface Step {
  readonly name: string;
  readonly program: string;
  readonly arguments: readonly string[];
}

const steps: Step[] = [
  { name: "lint", program: binary("oxlint"), arguments: [] },
  { name: "format (npm run format mends it)", program: binary("oxfmt"), arguments: ["--check"] },
  // Use is judged from the public API; there is nothing to judge before it exists.
  ...(existsSync("core/index.ts")
    ? [{ name: "dead code", program: binary("knip"), arguments: ["--no-progress"] }]
    : []),
];

const passed = await Promise.all(steps.map(runStep));
const tests = options["no-tests"]
  ? { code: 0 }
  : await finish(process.execPath, [join(import.meta.dirname, "run-tests.js"), "--unit"], "inherit");
const broken = steps.filter((_, index) => !passed[index]).map((step) => step.name);
if (broken.length > 0) console.log(`Mend before the commit: ${broken.join(", ")}`);
process.exitCode = broken.length === 0 && tests.code === 0 ? 0 : 1;

/** The file behind a package's command, so that it runs without a shell on every platform. */
function binary(packageName: string): string {
  const folder = join("node_modules", packageName);
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { bin: Record<string, string> };
  return join(folder, manifest.bin[packageName] ?? "");
}

async function runStep(step: Step): Promise<boolean> {
  const startMs = performance.now();
  const { code, output } = await finish(process.execPath, [step.program, ...step.arguments], "pipe");
  const time = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`${code === 0 ? "ok  " : "FAIL"} ${step.name}, ${time} s`);
  if (code !== 0) console.log(output.trimEnd());
  return code === 0;
}

function finish(program: string, args: string[], stdio: "pipe" | "inherit"): Promise<{ code: number; output: string }> {
  return new Promise((settle, reject) => {
    const child = spawn(program, args, { stdio });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream?.on("data", (bytes: Buffer) => (output += bytes));
    child.on("error", reject);
    child.on("close", (code) => settle({ code: code ?? 1, output }));
  });
}
