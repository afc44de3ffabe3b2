/** The machine's clock as a port, for tests against real sockets. */
import type { Clock } from "../../core/ports.ts";

/**
 * A deadline that comes so much too late finds that the process stood still, and with it all whose answers it is waiting
 * for in tests: these get as long once more. Else a busy machine ends requests that nobody has kept waiting.
 */
const stoodStillMs = 100;

export const realClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(ms, run) {
    const dueMs = performance.now() + ms;
    const fire = (): void => {
      // Messages in memory are short timers, which come first.
      if (ms < stoodStillMs || performance.now() - dueMs < stoodStillMs) run();
      else timer = setTimeout(run, stoodStillMs);
    };
    let timer = setTimeout(fire, ms);
    return () => clearTimeout(timer);
  },
};

/** The machine's, but what it believes of the time of day is wrong by `offMs`, which may be changed. */
export function clockOff(offMs: number): Clock & { offMs: number } {
  return {
    ...realClock,
    offMs,
    wallTime() {
      return Date.now() + this.offMs;
    },
  };
}
