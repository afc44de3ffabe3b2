/**
 * One run of a host's program, as the machine sees it: its timers and the answers of its ports reach it only while it
 * lives and is not stopped. Killing it between any two of them is a crash at that await: nothing of it ever goes on.
 */
import type { Clock, Stop } from "../../core/ports.ts";
import type { Schedule } from "./schedule.ts";

/** Wall time at the start of a simulation: 2026-01-01. */
const epochMs = 1_767_225_600_000;

/** Time passes while one waits: by less, it would not in numbers of this size, and who waits would wait for ever (seed 43). */
const delayMsMin = 1e-6;

/** What the clock of the machine shows beside true time; it outlives processes. */
export interface MachineClock {
  skewMs: number;
}

export class Process {
  readonly name: string;
  readonly clock: Clock;
  readonly #schedule: Schedule;
  readonly #deferred: (() => void)[] = [];
  readonly #labels = new Map<string, string>();
  /** Called before each step: for crashes between any two of them. */
  onStep: (() => void) | undefined;
  /** From when to when it was stopped, by its own clock. */
  readonly sleeps: (readonly [number, number])[] = [];
  #alive = true;
  #pausedMs: number | undefined;

  /** `startMs`: what its monotonic clock shows at first; each process has its own, so that mixing them up is noticed. */
  constructor(name: string, schedule: Schedule, machine: MachineClock, startMs: number) {
    this.name = name;
    this.#schedule = schedule;
    const offsetMs = startMs - schedule.nowMs;
    this.clock = {
      now: () => schedule.nowMs + offsetMs,
      wallTime: () => wallTime(schedule, machine),
      after: (ms, run) => this.after(ms, "timer", run),
    };
  }

  get alive(): boolean {
    return this.#alive;
  }

  get paused(): boolean {
    return this.#pausedMs !== undefined;
  }

  /** Runs `run` in this process, later; when it is stopped then, as soon as it goes on. */
  after(delayMs: number, label: string, run: () => void): Stop {
    let stopped = false;
    const once = (): void => {
      if (stopped || !this.#alive) return;
      if (this.paused) this.#deferred.push(once);
      else this.#step(run);
    };
    const unschedule = this.#schedule.after(
      delayMs > 0 ? Math.max(delayMs, delayMsMin) : 0,
      this.#labelled(label),
      once,
    );
    return () => {
      stopped = true;
      unschedule();
    };
  }

  #labelled(label: string): string {
    let labelled = this.#labels.get(label);
    if (labelled === undefined) this.#labels.set(label, (labelled = `${this.name} ${label}`));
    return labelled;
  }

  /** Something from outside reaches the process: now, or when it goes on. */
  enter(run: () => void): void {
    if (!this.#alive) return;
    if (this.paused) this.#deferred.push(run);
    else this.#step(run);
  }

  #step(run: () => void): void {
    this.onStep?.();
    if (this.#alive) run();
  }

  kill(): void {
    this.#alive = false;
    this.#deferred.length = 0;
  }

  pause(): void {
    this.#pausedMs ??= this.clock.now();
  }

  resume(): void {
    if (this.#pausedMs !== undefined) this.sleeps.push([this.#pausedMs, this.clock.now()]);
    this.#pausedMs = undefined;
    for (const run of this.#deferred.splice(0)) this.after(0, "catches up", run);
  }
}

export function wallTime(schedule: Pick<Schedule, "nowMs">, machine: MachineClock): number {
  return Math.floor(epochMs + schedule.nowMs + machine.skewMs);
}
