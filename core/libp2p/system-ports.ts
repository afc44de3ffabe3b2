/**
 * The platform's time and chance as ports: the same in Node and in a page.
 */
import type { Clock, Random } from "../ports.ts";

/** `now` stands still while the machine sleeps, in some browsers; `wallTime` tells of it. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

export const systemRandom: Random = {
  next: () => Math.random(),
  bytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
};
