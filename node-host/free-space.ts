/**
 * Keeps room on the disk, so that a write is refused before LevelDB fails: an engine that ran into a full disk must be
 * reopened, and needs room for its log, tables and manifest to do so.
 * Invariant: nothing but what a full disk still takes (`isEssential`) is admitted while, as last seen, less than
 * the headroom is free, and nothing at all in its last quarter. No write waits for a look that may as well be taken beside it.
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
/** Where others write much, that trip takes as long as a flush (380 ms were seen): what is seen so late is good enough meanwhile. */
const lookAgeMsMax = 5_000;
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
  #looking: Promise<number> | undefined;

  constructor(directory: string, headroomBytes: number, ask: AskDisk) {
    this.#directory = directory;
    this.headroomBytes = headroomBytes;
    this.#ask = ask;
  }

  /** Rejects as `full` a write of `bytes` that would eat into the headroom, or into its last quarter. */
  async admit(bytes: number, essential: boolean): Promise<void> {
    const keepBytes = essential ? this.headroomBytes * engineShare : this.headroomBytes;
    const fits = (): boolean => this.#freeBytes - this.#admittedBytes - bytes >= keepBytes;
    const ageMs = performance.now() - this.#lookedAtMs;
    const isUncertain = this.#admittedBytes >= this.headroomBytes * lookAfterShare || ageMs >= lookAgeMsMax;
    if (isUncertain || (ageMs >= lookIntervalMs && !fits())) await this.look();
    else if (ageMs >= lookIntervalMs) this.look().catch(() => this.doubt());
    if (!fits()) throw this.#full();
    this.#admittedBytes += bytes;
  }

  /** Looks now; returns the bytes free. */
  look(): Promise<number> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<number> {
    const seenBytes = this.#admittedBytes;
    try {
      const { bavail, bsize } = await this.#ask(this.#directory);
      this.#freeBytes = bavail * bsize;
    } catch (error: unknown) {
      throw storageError(error, "see the free space of", this.#directory);
    }
    this.#admittedBytes -= seenBytes;
    this.#lookedAtMs = performance.now();
    return this.#freeBytes;
  }

  /** A write has failed: whatever was seen before, the next write looks first. */
  doubt(): void {
    this.#lookedAtMs = -Infinity;
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
