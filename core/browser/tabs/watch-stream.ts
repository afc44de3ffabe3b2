/**
 * A watch as its application sees it, across all owners that serve it one after the other.
 * Invariant: a state that was told is not told again, and no change is passed over: a watch that is begun again tells every
 * key's state, of which those are kept that differ from what was told last.
 */
import type { Watched } from "../../api.ts";
import type { StoreError } from "../../errors.ts";
import type { StoreChange } from "../../store-node.ts";
import { CreditedQueue } from "./credited-queue.ts";

export class WatchStream {
  readonly bucket: string;
  readonly #watched: Watched;
  /** By name, what was told of it last. */
  readonly #told = new Map<string, string>();
  /** Names that were told with values. */
  readonly #shown: Set<string>;
  readonly #queue: CreditedQueue<StoreChange>;
  #begun = 0;

  /** `grant`: gives the owner of the moment more credit. */
  constructor(bucket: string, watched: Watched, grant: (credit: number) => void) {
    this.bucket = bucket;
    this.#watched = watched;
    this.#shown = new Set("name" in watched ? [] : watched.shown);
    this.#queue = new CreditedQueue(grant);
  }

  /** What to ask an owner for: of a new one it is begun again. */
  begin(): { readonly what: Watched; readonly credit: number } {
    this.#begun += 1;
    const what = "name" in this.#watched ? this.#watched : { prefix: this.#watched.prefix, shown: [...this.#shown] };
    return { what, credit: this.#queue.begin() };
  }

  hear(change: StoreChange): void {
    const { name, siblings, deleted, pending } = change;
    const state = `${siblings.map(({ dot }) => dot).join()};${deleted};${pending}`;
    if (this.#told.get(name) === state) return this.#queue.makeRoom();
    if (siblings.length > 0) this.#shown.add(name);
    else this.#shown.delete(name);
    if (siblings.length > 0 || "name" in this.#watched) this.#told.set(name, state);
    else this.#told.delete(name);
    this.#queue.add(this.#begun > 1 && change.origin === "storage" ? { ...change, origin: meanwhile(change) } : change);
  }

  end(error?: StoreError): void {
    this.#queue.end(error);
  }

  /** Nobody wants what waits here. */
  stop(): void {
    this.#queue.stop();
  }

  [Symbol.asyncIterator](): AsyncGenerator<StoreChange> {
    return this.#queue[Symbol.asyncIterator]();
  }
}

/** Found by a later owner: not there when the watch began. What waits for hosts was written here. */
function meanwhile({ pending }: StoreChange): "local" | "remote" {
  return pending ? "local" : "remote";
}
