/**
 * The present state of the keys that an application shows, kept current: one watch per key, however many subscribe.
 * Invariant: a key's snapshot is the same object until something of it changes (what React's `useSyncExternalStore` needs).
 */
import { StoreError } from "../errors.ts";
import type { Stop } from "../ports.ts";
import type { ChangeOrigin, StoreChange, StoreRead } from "../store-node.ts";
import { reasonOf } from "../tasks.ts";
import { Cancellation } from "./cancel.ts";
import { follow, type FollowDeps } from "./follow.ts";
import { Listeners } from "./listeners.ts";
import { type BucketRead, decodeRead, type Format } from "./read.ts";

/** What is known of a key. */
export interface Snapshot<T> extends BucketRead<T> {
  /** False: nothing is known yet; `values` is empty, which says nothing of the key. */
  readonly loaded: boolean;
  /** Who made the last change. */
  readonly origin: ChangeOrigin;
}

interface LiveKey<T> {
  snapshot: Snapshot<T>;
  shown: string | undefined;
  readonly subscribers: Listeners<Snapshot<T>>;
  readonly end: Cancellation;
}

interface SubscriptionDeps<T> extends FollowDeps {
  readonly bucket: string;
  readonly format: Format<T>;
  readonly closing: Cancellation;
  readonly onError: (error: StoreError) => void;
}

const nothingKnown = { deleted: false, degraded: false, source: "local", pending: false } as const;
const nothingRead: StoreRead = { ...nothingKnown, siblings: [], context: null };
/** What is shown before anything was read. */
export const unloaded: Snapshot<never> = Object.freeze({
  ...nothingKnown,
  answered: Object.freeze([]),
  values: Object.freeze([]),
  value: undefined,
  context: undefined,
  problems: [],
  raw: nothingRead,
  loaded: false,
  origin: "storage",
});

export class Subscriptions<T> {
  readonly #deps: SubscriptionDeps<T>;
  readonly #live = new Map<string, LiveKey<T>>();

  constructor(deps: SubscriptionDeps<T>) {
    this.#deps = deps;
  }

  snapshot(name: string): Snapshot<T> {
    return this.#live.get(name)?.snapshot ?? unloaded;
  }

  /** Tells the present snapshot as soon as there is one, then each that follows. */
  subscribe(name: string, hear: (snapshot: Snapshot<T>) => void): Stop {
    const live = this.#live.get(name) ?? this.#begin(name);
    const stop = live.subscribers.add(hear, live.snapshot.loaded ? live.snapshot : undefined);
    return () => {
      stop();
      if (live.subscribers.size > 0) return;
      live.end.abort();
      if (this.#live.get(name) === live) this.#live.delete(name);
    };
  }

  #begin(name: string): LiveKey<T> {
    const end = new Cancellation(this.#deps.closing);
    const live: LiveKey<T> = { snapshot: unloaded, shown: undefined, subscribers: new Listeners(), end };
    this.#live.set(name, live);
    this.#keepCurrent(name, live).catch((cause: unknown) => {
      const error = cause instanceof StoreError ? cause : new StoreError("internal", reasonOf(cause), { cause });
      this.#deps.onError(error);
    });
    return live;
  }

  async #keepCurrent(name: string, live: LiveKey<T>): Promise<void> {
    const { bucket, onError } = this.#deps;
    for await (const change of follow(this.#deps, { bucket, keys: { name }, onError }, live.end)) {
      await this.#show(live, change);
    }
  }

  async #show(live: LiveKey<T>, change: StoreChange): Promise<void> {
    const { siblings, deleted, degraded, source, pending } = change;
    const shown = [...siblings.map(({ dot }) => dot), deleted, degraded, source, pending].join();
    // A watch that was begun again tells the state anew; what is on the screen already is not told twice.
    if (shown === live.shown) return;
    live.shown = shown;
    const { bucket, format, onError } = this.#deps;
    const read = await decodeRead(change, `${bucket}/${change.name}`, format);
    for (const problem of read.problems) onError(problem);
    live.snapshot = Object.freeze({ ...read, loaded: true, origin: change.origin });
    live.subscribers.tell(live.snapshot);
  }
}
