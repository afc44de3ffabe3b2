/**
 * Writes that edges have minted (PROTOCOL 3, *Edges*; 5). A host applies one like a mint: it drops what the context covers,
 * and adds the dot. The dot is the event's name wherever it arrives, and however often: so any host may take it, a silence
 * is answered by trying another, and a repeat changes nothing, yet replicates and counts towards W.
 *
 * An edge's actor = the first 8 bytes of SHA-256("everwrite/edge" LF nonce LF node id); the nonce, 16 hex digits, travels
 * with the event, and the transport has authenticated the node id. So nobody can mint under another's actor, nor claim to
 * have seen another's events but by a context that a host has sealed. An event under a client's write id is anybody's who
 * knows the id, as it is over HTTP.
 *
 * Invariant: what is not the edge's own, not sealed or not within the limits is refused before anything changes.
 */
import { actorOfEdge, actorOfWriteId } from "../causality/actor.ts";
import {
  compareDots,
  type Coverage,
  coverageOfDots,
  covers,
  type Dot,
  isUpdate,
  type LiveValue,
  uniteCoverage,
} from "../causality/version-set.ts";
import type { Infer } from "../bytes/codec.ts";
import type { QuorumSpec } from "../config.ts";
import { statusOfCode, StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { checkBody, checkContentType, ttlMaxMs } from "../limits.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { TransportError } from "../ports.ts";
import type { OwnEvent } from "../rpc/edge-messages.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf } from "../tasks.ts";
import type { CoordinateDeps } from "./deps.ts";
import { mintedNothing, reachableOwners } from "./forward.ts";
import { readState } from "./read.ts";
import { carryOut, mustForward, needsOf } from "./write.ts";

type Request = Infer<typeof methods.edgeWrite.request>;
type Response = Infer<typeof methods.edgeWrite.response>;

/** The edge's write, with the levels that apply to it. */
export interface EdgeIntent {
  readonly request: Request;
  /** Whose it is. */
  readonly edge: NodeId;
  readonly w: QuorumSpec;
  readonly pw?: QuorumSpec;
  readonly timeoutMs: number;
  readonly forwarded: boolean;
}

/**
 * @throws StoreError `bad-context`, `bad-request`, `value-too-large`, `too-many-siblings`, `clock-skew` (nothing changed),
 *   `precondition-failed` (an update of a document whose predecessor this host cannot find: it wants another dot),
 *   `outcome-unknown` (an old write that hosts do not cover: it may have been forgotten; or an owner refused what another
 *   may have), `storage-full`, `not-ready`, `quorum-not-met` (it may survive)
 */
export async function coordinateEdgeWrite(
  deps: CoordinateDeps,
  located: LocatedKey,
  intent: EdgeIntent,
): Promise<Response> {
  const { request, edge, timeoutMs, forwarded } = intent;
  const coverage = coverageOf(deps, located.key, edge, request);
  checkValue(deps, located.key, request.value);
  const needs = needsOf(deps, intent);
  const onlyCovered = await isOnlyCovered(deps, located, intent);
  const deadlineMs = deps.clock.now() + timeoutMs;
  if (mustForward(deps, located, intent)) return forward(deps, located, intent, { deadlineMs, isInDoubt: false });
  const { value: arrived, folds, previous = 0 } = request;
  const event = { coverage, arrived, folds, previous, onlyCovered };
  const asked = { ...(request.value.tombstone ? {} : { body: request.value.body }), timeoutMs, forwarded };
  const write = { intent: asked, event, needs, deadlineMs };
  const done = await carryOut(deps, located, write).catch(async (error: unknown) => {
    const isEarly = error instanceof StoreError && error.code === "precondition-failed";
    if (!isEarly || !(await caughtUp(deps, located, intent))) throw error;
    return carryOut(deps, located, write);
  });
  if ("isInDoubt" in done) return forward(deps, located, intent, { deadlineMs, ...done });
  const { durable, hinted } = done.replicated;
  const { held } = done.written;
  return {
    ...namesOf(deps, durable, request.ring),
    hinted,
    needed: needs.w,
    got: durable.length,
    ...deps.toldStates.stateFor(held, { edge, key: located.key, have: request.have, own: request.value }),
    context: deps.contexts.seal(held, held.state, located.key),
    ...ringFor(deps, request.ring),
  };
}

/** Ids are long, and a document is written ten times a second. */
function namesOf(
  { cluster: { ring } }: CoordinateDeps,
  ids: readonly NodeId[],
  known: string | undefined,
): Pick<Response, "durable" | "durableAt"> {
  const places = ids.map((id) => ring.hosts.findIndex((host) => host.id === id));
  const isShort = known === ring.fingerprint && !places.includes(-1);
  return isShort ? { durable: [], durableAt: places } : { durable: ids, durableAt: [] };
}

function ringFor({ cluster: { ring } }: CoordinateDeps, known: string | undefined): Pick<Response, "ring"> {
  return known === ring.fingerprint ? {} : { ring: ring.fingerprint };
}

/** An update came before the one that it follows: whether others had that one. */
async function caughtUp(
  deps: CoordinateDeps,
  located: LocatedKey,
  { request, timeoutMs }: EdgeIntent,
): Promise<boolean> {
  const { held } = await readState(deps, located, { r: deps.config.r, timeoutMs, deleted: true });
  const before = { ...request.value.dot, counter: request.previous ?? 0 };
  if (!covers(held.state.vector, before)) return false;
  await deps.replica.apply(located, held.toBytes());
  return true;
}

/** What the write has seen, after checking that it may claim that. */
function coverageOf(deps: CoordinateDeps, key: Key, edge: NodeId, request: Request): Coverage {
  const dot = ownDot(key, edge, request.event);
  if (compareDots(dot, request.value.dot) !== 0) {
    throw new StoreError("bad-context", `the dot of this write of ${key} is not one of ${edge}`);
  }
  let coverage = coverageOfDots(request.own.map((event) => ownDot(key, edge, event)));
  const unopened: number[] = [];
  let refusal: StoreError | undefined;
  for (const [place, context] of request.contexts.entries()) {
    try {
      coverage = uniteCoverage(coverage, deps.contexts.open(context, key));
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      refusal = error;
      unopened.push(place);
    }
  }
  if (refusal === undefined) return coverage;
  throw new StoreError(refusal.code, refusal.message, { contexts: unopened, cause: refusal });
}

function ownDot(key: Key, edge: NodeId, { nonce, writeId, counter }: OwnEvent): Dot {
  if (nonce !== undefined && writeId === undefined && counter > 0) return { actor: actorOfEdge(edge, nonce), counter };
  if (writeId !== undefined && nonce === undefined && counter === 1) {
    return { actor: actorOfWriteId(key, writeId), counter };
  }
  throw new StoreError("bad-context", `an event of ${key} by ${edge} is named neither by a nonce nor by a write id`);
}

/** Limits are checked where a write enters (PROTOCOL 1): for an edge's, that is here. */
function checkValue({ config, clock }: CoordinateDeps, key: Key, value: LiveValue): void {
  const { body, contentType, tombstone, expiresAtMs } = value;
  checkBody(config, key, body);
  checkContentType(config, contentType);
  if (tombstone && body.length > 0) throw new StoreError("bad-request", "a delete has no value");
  const wallMs = clock.wallTime();
  if (expiresAtMs !== undefined && expiresAtMs > wallMs + expiryMaxMs) {
    throw new StoreError("bad-request", `a value may live for at most ${expiryMaxMs} ms`);
  }
}

/** As for any client, and a day for clocks that differ. */
const expiryMaxMs = ttlMaxMs + 86_400_000;

/**
 * A write may have been deleted and forgotten since it was first sent: then a repeat would bring it back (PROTOCOL 7).
 * Sooner than that its entry may have been cut from a clock that is long (`causality/truncation.ts`), as for write ids.
 * True: it is taken only on a state that covers it, for it may be forgotten between this look and then.
 * @throws StoreError `outcome-unknown`
 */
async function isOnlyCovered(
  deps: CoordinateDeps,
  located: LocatedKey,
  { request, timeoutMs }: EdgeIntent,
): Promise<boolean> {
  if (request.onlyCovered !== true && request.again !== true) return false;
  const { held } = await readState(deps, located, { r: deps.config.r, timeoutMs, deleted: true });
  const { vector } = held.state;
  if (request.onlyCovered !== true && vector.length < deps.config.clockEntriesMax) return false;
  if (covers(vector, request.value.dot)) return true;
  const text = `a write of ${located.key} was sent too long ago, and no host knows it: it may have been forgotten`;
  throw new StoreError("outcome-unknown", text);
}

/**
 * To an owner, and to the next when it fails in whatever way: wherever it arrives, it is the same event. `isInDoubt`: the
 * disk here may have it already.
 */
async function forward(
  deps: CoordinateDeps,
  located: LocatedKey,
  { request, edge, w, pw }: EdgeIntent,
  { deadlineMs, isInDoubt }: { readonly deadlineMs: number; readonly isInDoubt: boolean },
): Promise<Response> {
  const { clock, transport, exchange } = deps;
  const tried = new Set<NodeId>();
  const failures: unknown[] = [];
  while (clock.now() < deadlineMs) {
    const owner = reachableOwners(deps, located).find((node) => !tried.has(node));
    if (owner === undefined) break;
    tried.add(owner);
    const leftMs = Math.max(1, Math.floor(deadlineMs - clock.now()));
    const quorums = { w: String(w), ...(pw === undefined ? {} : { pw: String(pw) }) };
    const passed = { ...request, ...quorums, timeoutMs: leftMs, forwarded: exchange.view(), edge };
    try {
      return await call(transport, owner, methods.edgeWrite, passed, leftMs);
    } catch (error: unknown) {
      const isSure = !isInDoubt && failures.every((before) => isRefusedUnseen(before) || mintedNothing(before));
      if (!isWorthAnother(error)) throw isSure ? error : keptPerhaps(request, error);
      failures.push(error);
    }
  }
  const last = failures.at(-1);
  const mayBeOut = isInDoubt || !failures.every(isRefusedUnseen);
  // An edge that is told of a refused stamp takes it that no host has the write, and gives it another.
  if (last instanceof StoreError && !(mayBeOut && isRefusedUnseen(last))) throw last;
  const text = `none of ${tried.size} owners of ${located.key} could take an edge's write: ${reasonOf(last)}`;
  throw new StoreError("not-ready", text, { cause: last });
}

/**
 * True of the owner that refused, but another may have it, and an edge that is told so gives the write up. Two refusals
 * of an update make it send that anew, under another dot or without contexts, which is sound wherever the first one is.
 */
function keptPerhaps({ key, value }: Request, error: unknown): unknown {
  if (!(error instanceof StoreError) || statusOfCode[error.code] >= 500) return error;
  if (isUpdate(value) && ["precondition-failed", "bad-context"].includes(error.code)) return error;
  const text = `an owner of ${key} may have taken an edge's write before another refused it: ${error.message}`;
  return new StoreError("outcome-unknown", text, { cause: error });
}

/** Whoever was asked has not stored it: surer than `mintedNothing`, for one dot with two stamps never agrees. */
function isRefusedUnseen(error: unknown): boolean {
  return error instanceof TransportError ? error.kind === "not-sent" : (error as StoreError).code === "clock-skew";
}

function isWorthAnother(error: unknown): boolean {
  if (error instanceof TransportError) return true;
  const refusals = ["not-ready", "not-member", "overloaded", "closed", "storage-full", "corrupt", "clock-skew"];
  return error instanceof StoreError && refusals.includes(error.code);
}
