/** Many seeds on all cores, and what they add up to. */
import { Worker } from "node:worker_threads";
import type { Report } from "./simulate.ts";

export interface SwarmOptions {
  readonly seeds: readonly string[];
  /** No new seed is begun after this time. */
  readonly minutes: number;
  /** After the first failure no new seed is begun. */
  readonly stopAtFailure: boolean;
  readonly threads: number;
  readonly onReport: (report: Report) => void;
}

/** For what is young: most of a run is gone soon, and with less room much of it would be moved first. */
const youngMegabytes = 192;

export async function swarm({ seeds, minutes, stopAtFailure, threads, onReport }: SwarmOptions): Promise<void> {
  const deadlineMs = performance.now() + minutes * 60_000;
  const waiting = seeds.values();
  let over = false;
  const lane = async (): Promise<void> => {
    const worker = new Worker(new URL("./worker.js", import.meta.url), {
      resourceLimits: { maxYoungGenerationSizeMb: youngMegabytes },
    });
    try {
      while (!over && performance.now() < deadlineMs) {
        const { value: seed, done } = waiting.next();
        if (done === true) break;
        const report = await runOne(worker, seed);
        onReport(report);
        if (report.violation !== undefined && stopAtFailure) over = true;
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: Math.min(threads, seeds.length) }, lane));
}

function runOne(worker: Worker, seed: string): Promise<Report> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      worker.off("message", heard);
      worker.off("error", failed);
    };
    const heard = (report: Report): void => {
      end();
      resolve(report);
    };
    const failed = (error: Error): void => {
      end();
      reject(new Error(`seed ${seed} broke the simulator`, { cause: error }));
    };
    worker.on("message", heard);
    worker.on("error", failed);
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(seed);
  });
}

/** Sums of many reports. */
export class Totals {
  runs = 0;
  /** Those with edges. */
  edgeRuns = 0;
  events = 0;
  operations = 0;
  acknowledged = 0;
  reads = 0;
  checks = 0;
  simulatedMs = 0;
  healMsMax = 0;
  entriesCut = 0;
  /** Keys that were not judged exactly, since their clocks were cut by force, and in how many runs. */
  readonly inexact = { keys: 0, runs: 0 };
  delivered = 0;
  updates = 0;
  /** Keys that hosts have forgotten, and in how many runs; the same of those under faults. */
  readonly reaped = { keys: 0, runs: 0, underFaults: 0, runsUnderFaults: 0 };
  readonly failures: Report[] = [];
  /** By kind: how often, and in how many runs. */
  readonly faults = new Map<string, { count: number; runs: number }>();

  add(report: Report): void {
    this.runs += 1;
    if (report.edges > 0) this.edgeRuns += 1;
    this.events += report.events;
    this.operations += report.operations;
    this.acknowledged += report.acknowledged;
    this.reads += report.reads;
    this.checks += report.checks;
    this.simulatedMs += report.simulatedMs;
    this.entriesCut += report.entriesCut;
    this.inexact.keys += report.inexactKeys;
    if (report.inexactKeys > 0) this.inexact.runs += 1;
    this.delivered += report.delivered;
    this.updates += report.updates;
    this.healMsMax = Math.max(this.healMsMax, report.healMs);
    this.reaped.keys += report.reaped.keys;
    this.reaped.underFaults += report.reaped.underFaults;
    if (report.reaped.keys > 0) this.reaped.runs += 1;
    if (report.reaped.underFaults > 0) this.reaped.runsUnderFaults += 1;
    if (report.violation !== undefined) this.failures.push(report);
    for (const [kind, count] of Object.entries(report.faults)) {
      const sum = this.faults.get(kind) ?? { count: 0, runs: 0 };
      sum.count += count;
      sum.runs += 1;
      this.faults.set(kind, sum);
    }
  }
}
