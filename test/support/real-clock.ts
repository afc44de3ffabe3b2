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
