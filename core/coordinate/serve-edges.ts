/**
 * Answers edges: nodes without tokens, which ask any host to coordinate. They are no members, so no views meet; each answer
 * tells this host's ring instead, by which an edge notices that its own view is stale.
 */
import { parseKey } from "../bytes/key.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { parseQuorum } from "../quorum/resolve.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";
import { serveEdgeWatches } from "./edge-watches.ts";
import type { WatchDeps } from "./watch.ts";

export function serveEdges(deps: WatchDeps, server: RpcServer): void {
  const { requests, clock, cluster } = deps;
  server.on(methods.time, async () => ({ wallMs: Math.max(0, Math.floor(clock.wallTime())) }));
  server.on(methods.edgeRead, (_from, { key, r, timeoutMs, have }) => {
    const options = {
      ...(r === undefined ? {} : { r: parseQuorum(r, "r") }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    return requests.edgeRead(parseKey(key), options, have);
  });
  server.on(methods.edgeWrite, async (from, request, deadlineMs) => {
    // Reaping counts on it that no write is in flight for ever.
    if (clock.now() > deadlineMs) throw new StoreError("not-ready", "the sender does not wait for this any more");
    const { forwarded, edge } = request;
    if (forwarded !== undefined) await deps.exchange.meet(from, forwarded);
    // A member vouches for the edge whose write it passes on; anybody else speaks for itself alone.
    const isPassedOn = forwarded !== undefined && edge !== undefined && cluster.isMember(from);
    return requests.edgeWrite(parseKey(request.key), isPassedOn ? (edge as NodeId) : from, request);
  });
  server.on(methods.edgeList, async (_from, { bucket, ...options }) => {
    const { keys, next } = await requests.list(bucket, options);
    const ring = cluster.ring.fingerprint;
    return next === null ? { keys, ring } : { keys, next, ring };
  });
  serveEdgeWatches(deps, server);
}
