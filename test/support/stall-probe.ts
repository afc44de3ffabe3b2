/**
 * Loaded into a host before anything else (`--import`): tells the process that started it of each time that the event
 * loop did not turn, and how much of it the machine took. Run by itself, it is a process that does nothing else.
 */
import { readFileSync } from "node:fs";

/** A timer that was late. */
export interface Stall {
  /** But for the time that the thread was ready to run and others had the processors. */
  readonly ownMs: number;
  readonly ms: number;
}

const intervalMs = 10;
/** Shorter ones are many, and nobody asks. */
const toldMs = 20;

/** How long this thread has waited for a processor; always 0 where the system does not tell. */
function waitedMs(): number {
  try {
    return Number(readFileSync("/proc/thread-self/schedstat", "utf8").split(" ")[1]) / 1e6;
  } catch {
    return 0; // not Linux
  }
}

if (process.send !== undefined) {
  let last = { atMs: performance.now(), waitedMs: waitedMs() };
  const timer = setInterval(() => {
    const now = { atMs: performance.now(), waitedMs: waitedMs() };
    const ms = now.atMs - last.atMs - intervalMs;
    const stall: Stall = { ms, ownMs: Math.max(0, ms - (now.waitedMs - last.waitedMs)) };
    if (ms > toldMs && process.connected) process.send?.(stall);
    last = now;
  }, intervalMs);
  if (process.argv[2] !== "alone") timer.unref();
}
