/**
 * The two locks of a store: one that the tab holds which runs the node, and one for each tab, held as long as it is there,
 * whatever it does: a tab that crashes tells nobody, but its lock is free then.
 */
import type { CancelSignal } from "../../ports.ts";
import type { TabId } from "./messages.ts";

export interface HeldLock {
  /** Resolves when it was stolen; not when it was released. */
  readonly stolen: Promise<void>;
  release(): void;
}

export interface TabLocks {
  /**
   * The owner's lock, when it is this tab's turn; with `steal` at once, whoever has it, even if that one is stopped.
   * Undefined: `signal` aborted before.
   */
  own(options: { readonly steal: boolean; readonly signal: CancelSignal }): Promise<HeldLock | undefined>;
  /** Holds this tab's own lock from now on. */
  announce(tab: TabId): Promise<HeldLock>;
  /** Resolves when a tab that has announced itself is gone, or `signal` aborts. */
  gone(tab: TabId, signal: CancelSignal): Promise<void>;
}

export class PageLocks implements TabLocks {
  readonly #name: string;

  constructor(store: string) {
    this.#name = `everwrite/${store}`;
  }

  own({ steal, signal }: { readonly steal: boolean; readonly signal: CancelSignal }): Promise<HeldLock | undefined> {
    return held(this.#name, steal ? { steal } : {}, signal);
  }

  async announce(tab: TabId): Promise<HeldLock> {
    return (await held(`${this.#name}/${tab}`, {}))!;
  }

  async gone(tab: TabId, signal: CancelSignal): Promise<void> {
    (await held(`${this.#name}/${tab}`, { mode: "shared" }, signal))?.release();
  }
}

function held(name: string, options: LockOptions, signal?: CancelSignal): Promise<HeldLock | undefined> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return resolve(undefined);
    const ended = new AbortController();
    const abort = (): void => ended.abort();
    signal?.addEventListener("abort", abort, { once: true });
    let isGranted = false;
    let tellStolen = (): void => {};
    const stolen = new Promise<void>((told) => {
      tellStolen = told;
    });
    const until = (): Promise<void> =>
      new Promise((release) => {
        isGranted = true;
        signal?.removeEventListener("abort", abort);
        resolve({ stolen, release });
      });
    // A request that steals takes no signal: it is granted at once.
    const request = options.steal ? options : { ...options, signal: ended.signal };
    navigator.locks.request(name, request, until).catch((error: unknown) => {
      if (!(error instanceof DOMException) || error.name !== "AbortError") reject(error);
      else if (isGranted) tellStolen();
      else resolve(undefined);
    });
  });
}
