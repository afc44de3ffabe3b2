/**
 * Virtual time: one queue of events ordered by (time, sequence), run one after the other.
 * Invariant: all promise work that an event sets off is done before the next event runs, so the order of everything is a
 * function of the queue alone.
 */
import { hash } from "./chance.ts";

interface Event {
  readonly atMs: number;
  readonly sequence: number;
  readonly label: string;
  run: (() => void) | undefined;
}

/** What happened, newest last; its hash tells two runs apart without keeping them. */
const tailLines = 300;
/** Immediates queued at once: the loop of the machine turns once for all of them. */
const eventsPerTurn = 64;
/** Seeds have some hundred. */
const eventsPerMsMax = 10_000;

export class Schedule {
  readonly #heap: Event[] = [];
  readonly #tail: string[] = [];
  readonly #echo: boolean;
  #sequence = 0;
  #hash = 0;
  /** The present millisecond, and what has happened in it. */
  #busySinceMs = 0;
  #busyWith = 0;
  nowMs = 0;
  eventsRun = 0;

  constructor({ echo = false }: { readonly echo?: boolean } = {}) {
    this.#echo = echo;
  }

  /** Runs `run` in `delayMs`. Returns how to prevent that. */
  after(delayMs: number, label: string, run: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, delayMs), sequence: this.#sequence++, label, run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** A line of the event log. */
  log(line: string): void {
    const text = this.#timed(line);
    this.#hash = hash(text, this.#hash);
    this.#tail.push(text);
    if (this.#tail.length > 2 * tailLines) this.#tail.splice(0, tailLines);
    if (this.#echo) console.log(text);
  }

  get tail(): readonly string[] {
    return this.#tail.slice(-tailLines);
  }

  /** Events that are still to come. */
  get waiting(): number {
    return this.#heap.filter(({ run }) => run !== undefined).length;
  }

  /** So much happens within a millisecond that it never seems to end: somebody calls himself at once, again and again. */
  get isStuck(): boolean {
    return this.#busyWith > eventsPerMsMax;
  }

  /** Of every event and every line so far. */
  get hash(): string {
    return this.#hash.toString(16).padStart(8, "0");
  }

  /** Runs events until one of them makes `isDone` true, the time is reached, or none is left. */
  async run(untilMs: number, isDone: () => boolean = () => false): Promise<void> {
    let failure: { readonly error: unknown } | undefined;
    await new Promise<void>((resolve) => {
      let over = false;
      const fail = (error: unknown): void => {
        failure = { error };
      };
      const turn = (): void => {
        if (over) return;
        over = isDone() || !this.#step(untilMs, fail) || failure !== undefined;
        if (over) resolve();
      };
      // A setImmediate callback begins when the promise work of the one before has ended, to the last microtask.
      const queue = (): void => {
        if (over) return;
        for (let i = 0; i < eventsPerTurn; i++) setImmediate(turn);
        setImmediate(queue);
      };
      queue();
    });
    if (failure !== undefined) throw failure.error;
    if (this.nowMs < untilMs && !isDone()) this.nowMs = untilMs;
  }

  #step(untilMs: number, fail: (error: unknown) => void): boolean {
    let event = this.#heap[0];
    while (event !== undefined && event.run === undefined) {
      this.#pop();
      event = this.#heap[0];
    }
    if (event === undefined || event.atMs > untilMs) return false;
    this.#pop();
    this.nowMs = Math.max(this.nowMs, event.atMs);
    this.eventsRun += 1;
    if (this.nowMs >= this.#busySinceMs + 1) [this.#busySinceMs, this.#busyWith] = [this.nowMs, 0];
    this.#busyWith += 1;
    this.#hash = hash(event.label, this.#hash ^ Math.imul(event.sequence, 0x9e3779b1) ^ Math.floor(event.atMs * 1000));
    // Not in the hash, which tells whether a run that is watched is the one that was not; the event is in it as it is.
    if (this.#echo && !event.label.endsWith(" timer")) console.log(this.#timed(`. ${event.label}`));
    const { run } = event;
    event.run = undefined;
    try {
      run!();
    } catch (error: unknown) {
      fail(error);
    }
    return true;
  }

  #timed(line: string): string {
    return `${this.nowMs.toFixed(3).padStart(12)} ${line}`;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child += 1;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence);
}
