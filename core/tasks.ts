/**
 * Owner of work that nobody awaits: its failures reach telemetry, and a stopping node waits for it.
 */
import { type Clock, StorageError, type Stop, TransportError } from "./ports.ts";
import { DecodeError } from "./bytes/codec.ts";
import { StoreError } from "./errors.ts";
import type { Telemetry } from "./telemetry.ts";

export class Tasks {
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  /** What runs, by its name. */
  readonly #running = new Map<Promise<void>, string>();
  readonly #stops = new Set<Stop>();
  readonly #wakes = new Set<() => void>();
  /** By interval: the turns that its next beat begins. */
  readonly #beats = new Map<number, (() => void)[]>();
  #stopped = false;
  #isOver = false;

  constructor(deps: { readonly clock: Clock; readonly telemetry: Telemetry }) {
    this.#clock = deps.clock;
    this.#telemetry = deps.telemetry;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** `stop` has ended: what runs still was waited for in vain. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether something of this name runs. */
  isRunning(name: string): boolean {
    return [...this.#running.values()].includes(name);
  }

  /** Starts `work` and looks after it. After `stop` nothing starts. */
  run(name: string, work: () => Promise<unknown>): void {
    if (!this.#stopped) this.mind(name, work());
  }

  /** Looks after work that has begun, also after `stop`. */
  mind(name: string, begun: Promise<unknown>): void {
    const end = (): void => {
      this.#running.delete(running);
    };
    const running = begun.then(end, (error: unknown) => {
      end();
      this.#failed(name, error);
    });
    this.#running.set(running, name);
  }

  #failed(task: string, error: unknown): void {
    if (!this.#stopped) this.#telemetry.event({ kind: "task-failed", task, reason: reasonOf(error) });
  }

  /**
   * Runs `work` again and again, `intervalMs` after it ended, until stopped. An idle node does little else, many times a
   * second: so only work that returns a promise costs one, and a timer of its own when that ends. Whatever is done at once
   * waits for the next beat of its interval, which may be sooner, and comes for all that wait for it together.
   */
  every(name: string, intervalMs: number, work: () => Promise<unknown> | void): void {
    let running: Promise<void> | undefined;
    const ended = (): void => {
      this.#running.delete(running!);
      if (!this.#stopped) this.after(intervalMs, turn);
    };
    const failed = (error: unknown): void => {
      ended();
      this.#failed(name, error);
    };
    const turn = (): void => {
      if (this.#stopped) return;
      try {
        running = work()?.then(ended, failed);
        if (running === undefined) this.#atNextBeat(intervalMs, turn);
        else this.#running.set(running, name);
      } catch (error: unknown) {
        this.#atNextBeat(intervalMs, turn);
        this.#failed(name, error);
      }
    };
    turn();
  }

  #atNextBeat(intervalMs: number, turn: () => void): void {
    if (this.#stopped) return;
    const waiting = this.#beats.get(intervalMs);
    if (waiting !== undefined) return void waiting.push(turn);
    const turns = [turn];
    this.#beats.set(intervalMs, turns);
    const begin = (at: number): void => {
      try {
        turns[at]!();
      } finally {
        // Telemetry that throws keeps no other from its turn.
        if (at + 1 < turns.length) begin(at + 1);
      }
    };
    this.after(intervalMs, () => {
      this.#beats.delete(intervalMs);
      begin(0);
    });
  }

  after(ms: number, run: () => void): Stop {
    const stopTimer = this.#clock.after(ms, () => {
      this.#stops.delete(stop);
      run();
    });
    const stop = (): void => {
      this.#stops.delete(stop);
      stopTimer();
    };
    this.#stops.add(stop);
    return stop;
  }

  /** Calls `run` when the node stops, unless taken back before. */
  onStop(run: () => void): Stop {
    this.#wakes.add(run);
    return () => this.#wakes.delete(run);
  }

  /** Ends early when the node stops. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stopTimer = this.after(ms, () => {
        this.#wakes.delete(wake);
        resolve();
      });
      const wake = (): void => {
        stopTimer();
        resolve();
      };
      this.#wakes.add(wake);
    });
  }

  /** No new work, no timers; resolves when what runs has ended, or `graceMs` later: a peer may never answer. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    for (const wake of this.#wakes) wake();
    for (const stop of this.#stops) stop();
    await new Promise<void>((resolve) => {
      const stopTimer = this.#clock.after(graceMs, resolve);
      void Promise.all(this.#running.keys()).then(() => {
        stopTimer();
        resolve();
      });
    });
    this.#isOver = true;
  }
}

/**
 * Runs lanes of work side by side, until all have ended: after a failure the others are asked to end (`isFailed`), and the
 * first failure is thrown when they have. So nothing goes on, or fails, behind the caller's back.
 */
export async function inLanes(lanes: readonly ((isFailed: () => boolean) => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  const isFailed = (): boolean => failures.length > 0;
  await Promise.all(lanes.map((lane) => lane(isFailed).catch((error: unknown) => void failures.push(error))));
  if (isFailed()) throw failures[0];
}

/** Expected failures in one line, bugs with their stack. */
export function reasonOf(error: unknown): string {
  const expected = [StoreError, TransportError, StorageError, DecodeError];
  if (expected.some((kind) => error instanceof kind)) return (error as Error).message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
