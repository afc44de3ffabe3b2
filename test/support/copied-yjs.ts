/** Another copy of Yjs, as a package that an application depends on may bring it. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type * as Yjs from "yjs";

/** Loads it, and so does what loading does. */
export async function loadCopiedYjs(): Promise<typeof Yjs> {
  const installed = dirname(dirname(fileURLToPath(import.meta.resolve("yjs"))));
  const modules = join(mkdtempSync(join(tmpdir(), "everwrite-test-")), "node_modules");
  process.once("exit", () => rmSync(dirname(modules), { recursive: true, force: true }));
  mkdirSync(modules);
  cpSync(installed, join(modules, "yjs"), { recursive: true });
  symlinkSync(join(dirname(installed), "lib0"), join(modules, "lib0"), "dir");
  return (await import(pathToFileURL(join(modules, "yjs", "dist", "yjs.mjs")).href)) as typeof Yjs;
}
