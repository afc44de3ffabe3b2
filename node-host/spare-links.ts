/**
 * A second name for each file of a LevelDB, so that its deletions take no time.
 *
 * LevelDB deletes what a compaction has replaced, about a dozen files at once, under the lock that each read takes to see
 * the latest write: in the event loop. Freeing a file's blocks takes milliseconds on a journalled disk that others flush
 * (measured: 5 ms a file, stalls of 140 ms), dropping one of two names 0.04 ms. The last name goes here, off the loop.
 * Invariants: nothing is kept longer than a sweep after LevelDB has deleted it; data depends on none of this, and where
 * the disk knows no links, all is as without.
 */
import { link, mkdir, readdir, rm, stat, unlink } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./classic-errors.ts";

/** LevelDB looks at no directories in its own, and what it is asked to delete is most often older than this. */
const folderName = "links";
const sweepMs = 500;

export class SpareLinks {
  readonly #directory: string;
  readonly #folder: string;
  readonly #linked = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #sweptMs = -1;

  constructor(directory: string) {
    this.#directory = directory;
    this.#folder = join(directory, folderName);
  }

  /** Begins, having forgotten what a run that was killed has left. */
  async open(): Promise<void> {
    await this.#clear();
    await mkdir(this.#folder).then(
      () => this.#arm(),
      () => this.#clear(),
    );
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#sweeping;
    clearTimeout(this.#timer);
    await this.#clear();
  }

  /** What it cannot remove now takes space, and goes at the next opening. */
  async #clear(): Promise<void> {
    const done = (): void => {};
    await rm(this.#folder, { recursive: true, force: true }).then(done, done);
  }

  #arm(): void {
    this.#timer = setTimeout(() => {
      this.#sweeping = this.#sweep().then(
        () => this.#arm(),
        () => this.#clear(), // what this disk cannot do, LevelDB does without
      );
    }, sweepMs).unref();
  }

  async #sweep(): Promise<void> {
    // Of the directory: changes with each name that comes or goes.
    const { mtimeMs } = await stat(this.#directory);
    if (mtimeMs === this.#sweptMs) return;
    const names = new Set((await readdir(this.#directory)).filter((name) => /^\d+\.(ldb|log)$/.test(name)));
    for (const name of names) if (!this.#linked.has(name)) await this.#link(name);
    for (const name of this.#linked) if (!names.has(name)) await this.#drop(name);
    this.#sweptMs = mtimeMs;
  }

  async #link(name: string): Promise<void> {
    try {
      await link(join(this.#directory, name), join(this.#folder, name));
      this.#linked.add(name);
    } catch (error: unknown) {
      // Deleted since it was listed.
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }

  async #drop(name: string): Promise<void> {
    await unlink(join(this.#folder, name));
    this.#linked.delete(name);
  }
}
