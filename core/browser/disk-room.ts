/**
 * Whether a disk that was full has room again. A page is not told; it has to try. Not with IndexedDB itself: LevelDB, in
 * Chromium, loses the database where it begins to write and cannot end it (indexeddb-database.ts).
 * Invariants: one try at a time, also where the browser never answers it; after a no none for some seconds, since each
 * writes to a disk that has no room.
 */
import type { Clock } from "../ports.ts";

/** Twice what LevelDB keeps in memory, and writes at once when it ends a log. */
const roomBytes = 8 * 1024 * 1024;
const name = "everwrite/room";
/** Asked of nobody. */
const address = "https://everwrite.invalid/";
/** Chromium 156 takes 30 ms. Other tabs take a store over whose storage does not answer within a second. */
const limitMs = 500;
const pauseMs = 3_000;

interface Try {
  readonly hasRoom: Promise<boolean>;
  endedMs?: number;
}

export class DiskRoom {
  readonly #clock: Clock;
  #last: Try | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True also where a page has nothing to try with. What comes too late for one who asks is told to the next. */
  async isThere(): Promise<boolean> {
    const { endedMs } = this.#last ?? {};
    if (endedMs !== undefined && this.#clock.now() - endedMs >= pauseMs) this.#last = undefined;
    const { hasRoom } = (this.#last ??= this.#try());
    let stop = (): void => {};
    const late = new Promise<false>((resolve) => {
      stop = this.#clock.after(limitMs, () => resolve(false));
    });
    const isThere = await Promise.race([hasRoom, late]);
    stop();
    // Room is soon gone: who asks after this tries anew.
    if (isThere) this.#last = undefined;
    return isThere;
  }

  #try(): Try {
    const last: Try = {
      hasRoom: tried().finally(() => {
        last.endedMs = this.#clock.now();
      }),
    };
    return last;
  }
}

/** Gives back what a page has left behind that ended in the middle of a try. Nobody needs to wait for it. */
export async function endRoomTries(): Promise<void> {
  try {
    await cachesOfPage()?.delete(name);
  } catch {
    // The next opening does it.
  }
}

async function tried(): Promise<boolean> {
  try {
    const cache = await cachesOfPage()?.open(name);
    await cache?.put(address, new Response(new Uint8Array(roomBytes)));
    return true;
  } catch (error: unknown) {
    // Whatever else it says: a place where nothing can be kept is no place to go on.
    return isForbidden(error);
  } finally {
    await endRoomTries();
  }
}

/** Undefined over plain http. */
function cachesOfPage(): CacheStorage | undefined {
  return (globalThis as { readonly caches?: CacheStorage }).caches;
}

/** The page may keep nothing there, with or without room. */
function isForbidden(error: unknown): boolean {
  return error instanceof DOMException && (error.name === "SecurityError" || error.name === "NotSupportedError");
}
