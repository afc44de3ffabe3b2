/**
 * The directories whose LevelDB this process has open. LevelDB's own locks do not serve within one process: one goes by
 * the spelling of the path, and the system's is the whole process's, which even gives it up when it is refused a second one.
 * Invariant: a directory, by whatever name, is held once; by one thread of the process, where the system is Linux. (Elsewhere
 * LevelDB refuses a second thread, too, and then no other process any more.)
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, realpath, stat } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { basename, dirname } from "node:path";
import { StorageError } from "../core/ports.ts";
import { codeOf } from "./classic-errors.ts";

const held = new Set<string>();

export interface HeldDirectory {
  /** Its one name, whatever links lead to it and wherever the process goes. */
  readonly path: string;
  /** No other thread of this process gets it, whatever LevelDB says. */
  readonly isOfOneThread: boolean;
  release(): void;
}

/** Makes it where there is none. @throws StorageError `locked`, or Node's error */
export async function holdDirectory(directory: string): Promise<HeldDirectory> {
  await mkdir(directory, { recursive: true });
  const path = await realpath(directory);
  if (held.has(path)) throw heldAlready(directory, "another store of this process");
  held.add(path);
  let claim: Server | undefined;
  try {
    claim = await claimAmongThreads(path);
  } catch (error: unknown) {
    held.delete(path);
    throw codeOf(error) === "EADDRINUSE" ? heldAlready(directory, "another thread of this process") : error;
  }
  let isHeld = true;
  return {
    path,
    isOfOneThread: claim !== undefined,
    release() {
      // Closing twice must not give up what somebody else holds by now.
      if (!isHeld) return;
      isHeld = false;
      held.delete(path);
      claim?.close();
    },
  };
}

/**
 * An abstract socket: its name is bound once, and is free again when its thread has ended, in whatever way. It has the process in
 * it, and the directory as its parent knows it, which stays the same when it is set aside.
 */
async function claimAmongThreads(path: string): Promise<Server | undefined> {
  if (process.platform !== "linux") return undefined;
  const { dev, ino } = await stat(dirname(path));
  const name = createHash("sha256")
    .update(`${process.pid}/${dev}/${ino}/${basename(path)}`)
    .digest("hex");
  const server = createServer((socket) => socket.destroy()).unref();
  try {
    await once(server.listen({ path: `\0everwrite/${name}`, exclusive: true }), "listening");
    return server;
  } catch (error: unknown) {
    if (codeOf(error) === "EADDRINUSE") throw error;
    return undefined; // no such sockets for this process: then as elsewhere
  }
}

function heldAlready(directory: string, by: string): StorageError {
  return new StorageError(
    "locked",
    `cannot open ${directory}: ${by} has it open: end that one, or use another directory`,
  );
}
