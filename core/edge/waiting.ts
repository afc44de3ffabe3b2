/**
 * Waiting for something to become true, with the two ways out that every call of an application has.
 */
import { StoreError } from "../errors.ts";
import type { CancelSignal, Stop } from "../ports.ts";
import type { WaitOptions } from "../store-node.ts";
import type { Tasks } from "../tasks.ts";

/**
 * Asks `isMet` now and whenever `listen` calls back. `late`: not within `timeoutMs`, or the node stops.
 * @throws StoreError `aborted`
 */
export function untilMet(
  tasks: Tasks,
  { isMet, listen }: { readonly isMet: () => boolean; readonly listen: (heard: () => void) => Stop },
  { signal, timeoutMs }: WaitOptions,
): Promise<"met" | "late"> {
  if (signal?.aborted) return Promise.reject(aborted());
  if (isMet()) return Promise.resolve("met");
  if (tasks.stopped) return Promise.resolve("late");
  return new Promise((resolve, reject) => {
    const stops: Stop[] = [];
    const end = (settle: () => void): void => {
      for (const stop of stops) stop();
      settle();
    };
    const abort = (): void => end(() => reject(aborted()));
    signal?.addEventListener("abort", abort, { once: true });
    stops.push(
      () => signal?.removeEventListener("abort", abort),
      listen(() => {
        if (isMet()) end(() => resolve("met"));
      }),
      tasks.onStop(() => end(() => resolve("late"))),
      timeoutMs === undefined ? () => {} : tasks.after(timeoutMs, () => end(() => resolve("late"))),
    );
  });
}

/** To be asked before a call does anything. @throws StoreError `aborted` */
export function checkNotAborted(signal: CancelSignal | undefined): void {
  if (signal?.aborted) throw aborted();
}

/** The caller stops waiting; what is under way goes on. @throws StoreError `aborted` */
export async function unlessAborted<T>(signal: CancelSignal | undefined, work: Promise<T>): Promise<T> {
  if (signal === undefined) return work;
  let abort = (): void => {};
  const given = new Promise<never>((_resolve, reject) => {
    abort = () => reject(aborted());
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
  });
  try {
    return await Promise.race([work, given]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function aborted(): StoreError {
  return new StoreError("aborted", "cancelled by the caller; a write may still happen");
}
