/**
 * Which updates of a document a write folds into itself. As in a log-structured merge tree (O'Neil et al. 1996), updates of
 * one size wait until there are several, and then become one of the next: so each byte is folded a few times at most,
 * however large the document, and a document has a few dozen updates at most, however often it is edited. What is written
 * again also travels again, to all who have the document open: so sizes are few.
 */

import { foldsMax } from "../limits.ts";

/** A live update of a document. */
export interface LiveUpdate {
  readonly dot: string;
  readonly body: Uint8Array;
}

/** So many updates below one of these sizes, in bytes, become one. */
const perSize = 24;
const sizes = [1_024, 32_768, 1_048_576];

/** All below the largest size of which there are enough; with the one that is being written. */
export function toFold(live: readonly LiveUpdate[]): readonly LiveUpdate[] {
  const below = (size: number): readonly LiveUpdate[] => live.filter(({ body }) => body.length < size);
  // Those of a larger size count alone, or each small one would make a large one be written again.
  const isDue = (size: number, smaller: number): boolean => below(size).length - below(smaller).length >= perSize - 1;
  const largest = sizes.findLast((size, i) => isDue(size, sizes[i - 1] ?? 0));
  return largest === undefined ? [] : atOnce(below(largest));
}

/** What one write may fold; where replicas that were apart have more together, later ones fold the rest. */
export function atOnce(updates: readonly LiveUpdate[]): readonly LiveUpdate[] {
  return updates.slice(0, foldsMax);
}

/** What was deleted, and what several updates hold, is in the parts but not in the whole: beyond a third it has to go. */
export function isWorthWhole(partBytes: number, wholeBytes: number): boolean {
  return partBytes > wholeBytes * 1.33 + 4_096;
}
