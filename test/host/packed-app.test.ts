/** The package as an application gets it: packed, installed in a fresh folder, compiled with its types, and run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { temporaryDirectory } from "./temporary-directory.ts";

const run = promisify(execFile);
const root = resolve(".");
const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
const compilerOptions = ["--strict", "--target", "es2023", "--module", "nodenext", "--skipLibCheck"];
const nodeTypes = ["--typeRoots", join(root, "node_modules", "@types"), "--types", "node"];

/** The README's own program of a section, so that what it shows is what runs. */
async function readmeProgram(section: string): Promise<string> {
  const readme = await readFile("README.md", "utf8");
  const program = /```ts\n(.*?)```/s.exec(readme.slice(readme.indexOf(`### ${section}`)))?.[1];
  assert.ok(program !== undefined, `the README has a program under "${section}"`);
  return program;
}

test("the README's programs compile against the packed package, run, and find their data at the next run", async () => {
  const folder = join(dirname(temporaryDirectory()), "app");
  await mkdir(folder, { recursive: true });
  const inApp = { cwd: folder };
  // What is built is what runs here: `prepack` would build it away under the running tests.
  const packed = await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  const tarball = packed.stdout.trim().split("\n").at(-1)!;
  const dependencies = { everwrite: `file:${tarball}` };
  await writeFile(join(folder, "package.json"), JSON.stringify({ name: "app", type: "module", dependencies }));
  await run("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund"], inApp);

  const program = await readmeProgram("In a Node process of your own");
  await writeFile(join(folder, "app.ts"), program);
  await writeFile(join(folder, "wrong.ts"), program.replace('store.bucket("carts"', 'store.bucket("crats"'));
  const wrong = run(process.execPath, [tsc, "--noEmit", ...compilerOptions, ...nodeTypes, "wrong.ts"], inApp);
  await assert.rejects(wrong, (error: { stdout?: string }) => /wrong\.ts.*crats/s.test(error.stdout ?? ""));
  await writeFile(join(folder, "usages.ts"), await readmeProgram("Conflicts your way"));
  await run(process.execPath, [tsc, ...compilerOptions, ...nodeTypes, "app.ts", "usages.ts"], inApp);

  const first = await run(process.execPath, ["app.js"], inApp);
  assert.equal(first.stdout, "1 { books: [ 'book 0' ] }\n");
  const second = await run(process.execPath, ["app.js"], inApp);
  assert.equal(second.stdout, "2 { books: [ 'book 0', 'book 1' ] }\n");
  const usages = await run(process.execPath, ["usages.js"], inApp);
  assert.equal(usages.stdout, "{ book: 2 } true\n");
});
