/**
 * What a node has of a key that is to be forgotten, and whether it consents (PROTOCOL 10).
 * Invariant: a key is forgotten only where nobody can have anything older than what is forgotten.
 */
import { equalBytes } from "../bytes/compare.ts";
import type { CopyRole } from "./copy.ts";
import type { CachedState } from "./state-cache.ts";
import type { Forgettable } from "./tombstone-log.ts";

export interface Remains {
  readonly role: CopyRole;
  /** The object's row, whatever it counts for. */
  readonly held: CachedState;
  readonly isDamaged: boolean;
  /** Something of it is kept for another host. */
  readonly isHinted: boolean;
  readonly logged: Forgettable | undefined;
}

/** In the order of their numbers on the wire. */
export const verdicts = ["agreed", "too-young", "hinted", "other-clock", "incomplete", "held"] as const;
export type Verdict = (typeof verdicts)[number];

/** An owner has it completely, with exactly that clock, long enough, and for nobody else. */
export function verdictOfOwner(
  { role, held, isHinted, logged }: Remains,
  digest: Uint8Array,
  { nowMs, graceMs }: { readonly nowMs: number; readonly graceMs: number },
): Verdict {
  if (role !== "complete") return "incomplete";
  if (isHinted) return "hinted";
  if (!equalBytes(held.digest, digest)) return "other-clock";
  if (logged === undefined || !equalBytes(logged.digest, digest)) return "other-clock";
  return forgettableAtMs(logged, graceMs) <= nowMs ? "agreed" : "too-young";
}

/** Any other member holds nothing of it. */
export function verdictOfOther({ held, isDamaged, isHinted }: Remains): Verdict {
  if (isHinted) return "hinted";
  return held.encoded !== undefined || isDamaged ? "held" : "agreed";
}

/** The grace period begins at the own first storing of the clock, of an expiring value when it expires (PROTOCOL 10). */
export function forgettableAtMs({ sinceMs, expiresAtMs }: Forgettable, graceMs: number): number {
  return Math.max(sinceMs, expiresAtMs) + graceMs;
}
