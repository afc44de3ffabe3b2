/** A disk that really fills up: a small tmpfs, for whoever may mount, and a ballast file that takes what is left. */
import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, statfsSync, appendFileSync } from "node:fs";
import { join } from "node:path";

export class SmallDisk implements Disposable {
  readonly path: string;

  constructor(path: string, mebibytes: number) {
    this.path = path;
    mkdirSync(path, { recursive: true });
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "tmpfs", path]);
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.path);
    return bavail * bsize;
  }

  /** Another program leaves only this much free, or nothing where a third one takes some meanwhile. */
  crowd(leaveBytes: number): void {
    const bytes = this.freeBytes - leaveBytes;
    try {
      if (bytes > 0) appendFileSync(join(this.path, "ballast"), Buffer.alloc(bytes));
    } catch (error: unknown) {
      if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    }
  }

  relieve(): void {
    rmSync(join(this.path, "ballast"), { force: true });
  }

  [Symbol.dispose](): void {
    execFileSync("umount", [this.path]);
  }
}
