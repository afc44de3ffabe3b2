/**
 * What edges read (PROTOCOL 6): a get that this host coordinates, or its own copy, for an edge that asks R owners itself.
 * Such a copy counts only where the partition is at rest: while an owner is filling, quorums are met among complete holders
 * as well, and who these are changes faster than edges hear of it.
 */
import type { Infer } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { QuorumSpec } from "../config.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { CachedState } from "../replica/state-cache.ts";
import type { methods } from "../rpc/rpc.ts";
import type { CoordinateDeps } from "./deps.ts";
import { readState } from "./read.ts";

/** `have`: digest of the state that the edge has. @throws StoreError as `readState` */
export async function readForEdge(
  deps: CoordinateDeps,
  located: LocatedKey,
  { have, ...request }: { readonly r: QuorumSpec; readonly timeoutMs: number; readonly have: Uint8Array | undefined },
): Promise<Infer<typeof methods.edgeRead.response>> {
  const { held, degraded } = await readState(deps, located, request);
  return { ...written(deps, located, { held, have }), degraded, ring: deps.cluster.ring.fingerprint };
}

export async function copyForEdge(
  deps: CoordinateDeps,
  located: LocatedKey,
  { have, inlineBytesMax = Infinity }: Infer<typeof methods.edgeFetch.request>,
): Promise<Infer<typeof methods.edgeFetch.response>> {
  const { cluster, replica } = deps;
  const { role, held } = replica.readInMemory(located) ?? (await replica.read(located));
  const { owners, holders } = cluster.partitionView(located.partition);
  const isAtRest = owners.every((owner) => holders.get(owner) !== "filling");
  const counts = isAtRest && role === "complete" && owners.includes(cluster.self);
  const { state, ...context } = written(deps, located, { held, have });
  const isSent = state !== undefined && state.length <= inlineBytesMax;
  return { counts, digest: held.digest, ...context, ...(isSent ? { state } : {}), ring: cluster.ring.fingerprint };
}

/** The state for an edge, unless it has it. */
export function stateUnless(held: CachedState, have: Uint8Array | undefined): { readonly state?: Uint8Array } {
  return have !== undefined && equalBytes(have, held.digest) ? {} : { state: held.toBytes() };
}

/** Of a key that was never written there is neither state nor context. */
function written(
  { contexts }: CoordinateDeps,
  { key }: LocatedKey,
  { held, have }: { readonly held: CachedState; readonly have: Uint8Array | undefined },
): { readonly state?: Uint8Array; readonly context?: string } {
  const { state } = held;
  return state.vector.length === 0 ? {} : { ...stateUnless(held, have), context: contexts.seal(held, state, key) };
}
