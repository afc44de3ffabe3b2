/** The packed package in a fresh application, and the programs that the README shows. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = resolve(".");
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");

/** `folder` exists, and becomes an application that depends on nothing else. */
export async function installPacked(folder: string): Promise<void> {
  // What is built is what runs here: `prepack` would build it away under the running tests.
  const packed = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  const tarball = packed.stdout.trim().split("\n").at(-1)!;
  const dependencies = { everwrite: `file:${tarball}` };
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "app", type: "module", dependencies }));
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund"], { cwd: folder });
}

/** Names of all packages that are in the application's `node_modules`, at any depth. */
export async function installedIn(folder: string): Promise<string[]> {
  const lock = JSON.parse(await readFile(join(folder, "node_modules", ".package-lock.json"), "utf8")) as {
    packages: Record<string, { name?: string }>;
  };
  return Object.entries(lock.packages).map(([path, { name }]) => name ?? path.replace(/^.*node_modules\//, ""));
}

/** Strictly, the types of the packages as well; rejects with what the compiler says in `stdout`. */
export async function compile(folder: string, options: readonly string[]): Promise<void> {
  const always = ["--strict", "--target", "es2023"];
  await run(process.execPath, [tsc, ...always, ...options], { cwd: folder });
}

/** The first program under a heading, so that what the README shows is what runs. */
export async function readmeProgram(heading: string): Promise<string> {
  const readme = await readFile("README.md", "utf8");
  const at = readme.indexOf(`${heading}\n`);
  const program = at === -1 ? undefined : /```ts\n(.*?)```/s.exec(readme.slice(at))?.[1];
  if (program === undefined) throw new Error(`the README has no program under "${heading}"`);
  return program;
}
