/**
 * Keeps the vectors of the copies here short (PROTOCOL 3, *Truncation*; the rule is in `causality/truncation.ts`).
 * Invariant: in a vector longer than `clockEntriesMax` each entry's time is this node's own: at or after it, the node
 * learned of the entry's last event, or lost a value of it. Shorter vectors keep the times they came with, so that what
 * a peer sent is stored as it came; all of theirs are set when the vector first grows beyond the limit.
 */
import { truncate } from "../causality/truncation.ts";
import {
  actorsOfLost,
  covers,
  merge,
  nothing,
  touch,
  type VectorEntry,
  type Versioned,
} from "../causality/version-set.ts";
import type { Key, PartitionIndex } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Holdings } from "./holdings.ts";
import { tellLwwLosers } from "./lww-losers.ts";
import type { OwnTime } from "./own-time.ts";
import { CachedState, encodedAnew } from "./state-cache.ts";

export interface TruncatorDeps {
  readonly holdings: Holdings;
  readonly ownTime: OwnTime;
  readonly telemetry: Telemetry;
  /** Own time before which all that was known here of the partition nobody can bring back; 0: nothing. */
  readonly forgettableBeforeMs: (partition: PartitionIndex) => number;
  /** A clock stays longer than it should. */
  readonly onLongClock: (partition: PartitionIndex) => void;
}

export class Truncator {
  readonly #deps: TruncatorDeps;
  readonly #entriesMax: number;

  constructor(deps: TruncatorDeps, { clockEntriesMax }: { readonly clockEntriesMax: number }) {
    this.#deps = deps;
    this.#entriesMax = clockEntriesMax;
  }

  /** `merge` returns its first argument when the second adds nothing: so either side may be stored as it came. */
  merged(
    located: LocatedKey,
    before: CachedState,
    {
      state,
      encoded,
      isMinted,
    }: { readonly state: Versioned; readonly encoded: Uint8Array; readonly isMinted: boolean },
  ): CachedState {
    // A row of nothing would make the trees of two replicas differ that agree.
    if (state.vector.length === 0) return before;
    const held = before.state;
    const merged = merge(held, state);
    if (merged === held) return before;
    tellLwwLosers(this.#deps.telemetry, located.key, [held, state], merged);
    const timed = this.timed(held, merged);
    const cut = isMinted ? this.#arrived(located, { before: held, after: timed, incoming: state }) : timed;
    if (cut === merged && (merged === state || merge(state, held) === state)) {
      return new CachedState(state, encoded);
    }
    return encodedAnew(cut);
  }

  /** `after` with own times. Call it at every change of a copy, right before its batch. */
  timed(before: Versioned, after: Versioned): Versioned {
    if (after === before || after.vector.length <= this.#entriesMax) return after;
    const known = before.vector.length <= this.#entriesMax ? nothing : before;
    return touch(known, after, this.#deps.ownTime.nowMs());
  }

  /** `after`, minted here on `held`; `before`: what the row has. */
  minted(
    located: LocatedKey,
    { before, held, after }: Readonly<Record<"before" | "held" | "after", Versioned>>,
  ): Versioned {
    return this.#cut(located, this.timed(before, after), { before: held, mayGo: () => true });
  }

  /**
   * A state merged with one that came from its coordinator: only what that one has dropped too may go, or replicas would
   * drop different entries and give them back to each other. (That it never knew them is not possible: it agreed.)
   */
  #arrived(
    located: LocatedKey,
    { before, after, incoming }: Readonly<Record<"before" | "after" | "incoming", Versioned>>,
  ): Versioned {
    const mayGo = ({ actor }: VectorEntry): boolean => !covers(incoming.vector, { actor, counter: 1 });
    return this.#cut(located, after, { before, mayGo });
  }

  #cut(
    { key, partition }: LocatedKey,
    state: Versioned,
    { before, mayGo }: { readonly before: Versioned; readonly mayGo: (entry: VectorEntry) => boolean },
  ): Versioned {
    if (state.vector.length <= this.#entriesMax) return state;
    const { holdings, forgettableBeforeMs, onLongClock } = this.#deps;
    const beforeMs = forgettableBeforeMs(partition);
    const result = truncate(state, {
      entriesMax: this.#entriesMax,
      ownActor: holdings.actorOf(partition),
      replaced: actorsOfLost(before, state),
      agreed: (entry) => entry.timeMs < beforeMs && mayGo(entry),
    });
    this.#tell(key, state, result);
    if (result.state.vector.length > this.#entriesMax) onLongClock(partition);
    return result.state;
  }

  #tell(key: Key, before: Versioned, { state, forced }: ReturnType<typeof truncate>): void {
    if (state === before) return;
    const kept = new Set(state.vector.map(({ actor }) => actor));
    const dropped = before.vector.flatMap(({ actor, counter }) => (kept.has(actor) ? [] : [{ actor, counter }]));
    this.#deps.telemetry.event({ kind: "clock-truncated", key, dropped, forced });
  }
}
