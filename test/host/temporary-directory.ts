/** A place under os.tmpdir() that is gone when the process ends, whatever way its tests went. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Path of a directory that does not exist yet, inside a fresh one. */
export function temporaryDirectory(): string {
  const parent = mkdtempSync(join(tmpdir(), "everwrite-test-"));
  process.once("exit", () => rmSync(parent, { recursive: true, force: true }));
  return join(parent, "store");
}
