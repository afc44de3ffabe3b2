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
import type { Receiver } from "./told-states.ts";

/** `have`: digest of the state that `edge` has, which takes in deletes too. @throws StoreError as `readState` */
export async function readForEdge(
  deps: CoordinateDeps,
  located: LocatedKey,
  { edge, have, ...request }: { readonly r: QuorumSpec; readonly timeoutMs: number } & Pick<Receiver, "edge" | "have">,
): Promise<Infer<typeof methods.edgeRead.response>> {
  const { held, degraded, answered } = await readState(deps, located, { ...request, deleted: true });
  const { ring } = deps.cluster;
  const told = isWritten(held) ? deps.toldStates.stateFor(held, { edge, key: located.key, have }) : { omitted: [] };
  const answeredAt = answered.map((id) => ring.hosts.findIndex((host) => host.id === id)).filter((place) => place >= 0);
  return { ...told, ...contextOf(deps, located, held), degraded, answeredAt, ring: ring.fingerprint };
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
  const isKnown = !isWritten(held) || (have !== undefined && equalBytes(have, held.digest));
  const state = isKnown ? undefined : held.toBytes();
  const isSent = state !== undefined && state.length <= inlineBytesMax;
  const context = contextOf(deps, located, held);
  return { counts, digest: held.digest, ...context, ...(isSent ? { state } : {}), ring: cluster.ring.fingerprint };
}

/** Of a key that was never written there is neither state nor context. */
function isWritten({ state }: CachedState): boolean {
  return state.vector.length > 0;
}

function contextOf(
  { contexts }: CoordinateDeps,
  { key }: LocatedKey,
  held: CachedState,
): { readonly context?: string } {
  return isWritten(held) ? { context: contexts.seal(held, held.state, key) } : {};
}
