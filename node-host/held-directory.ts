/**
 * The directories whose LevelDB this process has open. LevelDB's own locks do not serve within one process: one goes by
 * the spelling of the path, and the system's is the whole process's, which even gives it up when it is refused a second one.
 * Invariant: a directory, by whatever name, is held once.
 */
import { mkdir, realpath } from "node:fs/promises";
import { StorageError } from "../core/ports.ts";

const held = new Set<string>();

export interface HeldDirectory {
  /** Its one name, whatever links lead to it and wherever the process goes. */
  readonly path: string;
  release(): void;
}

/** Makes it where there is none. @throws StorageError `locked`, or Node's error */
export async function holdDirectory(directory: string): Promise<HeldDirectory> {
  await mkdir(directory, { recursive: true });
  const path = await realpath(directory);
  if (held.has(path)) {
    throw new StorageError("locked", `cannot open ${directory}: another store of this process has it open`);
  }
  held.add(path);
  let isHeld = true;
  return {
    path,
    release() {
      // Closing twice must not give up what somebody else holds by now.
      if (isHeld) held.delete(path);
      isHeld = false;
    },
  };
}
