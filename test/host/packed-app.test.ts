/** The package as an application gets it: packed, installed in a fresh folder, compiled with its types, and run. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { before, test } from "node:test";
import { promisify } from "node:util";
import { compile, installPacked, readmeProgram } from "../support/packed-app.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const run = promisify(execFile);
const types = ["--module", "nodenext", "--typeRoots", resolve("node_modules/@types"), "--types", "node"];

const folder = join(dirname(temporaryDirectory()), "app");

before(async () => {
  await mkdir(folder, { recursive: true });
  await installPacked(folder);
});

/** The rules by their names; `yjs` is in two places. */
const rules = `
import { lww, merge, siblings, yjs } from "everwrite";
import { EverwriteProvider, yjs as same } from "everwrite/yjs";
const names = [merge((all) => all[0]), siblings(), lww(), yjs()].map(({ name }) => name);
console.log(...names, yjs === same && typeof EverwriteProvider === "function");
`;

const documents = `
import { yjs } from "everwrite";
import { openStore } from "everwrite/node";
await using store = await openStore({ name: "documents" });
const plans = store.bucket("plans", { conflict: yjs() });
await plans.put("trip", Uint8Array.of(0, 0));
const { problems } = await plans.get("trip");
console.log(...problems.map(({ code, message }) => code + ": " + message));
`;

test("the README's programs compile against the packed package, run, and find their data at the next run", async () => {
  const program = await readmeProgram("### In a Node process of your own");
  await writeFile(join(folder, "app.ts"), program);
  await writeFile(join(folder, "wrong.ts"), program.replace('store.bucket("carts"', 'store.bucket("crats"'));
  const wrong = compile(folder, ["--noEmit", ...types, "wrong.ts"]);
  await assert.rejects(wrong, (error: { stdout?: string }) => /wrong\.ts.*crats/s.test(error.stdout ?? ""));
  await writeFile(join(folder, "usages.ts"), await readmeProgram("### Conflicts your way"));
  await compile(folder, [...types, "app.ts", "usages.ts"]);

  const first = await run(process.execPath, ["app.js"], { cwd: folder });
  assert.equal(first.stdout, "1 { books: [ 'book 0' ] }\n");
  const second = await run(process.execPath, ["app.js"], { cwd: folder });
  assert.equal(second.stdout, "2 { books: [ 'book 0', 'book 1' ] }\n");
  const usages = await run(process.execPath, ["usages.js"], { cwd: folder });
  assert.equal(usages.stdout, "{ book: 2 } true\n");
});

test("yjs() is in the entry beside the other rules, and where Yjs is not installed its values are a problem", async () => {
  await writeFile(join(folder, "rules.ts"), rules);
  await writeFile(join(folder, "documents.ts"), documents);
  await compile(folder, [...types, "rules.ts", "documents.ts"]);
  const named = await run(process.execPath, ["rules.js"], { cwd: folder });
  assert.equal(named.stdout, "merge siblings lww yjs true\n");
  await rm(join(folder, "node_modules", "yjs"), { recursive: true });
  const missing = await run(process.execPath, ["documents.js"], { cwd: folder });
  assert.match(missing.stdout, /^bad-request: `yjs\(\)` needs the package yjs: npm install yjs/);
});
