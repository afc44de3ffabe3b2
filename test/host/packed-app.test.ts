/** The package as an application gets it: packed, installed in a fresh folder, compiled with its types, and run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { compile, installPacked, readmeProgram } from "../support/packed-app.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const run = promisify(execFile);
const types = ["--module", "nodenext", "--typeRoots", resolve("node_modules/@types"), "--types", "node"];

/** One rule is in two places. */
const rules = `
import { lww, merge, siblings, yjs } from "everwrite";
import { EverwriteProvider, yjs as same } from "everwrite/yjs";
const names = [merge((all) => all[0]), siblings(), lww(), yjs()].map(({ name }) => name);
console.log(...names, yjs === same && typeof EverwriteProvider === "function");
`;

test("the README's programs compile against the packed package, run, and find their data at the next run", async () => {
  const folder = join(dirname(temporaryDirectory()), "app");
  await mkdir(folder, { recursive: true });
  await installPacked(folder);

  const program = await readmeProgram("### In a Node process of your own");
  await writeFile(join(folder, "app.ts"), program);
  await writeFile(join(folder, "wrong.ts"), program.replace('store.bucket("carts"', 'store.bucket("crats"'));
  const wrong = compile(folder, ["--noEmit", ...types, "wrong.ts"]);
  await assert.rejects(wrong, (error: { stdout?: string }) => /wrong\.ts.*crats/s.test(error.stdout ?? ""));
  await writeFile(join(folder, "usages.ts"), await readmeProgram("### Conflicts your way"));
  await writeFile(join(folder, "rules.ts"), rules);
  await compile(folder, [...types, "app.ts", "usages.ts", "rules.ts"]);

  const first = await run(process.execPath, ["app.js"], { cwd: folder });
  assert.equal(first.stdout, "1 { books: [ 'book 0' ] }\n");
  const second = await run(process.execPath, ["app.js"], { cwd: folder });
  assert.equal(second.stdout, "2 { books: [ 'book 0', 'book 1' ] }\n");
  const usages = await run(process.execPath, ["usages.js"], { cwd: folder });
  assert.equal(usages.stdout, "{ book: 2 } true\n");
  const named = await run(process.execPath, ["rules.js"], { cwd: folder });
  assert.equal(named.stdout, "merge siblings lww yjs true\n");
});
