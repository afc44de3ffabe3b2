/** The machine's clock as a port, for tests against real sockets. */
import type { Clock } from "../../core/ports.ts";

export const realClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
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
