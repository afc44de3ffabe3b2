/** What a node holds of a key, and what that is worth. */
import type { CachedState } from "./state-cache.ts";

/** `none`: this node neither holds the partition nor keeps a hint for the key. */
export type CopyRole = "complete" | "filling" | "hint" | "none";

export interface Copy {
  readonly role: CopyRole;
  readonly held: CachedState;
}
