/**
 * Keeps room on the disk, so that a write is refused before LevelDB fails: an engine that ran into a full disk must be
 * reopened, and needs room for its log, tables and manifest to do so.
 * Invariant: nothing but what a full disk still takes (`isEssential`) is admitted while, as last seen, less than
 * the headroom is free, and nothing at all in its last quarter.
 */
import { StorageError } from "../core/ports.ts";
import { storageError } from "./classic-errors.ts";

/** What `statfs` answers: of `blocks` blocks of `bsize` bytes, `bavail` are free for this user. */
export interface Disk {
  readonly blocks: number;
  readonly bavail: number;
  readonly bsize: number;
}
export type AskDisk = (path: string) => Promise<Disk>;

/** Free space changes under us (other programs), but asking costs a trip to the thread pool. */
const lookIntervalMs = 200;
/** A burst is looked at again after this share of the headroom, however short the time. */
const lookAfterShare = 1 / 8;
/** Of the headroom, this is for LevelDB alone. */
const engineShare = 1 / 4;

export class FreeSpace {
  readonly headroomBytes: number;
  readonly #directory: string;
  readonly #ask: AskDisk;
  #freeBytes = 0;
  #admittedBytes = 0;
  #lookedAtMs = -Infinity;

  constructor(directory: string, headroomBytes: number, ask: AskDisk) {
    this.#directory = directory;
    this.headroomBytes = headroomBytes;
    this.#ask = ask;
  }

  /** Rejects as `full` a write of `bytes` that would eat into the headroom, or into its last quarter. */
  async admit(bytes: number, essential: boolean): Promise<void> {
    if (this.#isStale()) await this.look();
    const keepBytes = essential ? this.headroomBytes * engineShare : this.headroomBytes;
    const left = this.#freeBytes - this.#admittedBytes - bytes;
    if (left < keepBytes) throw this.#full();
    this.#admittedBytes += bytes;
  }

  /** Looks now; returns the bytes free. */
  async look(): Promise<number> {
    try {
      const { bavail, bsize } = await this.#ask(this.#directory);
      this.#freeBytes = bavail * bsize;
    } catch (error: unknown) {
      throw storageError(error, "see the free space of", this.#directory);
    }
    this.#admittedBytes = 0;
    this.#lookedAtMs = performance.now();
    return this.#freeBytes;
  }

  /** A write has failed: whatever was seen before, the next write looks first. */
  doubt(): void {
    this.#lookedAtMs = -Infinity;
  }

  #isStale(): boolean {
    return (
      performance.now() - this.#lookedAtMs >= lookIntervalMs ||
      this.#admittedBytes >= this.headroomBytes * lookAfterShare
    );
  }

  #full(): StorageError {
    const mebibytes = (bytes: number) => (bytes / 1024 / 1024).toFixed(1);
    return new StorageError(
      "full",
      `cannot write ${this.#directory}: ${mebibytes(this.#freeBytes)} MiB free for it, ` +
        `${mebibytes(this.headroomBytes)} MiB are kept as headroom: make room, or let it have more`,
      { nothingWritten: true },
    );
  }
}
