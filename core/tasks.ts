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
  readonly #running = new Set<Promise<void>>();
  readonly #stops = new Set<Stop>();
  readonly #wakes = new Set<() => void>();
  #stopped = false;

  constructor(deps: { readonly clock: Clock; readonly telemetry: Telemetry }) {
    this.#clock = deps.clock;
    this.#telemetry = deps.telemetry;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Starts `work` and looks after it. After `stop` nothing starts. */
  run(name: string, work: () => Promise<unknown>): void {
    if (this.#stopped) return;
    const end = (): void => {
      this.#running.delete(running);
    };
    const running = work().then(end, (error: unknown) => {
      end();
      if (!this.#stopped) this.#telemetry.event({ kind: "task-failed", task: name, reason: reasonOf(error) });
    });
    this.#running.add(running);
  }

  /** Runs `work` again and again, `intervalMs` after it ended, until stopped. */
  every(name: string, intervalMs: number, work: () => Promise<unknown>): void {
    const again = async (): Promise<void> => {
      try {
        await work();
      } finally {
        if (!this.#stopped) this.after(intervalMs, () => this.run(name, again));
      }
    };
    this.run(name, again);
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
      void Promise.all(this.#running).then(() => {
        stopTimer();
        resolve();
      });
    });
  }
}

/** Expected failures in one line, bugs with their stack. */
export function reasonOf(error: unknown): string {
  const expected = [StoreError, TransportError, StorageError, DecodeError];
  if (expected.some((kind) => error instanceof kind)) return (error as Error).message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
