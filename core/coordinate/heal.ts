/**
 * Mends records that were found damaged here, from the copies of the other owners (PROTOCOL 12).
 */
import { StoreError } from "../errors.ts";
import { locate, type LocatedKey } from "../placement/locate.ts";
import type { CoordinateDeps } from "./deps.ts";
import { readState } from "./read.ts";

/** False: not enough other copies answered; the key stays marked, and this node's copy counts as incomplete. */
export async function healKey(deps: CoordinateDeps, located: LocatedKey, timeoutMs: number): Promise<boolean> {
  try {
    const { held, healsOwn } = await readState(deps, located, { r: "one", timeoutMs, all: true });
    if (!healsOwn) return false;
    await deps.replica.apply(located, held.toBytes(), { heals: true });
    return true;
  } catch (error: unknown) {
    if (error instanceof StoreError && error.code === "quorum-not-met") return false;
    throw error;
  }
}

/** For the background: everything that is marked. */
export async function healDamaged(deps: CoordinateDeps): Promise<void> {
  for (const key of deps.replica.damaged.keys()) {
    const located = locate(key, deps.cluster.ring.partitions);
    const holding = deps.replica.holdingOf(located.partition);
    if (holding === "complete" || holding === "filling") await healKey(deps, located, deps.config.requestTimeoutMs);
    else await deps.replica.dropDamaged(located);
  }
  await deps.replica.damaged.dropLost(() => deps.cluster.save());
}
