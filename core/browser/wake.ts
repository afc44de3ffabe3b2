/**
 * The moments of a page's life that matter to its connections: sockets look open after a sleep, and to the others when it
 * is gone.
 */
import type { Clock, Stop } from "../ports.ts";

/** How often the clock is looked at, ms, and by how much more it must have jumped: in hidden pages timers come late. */
const lookMs = 1_000;
const jumpMs = 4_000;

/** Calls `run` when the network is back, the page is visible or thawed again, or the machine has slept. */
export function onWake(clock: Clock, run: () => void): Stop {
  const ifVisible = (): void => {
    if (document.visibilityState === "visible") run();
  };
  window.addEventListener("online", run);
  window.addEventListener("pageshow", run);
  document.addEventListener("visibilitychange", ifVisible);
  document.addEventListener("resume", run);
  let lastMs = clock.wallTime();
  let stopTimer: Stop;
  const look = (): void => {
    const nowMs = clock.wallTime();
    if (nowMs - lastMs > lookMs + jumpMs) run();
    lastMs = nowMs;
    stopTimer = clock.after(lookMs, look);
  };
  stopTimer = clock.after(lookMs, look);
  return () => {
    window.removeEventListener("online", run);
    window.removeEventListener("pageshow", run);
    document.removeEventListener("visibilitychange", ifVisible);
    document.removeEventListener("resume", run);
    stopTimer();
  };
}

/**
 * Calls `run` when the page is closed, left or frozen; it may come back (`pageshow`, `resume`). A frozen page keeps its
 * sockets, answers nobody, and does not know for how long.
 */
export function onLeave(run: () => void): Stop {
  window.addEventListener("pagehide", run);
  document.addEventListener("freeze", run);
  return () => {
    window.removeEventListener("pagehide", run);
    document.removeEventListener("freeze", run);
  };
}
