/**
 * When something is tried again that was tried in vain: a partition of which a source cannot give all, as its disk is damaged,
 * say, would be copied again and again for what it has not. So the pause doubles with each try that got no further, and
 * is over when the situation is another: other holders, or they say something else.
 * Invariant: a try always comes.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Clock } from "../ports.ts";

interface Wait {
  /** Of whom it was tried, and as what they held it, say. */
  readonly situation: string;
  readonly pauseMs: number;
  readonly untilMs: number;
}

export class Retries<K> {
  readonly #clock: Clock;
  readonly #pauseMs: { readonly first: number; readonly max: number };
  readonly #waits = new Map<K, Wait>();

  constructor(clock: Clock, pauseMs: { readonly first: number; readonly max: number }) {
    this.#clock = clock;
    this.#pauseMs = pauseMs;
  }

  isDue(tried: K, situation: string): boolean {
    const wait = this.#waits.get(tried);
    return wait?.situation !== situation || this.#clock.now() >= wait.untilMs;
  }

  /** A try ended, and something is left to do. */
  failed(tried: K, situation: string, { gotOn }: { readonly gotOn: boolean }): void {
    const { first, max } = this.#pauseMs;
    const before = this.#waits.get(tried);
    const isAgain = before?.situation === situation && !gotOn;
    const next = isAgain ? Math.min(2 * before.pauseMs, max) : first;
    this.#waits.set(tried, { situation, pauseMs: next, untilMs: this.#clock.now() + next });
  }

  ended(tried: K): void {
    this.#waits.delete(tried);
  }

  /** Nothing is to be tried but these. */
  keepOnly(left: readonly K[]): void {
    if (this.#waits.size === 0) return;
    const kept = new Set(left);
    for (const tried of [...this.#waits.keys()].filter((each) => !kept.has(each))) this.ended(tried);
  }
}

/** What decides who takes a hint over: the ring, and who of it is there. */
export function whoIsThere({ ring, health }: Cluster): string {
  const up = ring.members.filter(({ id }) => health.isUp(id));
  return [ring.fingerprint, ...up.map(({ id }) => id)].join();
}
