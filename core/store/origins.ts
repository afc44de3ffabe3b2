/**
 * Whose change a watch tells of: a write of this application, known by its dot, or anybody else's.
 * A host's watch hears of a write before its answer is back; so a change is held until the own writes of its key are done,
 * for a moment at most.
 */
import type { Watched, WatchEvent } from "../api.ts";
import { Recent } from "../bytes/recent.ts";
import type { CancelSignal, Clock } from "../ports.ts";
import type { ChangeOrigin } from "../store-node.ts";
import { sleep } from "./cancel.ts";

/** Dots of the application's own that are remembered: changes of earlier ones have been told long ago. */
const ownDotsMax = 10_000;
/** A write that takes longer than this is told as somebody else's rather than late. */
const holdMs = 250;

export class OwnWrites {
  readonly #clock: Clock;
  readonly #dots = new Recent<string, true>(ownDotsMax, () => 1);
  /** Number of the latest write of a key. */
  readonly #latest = new Recent<string, number>(ownDotsMax, () => 1);
  #count = 0;
  readonly #underWay = new Map<string, Set<Promise<unknown>>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Notes a write of the key while it is under way, and its dot when it is done. */
  async note<A extends { readonly dot: string }>(key: string, write: Promise<A>): Promise<A> {
    const all = this.#underWay.get(key) ?? new Set();
    this.#underWay.set(key, all.add(write));
    try {
      const answer = await write;
      this.#dots.set(answer.dot, true);
      this.#latest.set(key, ++this.#count);
      return answer;
    } finally {
      all.delete(write);
      if (all.size === 0) this.#underWay.delete(key);
    }
  }

  isOwn(dot: string): boolean {
    return this.#dots.get(dot) === true;
  }

  /** Grows with each write of the key. */
  latest(key: string): number {
    return this.#latest.get(key) ?? 0;
  }

  /** Resolves when all that are under way have ended. */
  async allDone(): Promise<void> {
    await Promise.allSettled([...this.#underWay.values()].flatMap((all) => [...all]));
  }

  /** Resolves when those of the key that are under way have ended, or after `holdMs`. */
  async done(key: string, signal: CancelSignal): Promise<void> {
    const all = this.#underWay.get(key);
    if (all === undefined) return;
    await Promise.race([Promise.allSettled(all), sleep(this.#clock, holdMs, signal)]);
  }
}

interface Shown {
  readonly dots: readonly string[];
  readonly facts: string;
  readonly latest: number;
}

/** Tells the origins of the changes of one watch, in their order. */
export class Origins {
  readonly #own: OwnWrites;
  readonly #begunMs: number;
  readonly #isExact: boolean;
  readonly #shown = new Map<string, Shown>();
  /** By an earlier watch: also their absence is told. */
  readonly #shownBefore: Set<string>;

  constructor(own: OwnWrites, watched: Watched, begunMs: number) {
    this.#own = own;
    this.#begunMs = begunMs;
    this.#isExact = "name" in watched;
    this.#shownBefore = new Set("name" in watched ? [] : watched.shown);
  }

  /** Undefined: it is as it was told last (several hosts tell of one write). */
  of({ bucket, name, siblings, deleted, degraded }: WatchEvent): ChangeOrigin | undefined {
    const key = `${bucket}/${name}`;
    const before = this.#shown.get(key);
    const dots = siblings.map(({ dot }) => dot);
    const shown = { dots, facts: [...dots, deleted, degraded].join(), latest: this.#own.latest(key) };
    const isGone = siblings.length === 0 && !this.#isExact;
    const isNew = before === undefined && !this.#shownBefore.delete(name);
    if (before?.facts === shown.facts || (isNew && isGone)) return undefined;
    // A key without values need not be remembered: when it has some again they are newer than the watch.
    if (isGone) this.#shown.delete(key);
    else this.#shown.set(key, shown);
    const isFound = before === undefined && (this.#isExact || siblings.every(({ timeMs }) => timeMs < this.#begunMs));
    if (isFound) return "storage";
    const fresh = dots.filter((dot) => before?.dots.includes(dot) !== true);
    // Nothing new is seen of a delete: it is the own one if there was an own write since the change before.
    if (fresh.length === 0) return shown.latest > (before?.latest ?? 0) ? "local" : "remote";
    return fresh.every((dot) => this.#own.isOwn(dot)) ? "local" : "remote";
  }
}
