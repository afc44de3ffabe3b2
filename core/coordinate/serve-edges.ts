/**
 * Answers edges: nodes without tokens, which ask any host to coordinate, or owners for their copies. They are no members, so no views meet; each answer
 * tells this host's ring instead, by which an edge notices that its own view is stale.
 */
import { parseKey } from "../bytes/key.ts";
import type { NodeId } from "../identity.ts";
import { parseQuorum } from "../quorum/resolve.ts";
import { methods, notAwaited, type RpcServer } from "../rpc/rpc.ts";
import { EdgeWatches, type EdgeWatchesDeps } from "./edge-watches.ts";

export function serveEdges(deps: EdgeWatchesDeps, server: RpcServer): void {
  const { requests, clock, cluster } = deps;
  const watches = new EdgeWatches(deps);
  watches.serve(server);
  server.on(methods.time, async () => ({ wallMs: Math.max(0, Math.floor(clock.wallTime())) }));
  server.on(methods.edgeRead, (edge, { key, r, timeoutMs, have }) => {
    const options = {
      ...(r === undefined ? {} : { r: parseQuorum(r, "r") }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    return requests.edgeRead(parseKey(key), options, { edge, have });
  });
  server.on(methods.edgeFetch, (_from, request) => requests.edgeFetch(parseKey(request.key), request));
  server.on(methods.edgeWrite, async (from, request, deadlineMs) => {
    // Reaping counts on it that no write is in flight for ever.
    if (clock.now() > deadlineMs) throw notAwaited();
    const { forwarded, edge } = request;
    if (forwarded !== undefined) await deps.exchange.meet(from, forwarded);
    // A member vouches for the edge whose write it passes on; anybody else speaks for itself alone.
    const isPassedOn = forwarded !== undefined && edge !== undefined && cluster.isMember(from);
    const [key, writer] = [parseKey(request.key), isPassedOn ? (edge as NodeId) : from];
    return watches.during(writer, key, () => requests.edgeWrite(key, writer, request));
  });
  server.on(methods.edgeList, async (_from, { bucket, ...options }) => {
    const { keys, next } = await requests.list(bucket, options);
    const ring = cluster.ring.fingerprint;
    return next === null ? { keys, ring } : { keys, next, ring };
  });
}
