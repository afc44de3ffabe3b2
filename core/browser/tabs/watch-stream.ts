/**
 * A watch as its application sees it, across all owners that serve it one after the other.
 * Invariant: a state that was told is not told again, and no change is passed over: a watch that is begun again tells every
 * key's state, of which those are kept that differ from what was told last.
 */
import type { Watched } from "../../api.ts";
import type { StoreError } from "../../errors.ts";
import type { StoreChange } from "../../store-node.ts";

/** Changes on their way or waiting here: enough that the channel does not slow a long list down. */
const creditMax = 64;
const creditStep = creditMax / 2;

export class WatchStream {
  readonly bucket: string;
  readonly #watched: Watched;
  /** By name, what was told of it last. */
  readonly #told = new Map<string, string>();
  /** Names that were told with values. */
  readonly #shown: Set<string>;
  readonly #queue: StoreChange[] = [];
  readonly #grant: (credit: number) => void;
  #begun = 0;
  /** Taken, or found to be known, since credit was given last. */
  #used = 0;
  #end: { readonly error?: StoreError } | undefined;
  #wake: () => void = () => {};

  /** `grant`: gives the owner of the moment more credit. */
  constructor(bucket: string, watched: Watched, grant: (credit: number) => void) {
    this.bucket = bucket;
    this.#watched = watched;
    this.#shown = new Set("name" in watched ? [] : watched.shown);
    this.#grant = grant;
  }

  /** What to ask an owner for: of a new one it is begun again. */
  begin(): { readonly what: Watched; readonly credit: number } {
    this.#begun += 1;
    this.#used = 0;
    const what = "name" in this.#watched ? this.#watched : { prefix: this.#watched.prefix, shown: [...this.#shown] };
    return { what, credit: Math.max(1, creditMax - this.#queue.length) };
  }

  hear(change: StoreChange): void {
    const { name, siblings, deleted, pending } = change;
    const state = `${siblings.map(({ dot }) => dot).join()};${deleted};${pending}`;
    if (this.#told.get(name) === state) return this.#useOne();
    if (siblings.length > 0) this.#shown.add(name);
    else this.#shown.delete(name);
    if (siblings.length > 0 || "name" in this.#watched) this.#told.set(name, state);
    else this.#told.delete(name);
    this.#queue.push(
      this.#begun > 1 && change.origin === "storage" ? { ...change, origin: meanwhile(change) } : change,
    );
    this.#wake();
  }

  end(error?: StoreError): void {
    this.#end ??= error === undefined ? {} : { error };
    this.#wake();
  }

  /** Nobody wants what waits here. */
  stop(): void {
    this.#queue.length = 0;
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StoreChange> {
    for (;;) {
      const next = this.#queue.shift();
      if (next !== undefined) {
        this.#useOne();
        yield next;
      } else if (this.#end?.error !== undefined) {
        throw this.#end.error;
      } else if (this.#end !== undefined) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #useOne(): void {
    this.#used += 1;
    if (this.#used < creditStep) return;
    this.#grant(this.#used);
    this.#used = 0;
  }
}

/** Found by a later owner: not there when the watch began. What waits for hosts was written here. */
function meanwhile({ pending }: StoreChange): "local" | "remote" {
  return pending ? "local" : "remote";
}
