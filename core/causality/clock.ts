/**
 * A key's clock: what replicas compare to learn whether they agree. It is the (actor, counter) pairs of the vector, and
 * of each live value its dot, stamp, kind, tombstone flag and expiry (PROTOCOL section 8). Never the vector's timestamps,
 * which are each node's own; never bodies, since Yjs merges are not byte-canonical.
 */
import { sha256Of } from "../bytes/sha256.ts";
import { encodeClock } from "./encoding.ts";
import { compareDots, type LiveValue, merge, type Versioned } from "./version-set.ts";

/** 16 bytes, equal exactly when the clocks are. */
export function clockDigest(state: Versioned): Uint8Array {
  return sha256Of(encodeClock(state)).slice(0, 16);
}

/** Whether the digests are equal, without hashing. */
export function sameClock(a: Versioned, b: Versioned): boolean {
  return (
    a === b ||
    (a.vector.length === b.vector.length &&
      a.values.length === b.values.length &&
      a.vector.every((entry, i) => compareDots(entry, b.vector[i]!) === 0) &&
      a.values.every((value, i) => sameValueClock(value, b.values[i]!)))
  );
}

function sameValueClock(a: LiveValue, b: LiveValue): boolean {
  return (
    compareDots(a.dot, b.dot) === 0 &&
    a.stamp === b.stamp &&
    a.kind === b.kind &&
    a.tombstone === b.tombstone &&
    a.expiresAtMs === b.expiresAtMs
  );
}

/** `before`: the first would learn from the second, but not the second from the first. */
export type Relation = "equal" | "before" | "after" | "concurrent";

/** How the knowledge of two replicas relates: what would merging change in the clock of either? */
export function compare(a: Versioned, b: Versioned): Relation {
  const merged = merge(a, b);
  const bAddsNothing = sameClock(merged, a);
  const aAddsNothing = sameClock(merged, b);
  if (aAddsNothing) return bAddsNothing ? "equal" : "before";
  return bAddsNothing ? "after" : "concurrent";
}
