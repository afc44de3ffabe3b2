/**
 * Which host has which token: shared membership state, merged entry by entry.
 */
import type { NodeId } from "../identity.ts";

/** One token's owner. `host` is null while nobody was ever given the token. */
export interface AssignmentEntry {
  readonly host: NodeId | null;
  /** Raised by one with each change of this token. */
  readonly epoch: number;
}

/** Q entries, by partition index (PROTOCOL 2; the paper's strategy 3). */
export type Assignment = readonly AssignmentEntry[];
