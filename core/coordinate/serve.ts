/**
 * What this node answers to others: hosts that replicate, read and copy from it, and clients of the native protocol.
 * Data from hosts counts only after the views have met (PROTOCOL 9).
 */
import type { Infer } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { parseKey } from "../bytes/key.ts";
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import { filled } from "../causality/lean-state.ts";
import { checkOwnMembership } from "../cluster/still-member.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { parseQuorum } from "../quorum/resolve.ts";
import type { Replica } from "../replica/replica.ts";
import { methods, notAwaited, type RpcServer } from "../rpc/rpc.ts";
import { readResponseOf, writeResponseOf } from "./answers.ts";
import type { CoordinateDeps } from "./deps.ts";
import { listHere } from "./list.ts";
import type { Requests } from "./requests.ts";
import { scanPartitions } from "./scan.ts";

type Request<M extends keyof typeof methods> = Infer<(typeof methods)[M]["request"]>;
type Response<M extends keyof typeof methods> = Infer<(typeof methods)[M]["response"]>;

/** A long poll ends before its connection would count as silent. */
const changesWaitMaxMs = 5_000;

/** How the clients of this host fare; see `background/admission.ts`. */
export interface ClientLoad {
  /** A share in a client's request took so many ms here. */
  observe(ms: number): void;
  /** Awaited before a step of another host's background work. False: it could not begin by `deadlineMs`. */
  turn(deadlineMs: number): Promise<boolean>;
}

export function serveHosts(deps: CoordinateDeps, server: RpcServer, load: ClientLoad): void {
  const { clock } = deps;
  server.on(methods.replicate, async (from, request, deadlineMs) => {
    const startedMs = clock.now();
    const answer = await answerReplicate(deps, from, { request, deadlineMs });
    // Hints that are delivered and repairs are nobody's who waits.
    if (request.minted) load.observe(clock.now() - startedMs);
    return answer;
  });
  server.on(methods.fetch, async (from, request) => {
    const startedMs = clock.now();
    const answer = await answerFetch(deps, from, request);
    load.observe(clock.now() - startedMs);
    return answer;
  });
  server.on(methods.scan, async (from, request, deadlineMs) => {
    await deps.exchange.meet(from, request.view);
    if (!(await load.turn(deadlineMs))) throw new StoreError("not-ready", "this host is busy with its clients");
    return scanPartitions(deps, request);
  });
  server.on(methods.list, async (from, request, deadlineMs) => {
    await deps.exchange.meet(from, request.view);
    // The other half is for the way.
    return listHere(deps, request, (clock.now() + deadlineMs) / 2);
  });
  server.on(methods.changes, async (from, request) => {
    await deps.exchange.meet(from, request.view);
    return answerChanges(deps, request);
  });
}

/** A request over the wire passes the same checks as one over HTTP. */
export function serveClients(deps: CoordinateDeps, server: RpcServer, requests: Requests): void {
  server.on(methods.read, async (_from, { key, r, timeoutMs }) => {
    const options = {
      ...(r === undefined ? {} : { r: parseQuorum(r, "r") }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    };
    return readResponseOf(await requests.get(parseKey(key), options));
  });
  server.on(methods.write, async (from, request) => {
    const { key, body, forwarded, w, pw, ...same } = request;
    if (forwarded !== undefined) await deps.exchange.meet(from, forwarded);
    const options = {
      ...same,
      ...(w === undefined ? {} : { w: parseQuorum(w, "w") }),
      ...(pw === undefined ? {} : { pw: parseQuorum(pw, "pw") }),
    };
    return writeResponseOf(await requests.write(parseKey(key), body, options, forwarded !== undefined));
  });
}

async function answerReplicate(
  { exchange, replica, cluster, clock }: CoordinateDeps,
  from: NodeId,
  { request, deadlineMs }: { readonly request: Request<"replicate">; readonly deadlineMs: number },
): Promise<Response<"replicate">> {
  if (!exchange.hasMet(from, request.view)) await exchange.meet(from, request.view);
  // Who sends it hears of that only now; the state belongs to those who are members (seed 9006633).
  checkOwnMembership(cluster);
  // Truncation and reaping count on it that no state is in flight for ever.
  if (clock.now() > deadlineMs) throw notAwaited();
  const located = cluster.locate(parseKey(request.key));
  const hintFor = request.hintFor as NodeId | undefined;
  if (hintFor !== undefined && hintFor !== cluster.self) {
    // One that is leaving must not take in what it would have to pass on: it may be gone in a moment.
    if (cluster.ring.host(cluster.self) === undefined)
      throw new StoreError("not-ready", "this host is not on the ring");
    if (!cluster.roster.members.has(hintFor)) {
      throw new StoreError("bad-request", `a hint for ${hintFor}, which was never a member`);
    }
    await replica.keepHint(located, hintFor, request.state, request.spare);
    if (request.minted !== true) await replica.commits.settle();
    return { role: "hint" };
  }
  const { heals = false, minted = false } = request;
  const state = await wholeState(replica, located, request);
  if (state === undefined) return { role: "filling", lacks: true };
  // A repair or a hint that is delivered: nobody waits.
  const isPatient = !minted && !heals;
  const { role } = await replica.apply(located, state, { heals, minted, isPatient });
  if (isPatient) await replica.commits.settle();
  return { role: role === "complete" ? "complete" : "filling" };
}

/** With what was left out because it is here; undefined: it is not. */
async function wholeState(
  replica: Replica,
  located: LocatedKey,
  { state, omitted }: Request<"replicate">,
): Promise<Uint8Array | undefined> {
  if (omitted === undefined) return state;
  const { held } = replica.readInMemory(located) ?? (await replica.read(located));
  const whole = filled(decodeVersioned(state), omitted.places, held.state.values);
  return whole === undefined ? undefined : encodeVersioned(whole);
}

async function answerFetch(
  { exchange, replica, cluster }: CoordinateDeps,
  from: NodeId,
  request: Request<"fetch">,
): Promise<Response<"fetch">> {
  if (!exchange.hasMet(from, request.view)) await exchange.meet(from, request.view);
  const located = cluster.locate(parseKey(request.key));
  const { role, held } = replica.readInMemory(located) ?? (await replica.read(located));
  const { digest } = held;
  if (request.have !== undefined && equalBytes(request.have, digest)) return { role, digest };
  const state = held.toBytes();
  const isTooLarge = request.inlineBytesMax !== undefined && state.length > request.inlineBytesMax;
  return isTooLarge ? { role, digest } : { role, digest, state };
}

async function answerChanges({ replica }: CoordinateDeps, request: Request<"changes">): Promise<Response<"changes">> {
  const { changes } = replica;
  const { filters } = request;
  const asked = changes.position;
  const collect = (): Response<"changes"> => ({
    // The first question only asks where the log ends: whoever watches reads the state next.
    results: changes.since(filters.map(({ after, ...filter }) => ({ ...filter, after: after ?? asked }))),
    ...changes.position,
  });
  const now = collect();
  const isNews = now.results.some(({ keys, missed }) => missed || keys.length > 0);
  const isFirst = filters.some(({ after }) => after === undefined);
  if (isNews || isFirst || request.waitMs === 0) return now;
  await changes.next(filters, Math.min(request.waitMs, changesWaitMaxMs));
  return collect();
}
