/**
 * The time by the hosts' clocks, as an edge measures it: hosts judge stamps and expiry by theirs, and an edge's own may be
 * wrong by hours (PROTOCOL 3). As in NTP (RFC 5905, sections 8, 10 and 11.2, in their simplest form):
 *
 *     offset = host's time - (own time at the question + own time at the answer) / 2
 *
 * is wrong by at most half the round trip, so of the last rounds with a host the one with the shortest trip counts. Of several
 * hosts the median counts: one whose own clock is wrong changes nothing.
 *
 * Rounds count while the own clock runs evenly: after a step, or a sleep that `now` did not notice, it is measured anew, and
 * until then the last offset stands. Nothing is kept across restarts: a clock may be set while nobody looks. What was minted
 * before the first round waits for one before it is sent, of hosts that are far away, too: a write that went out by a clock
 * that is ahead keeps its stamp, and hosts would refuse it until their clocks are there. By the own clock it goes only where
 * hosts refuse to tell theirs. Where hosts refuse it for its stamp, it is measured anew (`delivery.ts`).
 */
import type { NodeId } from "../identity.ts";
import type { Clock } from "../ports.ts";

interface Round {
  readonly offsetMs: number;
  readonly tripMs: number;
  /** Own wall time less own steady time. */
  readonly leadMs: number;
}

/** By the own clock, when a question leaves. */
export interface Asked {
  readonly nowMs: number;
  readonly leadMs: number;
}

/** NTP's filter keeps so many rounds. */
const roundsMax = 8;
/** NTP's step threshold: what is less is drift. */
const stepMs = 128;

export class HostTime {
  readonly #clock: Clock;
  readonly #rounds = new Map<NodeId, readonly Round[]>();
  #offsetMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** ms since 1970. */
  get wallMs(): number {
    return this.#clock.wallTime() + this.#offsetMs;
  }

  /** It has been measured, and the own clock has run evenly since. */
  get isKnown(): boolean {
    return [...this.#rounds.values()].some((rounds) => rounds.some((round) => this.#counts(round)));
  }

  /** To be taken when a question leaves. */
  get asked(): Asked {
    return { nowMs: this.#clock.now(), leadMs: this.#leadMs() };
  }

  /**
   * The answer has come to a question that left at `asked`, and told `hostMs`. False: it says nothing of the present. Who is
   * stopped meanwhile, or sleeps, finds an old answer waiting, before the timer that would have refused it.
   */
  note(
    host: NodeId,
    asked: Asked,
    { hostMs, tripMsMax }: { readonly hostMs: number; readonly tripMsMax: number },
  ): boolean {
    const tripMs = this.#clock.now() - asked.nowMs;
    if (tripMs > tripMsMax || !this.#counts(asked)) return false;
    const offsetMs = hostMs + tripMs / 2 - this.#clock.wallTime();
    const before = (this.#rounds.get(host) ?? []).slice(1 - roundsMax);
    this.#rounds.set(host, [...before, { offsetMs, tripMs, leadMs: this.#leadMs() }]);
    this.#choose();
    return true;
  }

  /** The next rounds count alone; until then the offset stands. */
  forget(): void {
    this.#rounds.clear();
  }

  #choose(): void {
    const offsets: number[] = [];
    for (const rounds of this.#rounds.values()) {
      const [best] = rounds.filter((round) => this.#counts(round)).toSorted((a, b) => a.tripMs - b.tripMs);
      if (best !== undefined) offsets.push(best.offsetMs);
    }
    // Of an even number the lower: a stamp may be old, but not far ahead.
    this.#offsetMs = offsets.toSorted((a, b) => a - b)[(offsets.length - 1) >> 1]!;
  }

  #counts({ leadMs }: Asked | Round): boolean {
    return Math.abs(leadMs - this.#leadMs()) <= stepMs;
  }

  #leadMs(): number {
    return this.#clock.wallTime() - this.#clock.now();
  }
}
