/** One demo at a time in a directory: a second one would find its ports taken, give it others, and then its data locked. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** By this process. */
const claimed = new Set<string>();

/** The process that has the directory; undefined: it is this one's now, until it ends. */
export function claimDirectory(directory: string): number | undefined {
  mkdirSync(directory, { recursive: true });
  const file = join(directory, "demo.pid");
  const holder = readPid(file);
  // A container gives the same process numbers again: what another process left behind may have this one's.
  const isLeft = holder === process.pid && !claimed.has(file);
  if (holder !== undefined && !isLeft && isAlive(holder)) return holder;
  claimed.add(file);
  writeFileSync(file, `${process.pid}\n`);
  process.once("exit", () => rmSync(file, { force: true }));
  return undefined;
}

function readPid(file: string): number | undefined {
  try {
    const pid = Number(readFileSync(file, "utf8"));
    return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error: unknown) {
    return (error as NodeJS.ErrnoException).code === "EPERM"; // somebody else's
  }
}
