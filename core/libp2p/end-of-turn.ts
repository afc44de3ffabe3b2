/** Runs `flush` once the work of this turn is done, so that all frames of a turn share one write. */
const host = globalThis as { setImmediate?: (run: () => void) => unknown };

export const endOfTurn: (flush: () => void) => void = host.setImmediate ?? queueMicrotask;
