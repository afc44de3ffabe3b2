/**
 * What a node has of one key, and what that is worth to whoever asks.
 */
import { StoreError } from "../errors.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { CommitOptions } from "../storage/commit-queue.ts";
import type { Minted } from "./minter.ts";
import type { CachedState } from "./state-cache.ts";

/** `none`: this node neither holds the partition nor keeps a hint for the key. */
export type CopyRole = "complete" | "filling" | "hint" | "none";

/** What this node holds of a key, and what that is worth. */
export interface Copy {
  readonly role: CopyRole;
  readonly held: CachedState;
}

export type Written = Copy & Omit<Minted, "state">;

export interface ApplyOptions extends Pick<CommitOptions, "isPatient"> {
  /** The state is a merge of enough complete copies: a damaged record is whole again with it. */
  readonly heals?: boolean;
  /** The state comes from its coordinator, not from a repair: a clock that is too long may be cut. */
  readonly minted?: boolean;
}

export function notHeld({ partition }: LocatedKey): StoreError {
  return new StoreError("not-ready", `this host does not hold partition ${partition}`);
}
