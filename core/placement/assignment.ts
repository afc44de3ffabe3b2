/**
 * Which host has which token: shared membership state, merged entry by entry.
 * Invariant: merging is commutative, associative and idempotent, so views that have seen the same changes are equal.
 */
import { invariant } from "../errors.ts";
import type { NodeId } from "../identity.ts";

/** One token's owner. `host` is null while nobody was ever given the token. */
export interface AssignmentEntry {
  readonly host: NodeId | null;
  /** Raised by one with each change of this token. */
  readonly epoch: number;
}

/** Q entries, by partition index (PROTOCOL 2; the paper's strategy 3). */
export type Assignment = readonly AssignmentEntry[];

/** No token was ever given: what a host knows before it meets its cluster. */
export function emptyAssignment(partitions: number): Assignment {
  return Array.from({ length: partitions }, () => ({ host: null, epoch: 0 }));
}

/** The first host of a cluster has every token. */
export function initialAssignment(host: NodeId, partitions: number): Assignment {
  return Array.from({ length: partitions }, () => ({ host, epoch: 1 }));
}

/** Both views as one. Returns `ours` itself when `theirs` adds nothing. */
export function mergeAssignments(ours: Assignment, theirs: Assignment): Assignment {
  invariant(ours.length === theirs.length, "assignments of one cluster have equally many tokens");
  let changed = false;
  const merged = ours.map((entry, index) => {
    const other = theirs[index]!;
    if (!supersedes(other, entry)) return entry;
    changed = true;
    return other;
  });
  return changed ? merged : ours;
}

/** Higher epoch, then greater host id, null lowest: concurrent changes cost balance, never data. */
function supersedes(challenger: AssignmentEntry, holder: AssignmentEntry): boolean {
  if (challenger.epoch !== holder.epoch) return challenger.epoch > holder.epoch;
  if (challenger.host === null) return false;
  return holder.host === null || challenger.host > holder.host;
}
