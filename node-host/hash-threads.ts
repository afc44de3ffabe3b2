/**
 * Threads that read and hash the pages of a start's scan: reading a page into this thread would take it as long as the whole
 * of hashing it. LevelDB lets the threads of one process share an instance, which belongs to the one that opened it first.
 * Invariant: a page that was asked for is answered, whatever becomes of its thread; the instance must not be closed before `end`
 * has resolved.
 */
import { availableParallelism } from "node:os";
import { isMainThread, Worker } from "node:worker_threads";
import type { HashedPage, HashThreads, PageRequest } from "../core/ports.ts";
import type { FromThread, ToThread } from "./hash-thread.ts";
import { unpackPage } from "./packed-page.ts";

/** One core is left to this thread. */
const threadsMax = 3;
/** One page is read from the disk while another is hashed. */
const lanesOfThread = 2;

/**
 * Undefined where there is no second core, or no threads; and in a thread, which may be terminated, and they with it (see `end`).
 * `location` as the instance was opened.
 */
export function startHashThreads(location: string): ClassicHashThreads | undefined {
  const count = isMainThread ? Math.min(threadsMax, availableParallelism() - 1) : 0;
  const threads: HashThread[] = [];
  try {
    while (threads.length < count) threads.push(new HashThread(location));
  } catch {
    // With fewer, or none, it takes longer.
  }
  return threads.length > 0 ? new ClassicHashThreads(threads) : undefined;
}

export class ClassicHashThreads implements HashThreads {
  readonly lanes: number;
  readonly #threads: readonly HashThread[];

  constructor(threads: readonly HashThread[]) {
    this.#threads = threads;
    this.lanes = threads.length * lanesOfThread;
  }

  get haveEnded(): boolean {
    return this.#threads.every(({ hasEnded }) => hasEnded);
  }

  page(request: PageRequest): Promise<HashedPage | undefined> {
    const [idlest] = this.#threads.toSorted((a, b) => a.load - b.load);
    return idlest!.page(request);
  }

  async end(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }
}

class HashThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (page: HashedPage | undefined) => void>();
  readonly #exit: Promise<void>;
  #asked = 0;
  #isEnding = false;
  hasEnded = false;

  constructor(location: string) {
    // Options of this process may not be those of a thread (`--input-type`).
    this.#worker = new Worker(new URL("./hash-thread.js", import.meta.url), { workerData: location, execArgv: [] });
    // Not before it runs: Node takes it back.
    this.#worker.once("online", () => this.#rest());
    this.#worker.on("message", ({ id, page }: FromThread) => this.#answer(id, page && unpackPage(page)));
    // It could not start, or broke: `exit` follows.
    this.#worker.on("error", () => {});
    this.#exit = new Promise((resolve) => {
      this.#worker.once("exit", () => {
        this.hasEnded = true;
        for (const id of this.#waiting.keys()) this.#answer(id, undefined);
        resolve();
      });
    });
  }

  get load(): number {
    return this.hasEnded || this.#isEnding ? Infinity : this.#waiting.size;
  }

  page(request: PageRequest): Promise<HashedPage | undefined> {
    if (this.load === Infinity) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const id = this.#asked++;
      this.#waiting.set(id, resolve);
      // As a read of this thread: the process goes on until it is answered, but for no thread without work.
      this.#worker.ref();
      this.#tell({ id, request });
    });
  }

  /**
   * Never by `terminate`: an iterator that is just being opened would be left open, and LevelDB ends the process for that when
   * it closes.
   */
  async end(): Promise<void> {
    if (!this.#isEnding && !this.hasEnded) this.#tell("end");
    this.#isEnding = true;
    this.#worker.ref();
    await this.#exit;
  }

  #tell(message: ToThread): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    this.#worker.postMessage(message);
  }

  #answer(id: number, page: HashedPage | undefined): void {
    this.#waiting.get(id)?.(page);
    this.#waiting.delete(id);
    this.#rest();
  }

  #rest(): void {
    if (this.#waiting.size === 0 && !this.#isEnding) this.#worker.unref();
  }
}
