/**
 * Mends records that were found damaged here, from the copies of the other owners (PROTOCOL 12).
 */
import { encodeVersioned } from "../causality/encoding.ts";
import { StoreError } from "../errors.ts";
import { locate, type LocatedKey } from "../placement/locate.ts";
import type { CoordinateDeps } from "./deps.ts";
import { healingReplies, readState } from "./read.ts";

/** False: not enough complete copies answered; the key stays marked, and this node's copy counts as incomplete. */
export async function healKey(deps: CoordinateDeps, located: LocatedKey, timeoutMs: number): Promise<boolean> {
  try {
    const { state, completeOthers } = await readState(deps, located, { r: "one", timeoutMs, all: true });
    if (completeOthers < healingReplies(deps.cluster.partitionView(located.partition))) return false;
    await deps.replica.apply(located, encodeVersioned(state), { heals: true });
    return true;
  } catch (error: unknown) {
    if (error instanceof StoreError && error.code === "quorum-not-met") return false;
    throw error;
  }
}

/** For the background: everything that is marked. */
export async function healDamaged(deps: CoordinateDeps): Promise<void> {
  for (const key of deps.replica.damagedKeys()) {
    await healKey(deps, locate(key, deps.cluster.ring.partitions), deps.config.requestTimeoutMs);
  }
}
