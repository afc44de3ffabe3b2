/** A place under os.tmpdir() that is gone when the process ends, whatever way its tests went. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const parents: string[] = [];
process.once("exit", () => {
  for (const parent of parents) rmSync(parent, { recursive: true, force: true });
});

/** Path of a directory that does not exist yet, inside a fresh one. */
export function temporaryDirectory(): string {
  const parent = mkdtempSync(join(tmpdir(), "everwrite-test-"));
  parents.push(parent);
  return join(parent, "store");
}
