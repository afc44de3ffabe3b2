/**
 * Who is told of what. A listener that throws is the application's bug: it becomes an unhandled rejection, and harms no other.
 */
import type { StoreError } from "../errors.ts";
import type { Stop } from "../ports.ts";

/** What a Store tells beside its answers, by name. */
export interface StoreEvents {
  /** A value of a `lww()` bucket lost to one that was written without having seen it. */
  readonly conflict: ConflictEvent;
  /**
   * A subscription or watch goes on with difficulty, a value of its cannot be decoded, or a document was closed before its last
   * edits were stored.
   */
  readonly error: ErrorEvent;
}

/** Which value lost; the one that won is what is read now. */
export interface ConflictEvent {
  readonly bucket: string;
  readonly key: string;
  readonly discardedDot: string;
  /** When the discarded value was written, ms since 1970. */
  readonly timeMs: number;
}

/** What went wrong, and where. */
export interface ErrorEvent {
  readonly bucket: string;
  readonly error: StoreError;
}

/** Listeners of one kind of event. */
export class Listeners<Event> {
  readonly #listeners = new Set<{ readonly hear: (event: Event) => void }>();

  /** `present`: told to this one first. The same function may listen several times. */
  add(hear: (event: Event) => void, present?: Event): Stop {
    const listener = { hear };
    this.#listeners.add(listener);
    if (present !== undefined) this.#tellOne(listener, present);
    return () => void this.#listeners.delete(listener);
  }

  get size(): number {
    return this.#listeners.size;
  }

  /** Soon, each by itself; who was taken away meanwhile hears nothing. */
  tell(event: Event): void {
    for (const listener of this.#listeners) this.#tellOne(listener, event);
  }

  #tellOne(listener: { readonly hear: (event: Event) => void }, event: Event): void {
    void Promise.resolve().then(() => {
      if (this.#listeners.has(listener)) listener.hear(event);
    });
  }
}
