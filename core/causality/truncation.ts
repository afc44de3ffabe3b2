/**
 * Keeps vectors short: the paper's clock truncation scheme (4.4), with the safety that it lacks (PROTOCOL section 3).
 * Invariant: an entry with a live value and the node's own entry stay. By the own entry a reap knows which actor ends
 * with the clock (`replica.ts`); else to cut it is no danger, since counters are the holding's and not the vector's.
 * What goes without everyone's agreement is counted: a replica that still holds what it covered may bring it back.
 *
 * It relies on `touch`: an entry's time must be of this node's own knowledge, not only of the write that raised it.
 * Called only where a version is minted or first arrives from its coordinator or edge: a repair that truncated would undo
 * itself for ever.
 */
import type { ActorId } from "../identity.ts";
import { compareDots, type VectorEntry, type Versioned } from "./version-set.ts";

/** Above this many times `entriesMax` memory and wire come first, and entries go without agreement. */
const HARD_FACTOR = 10;

export interface TruncationRule {
  /** At or below it nothing goes (`clockEntriesMax`). */
  readonly entriesMax: number;
  /** Of this node for this partition, if it has one. */
  readonly ownActor: ActorId | undefined;
  /**
   * Actors of whom this very change drops a value: to cut their entries without agreement would undo that, wherever the value
   * is still live. So a clock may exceed even the hard limit by as many as there were siblings, until the next write.
   */
  readonly replaced: readonly ActorId[];
  /**
   * Whether nobody can still hold what the entry covers: with every owner there was, by this node's clock, a full
   * agreement after the entry's time and before the oldest message that may still be in flight (a message sent before the
   * agreement carries what was agreed away), and no other member holds anything of the partition; and whether who is no
   * member, or holds an old copy, will be told apart (`background/forgetting.ts`).
   */
  readonly agreed: (entry: VectorEntry) => boolean;
}

export interface Truncated {
  readonly state: Versioned;
  /** Entries that went. */
  readonly dropped: number;
  /** How many of them went without agreement. */
  readonly forced: number;
}

export function truncate(state: Versioned, { entriesMax, ownActor, replaced, agreed }: TruncationRule): Truncated {
  const excess = state.vector.length - entriesMax;
  if (excess <= 0) return { state, dropped: 0, forced: 0 };
  const live = new Set(state.values.map((value) => value.dot.actor));
  const oldestFirst = state.vector
    .filter((entry) => entry.actor !== ownActor && !live.has(entry.actor))
    .toSorted((a, b) => a.timeMs - b.timeMs || compareDots(a, b));

  const going = new Set<VectorEntry>();
  for (const entry of oldestFirst) {
    if (going.size === excess) break;
    if (agreed(entry)) going.add(entry);
  }
  const forcedMax = state.vector.length - going.size - HARD_FACTOR * entriesMax;
  const forced = oldestFirst
    .filter((entry) => !going.has(entry) && !replaced.includes(entry.actor))
    .slice(0, Math.max(forcedMax, 0));
  for (const entry of forced) going.add(entry);

  if (going.size === 0) return { state, dropped: 0, forced: 0 };
  const vector = state.vector.filter((entry) => !going.has(entry));
  return { state: { vector, values: state.values }, dropped: going.size, forced: forced.length };
}
