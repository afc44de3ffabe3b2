/**
 * put and delete (PROTOCOL 5): route, mint and persist here, replicate at once, answer at W.
 */
import { actorOfWriteId } from "../causality/actor.ts";
import {
  compareDots,
  type Coverage,
  contextOf,
  covers,
  coversAll,
  dotText,
  siblings,
  type Versioned,
} from "../causality/version-set.ts";
import { leanStateOf } from "../causality/lean-state.ts";
import type { Sibling, ValueKind, WriteAnswer } from "../api.ts";
import type { QuorumSpec } from "../config.ts";
import { statusOfCode, StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { foldsOf } from "../limits.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import type { WriteAck, WriteNeeds } from "../quorum/write-tally.ts";
import type { Written } from "../replica/copy.ts";
import type { EdgeEvent, WriteEvent } from "../replica/minter.ts";
import { siblingOf } from "../siblings.ts";
import { reasonOf } from "../tasks.ts";
import type { CoordinateDeps } from "./deps.ts";
import { forwardWrite, reachableOwners } from "./forward.ts";
import { healKey } from "./heal.ts";
import { readState } from "./read.ts";
import { oweTo, planWrite, type Replicated, replicate, type WritePlan } from "./replicate.ts";

/** A put, or a delete where `body` is absent; checked against the limits by whoever let it in. */
export interface WriteIntent {
  readonly body?: Uint8Array;
  readonly contentType: string;
  readonly kind: ValueKind;
  readonly context?: string;
  readonly w: QuorumSpec;
  readonly pw?: QuorumSpec;
  readonly timeoutMs: number;
  readonly writeId?: string;
  readonly ifAbsent?: boolean;
  readonly ifContext?: string;
  readonly ttlMs?: number;
  readonly folds: readonly string[];
  readonly renews?: boolean;
  readonly again?: boolean;
  readonly returnSiblings?: boolean;
  /** It was forwarded to this node: coordinate it here. */
  readonly forwarded: boolean;
}

/** This host is not able to store a write, and another owner is there to do it. */
interface Cannot {
  /** Its disk may have kept the write all the same: whatever becomes of it elsewhere, nobody can say that it was not written. */
  readonly isInDoubt: boolean;
}

/** Before it is decided who gets it. */
type UnplannedEvent = Omit<WriteEvent, "hintsFor"> | Omit<EdgeEvent, "hintsFor">;

/**
 * @throws StoreError `bad-context`, `precondition-failed`, `too-many-siblings`, `storage-full`, `quorum-not-met`
 *   (the write may survive, but with `nothingWritten`), `outcome-unknown` (a forwarded write whose owner fell silent, or that
 *   failed after this host's own disk may have kept it)
 */
export async function coordinateWrite(
  deps: CoordinateDeps,
  located: LocatedKey,
  intent: WriteIntent,
): Promise<WriteAnswer> {
  const deadlineMs = deps.clock.now() + intent.timeoutMs;
  const prepared = await prepare(deps, located, intent);
  if (prepared === "forward") return forwardWrite(deps, located, intent);

  const { needs } = prepared;
  const done = await carryOut(deps, located, { intent, ...prepared, deadlineMs });
  if (!("isInDoubt" in done)) return answerOf(deps, located.key, { intent, needs, ...done });
  return forwardWrite(deps, located, intent).catch((error: unknown) => {
    throw done.isInDoubt ? keptPerhaps(error) : error;
  });
}

/** True of those who were asked, but not of the disk here. */
function keptPerhaps(error: unknown): unknown {
  if (!(error instanceof StoreError)) return error;
  const text = `this host's disk failed and may have kept the write, and no other owner took it: ${error.message}`;
  return new StoreError("outcome-unknown", text, { cause: error });
}

/** All that may refuse a write before anything of it is stored, which the refusal says. `forward`: an owner is to do it. */
async function prepare(
  deps: CoordinateDeps,
  located: LocatedKey,
  intent: WriteIntent,
): Promise<{ readonly event: UnplannedEvent; readonly needs: WriteNeeds } | "forward"> {
  try {
    const coverage = deps.contexts.open(intent.context, located.key);
    const needs = needsOf(deps, intent);
    if (mustForward(deps, located, intent)) return "forward";
    if (intent.ifAbsent || intent.ifContext !== undefined) await checkPreconditions(deps, located, intent);
    return { event: eventOf(deps, intent, coverage), needs };
  } catch (error: unknown) {
    // A 4xx says so by itself.
    if (!(error instanceof StoreError) || statusOfCode[error.code] < 500) throw error;
    throw new StoreError(error.code, error.message, { ...error.detail, nothingWritten: true, cause: error });
  }
}

/** What carrying a write out takes of what was asked. */
type Asked = Pick<WriteIntent, "body" | "timeoutMs" | "forwarded">;

/** Stores a write here and tells the others until W have it. */
export async function carryOut(
  deps: CoordinateDeps,
  located: LocatedKey,
  write: {
    readonly intent: Asked;
    readonly event: UnplannedEvent;
    readonly needs: WriteNeeds;
    readonly deadlineMs: number;
  },
): Promise<{ readonly written: Written; readonly replicated: Replicated } | Cannot> {
  const { intent, event, needs, deadlineMs } = write;
  const plan = planWrite(deps, located);
  const written = await writeHere(deps, located, { intent, event: { ...event, hintsFor: plan.owed } });
  if ("isInDoubt" in written) return written;
  const replicated = await replicateUntilViewsAgree(deps, located, { written, plan, needs, deadlineMs });
  if (replicated.outcome.kind === "failed") throw notMet(deps, replicated, { intent, deadlineMs });
  return { written, replicated };
}

export function needsOf(deps: CoordinateDeps, intent: Pick<WriteIntent, "w" | "pw">): WriteNeeds {
  const w = resolveQuorum(intent.w, deps.cluster.replicas, "w");
  const pw = intent.pw === undefined ? 0 : resolveQuorum(intent.pw, deps.cluster.replicas, "pw");
  return { w: Math.max(w, pw), pw, anchors: (hosts) => deps.cluster.ring.anchors(hosts) };
}

/** An owner coordinates, for it can mint on the state that it holds; so does anybody when no owner is reachable. */
export function mustForward(
  deps: CoordinateDeps,
  located: LocatedKey,
  intent: Pick<WriteIntent, "forwarded">,
): boolean {
  const { ring, self } = deps.cluster;
  if (ring.owners(located.partition).includes(self) || reachableOwners(deps, located).length === 0) return false;
  if (!intent.forwarded) return true;
  throw new StoreError("not-ready", `this host does not own ${located.key}, and a request is forwarded only once`);
}

async function checkPreconditions(deps: CoordinateDeps, located: LocatedKey, intent: WriteIntent): Promise<void> {
  const { held } = await readState(deps, located, { r: deps.config.r, timeoutMs: intent.timeoutMs });
  const { state } = held;
  if (intent.ifAbsent) {
    const live = siblings(state, deps.clock.wallTime());
    // A repeat finds what its first try wrote: that is success, not a conflict.
    const own = intent.writeId === undefined ? undefined : actorOfWriteId(located.key, intent.writeId);
    const isRepeat = own !== undefined && covers(state.vector, { actor: own, counter: 1 });
    if (live.length > 0 && !isRepeat) {
      throw new StoreError("precondition-failed", `${located.key} has a value already`);
    }
  }
  if (intent.ifContext !== undefined) {
    const expected = deps.contexts.open(intent.ifContext, located.key).vector;
    const found = contextOf(state).vector;
    if (!coversAll(expected, found) || !coversAll(found, expected)) {
      throw new StoreError("precondition-failed", `${located.key} has changed since that context was read`);
    }
  }
}

function eventOf(deps: CoordinateDeps, intent: WriteIntent, coverage: Coverage): UnplannedEvent {
  return {
    coverage,
    value: {
      kind: intent.kind,
      tombstone: intent.body === undefined,
      contentType: intent.contentType,
      body: intent.body ?? new Uint8Array(0),
      ...(intent.ttlMs === undefined ? {} : { expiresAtMs: deps.clock.wallTime() + intent.ttlMs }),
    },
    ...(intent.writeId === undefined ? {} : { writeId: intent.writeId }),
    folds: foldsOf(intent.kind, intent.folds),
    ...(intent.renews === undefined ? {} : { renews: intent.renews }),
    ...(intent.again === undefined ? {} : { again: intent.again }),
  };
}

/** On this node's own state. */
async function writeHere(
  deps: CoordinateDeps,
  located: LocatedKey,
  { intent, event }: { readonly intent: Asked; readonly event: WriteEvent | EdgeEvent },
): Promise<Written | Cannot> {
  try {
    return await writeOnWhole(deps, located, { event, timeoutMs: intent.timeoutMs });
  } catch (error: unknown) {
    if (!(error instanceof StoreError)) throw error;
    const isCorrupt = error.code === "corrupt";
    // No write is refused for one bad disk, nor for a partition that has just gone. (Should the disk have kept it after all,
    // it shows as a sibling, or as what a refusal elsewhere did not know of.) A forwarded one is refused with the code by which its sender goes on to another owner.
    const isUnable = isCorrupt || error.code === "not-ready" || deps.replica.commits.state !== "ok";
    if (isUnable && !intent.forwarded && reachableOwners(deps, located).length > 0) {
      return { isInDoubt: !isCertain(error) };
    }
    if (isCorrupt) return deps.replica.write(located, event, { despiteDamage: true });
    throw error;
  }
}

/** It failed before the first byte of it went to the disk, or the disk says that it took none. */
function isCertain({ code, detail }: StoreError): boolean {
  return detail.nothingWritten === true || ["corrupt", "not-ready"].includes(code) || statusOfCode[code] < 500;
}

/** A damaged record is healed first. @throws StoreError as `Replica.write`; `corrupt`: too few others could be asked */
async function writeOnWhole(
  deps: CoordinateDeps,
  located: LocatedKey,
  { event, timeoutMs }: { readonly event: WriteEvent | EdgeEvent; readonly timeoutMs: number },
): Promise<Written> {
  try {
    return await deps.replica.write(located, event);
  } catch (error: unknown) {
    const isCorrupt = error instanceof StoreError && error.code === "corrupt";
    if (!isCorrupt || !(await healKey(deps, located, timeoutMs))) throw error;
    return deps.replica.write(located, event);
  }
}

/**
 * An ack counts in the merged view (PROTOCOL 5): when the ring changed under the request,
 * the same state goes out again to those who own the key now.
 */
async function replicateUntilViewsAgree(
  deps: CoordinateDeps,
  located: LocatedKey,
  write: {
    readonly written: Written;
    readonly plan: WritePlan;
    readonly needs: WriteNeeds;
    readonly deadlineMs: number;
  },
): Promise<Replicated> {
  const { written, needs, deadlineMs } = write;
  const state = written.held.encoded!;
  // Owners have what was there before, or nearly all of it: what they lack they ask for.
  const lean = leanStateOf(written.held.state, ({ dot }) => compareDots(dot, written.dot) !== 0);
  let plan = write.plan;
  for (;;) {
    const result = await replicate(deps, located, {
      plan,
      state,
      lean,
      ownAcks: ownAcks(written, plan),
      needs,
      deadlineMs,
    });
    if (plan.ring === deps.cluster.ring.fingerprint || result.outcome.kind === "failed") return result;
    plan = planWrite(deps, located);
    plan = { ...plan, owed: await owedNow(deps, located, { targets: plan.owed, state }) };
  }
}

/** Those of the targets for whom this node could keep it. The write is minted: a disk that fails now does not undo it. */
async function owedNow(
  deps: CoordinateDeps,
  located: LocatedKey,
  owed: { readonly targets: readonly NodeId[]; readonly state: Uint8Array },
): Promise<readonly NodeId[]> {
  try {
    await oweTo(deps, located, owed);
    return owed.targets;
  } catch (error: unknown) {
    deps.telemetry.event({ kind: "task-failed", task: "keep hints", reason: reasonOf(error) });
    return [];
  }
}

function ownAcks(written: Written, plan: WritePlan): WriteAck[] {
  const hints = plan.owed.map((owner): WriteAck => ({ kind: "hint", for: owner }));
  if (written.role === "complete" || written.role === "filling")
    return [{ kind: "held", state: written.role }, ...hints];
  return hints;
}

function notMet(
  { cluster, clock }: CoordinateDeps,
  { outcome, durable, others }: Replicated,
  { intent, deadlineMs }: { readonly intent: Asked; readonly deadlineMs: number },
): StoreError {
  const ms = clock.now() - (deadlineMs - intent.timeoutMs);
  const { needed, got } = outcome.kind === "failed" ? outcome : { needed: 0, got: 0 };
  const what = intent.body === undefined ? "delete" : "put";
  const where = cluster.ring.anchors(durable) ? "" : ", none at a host that is no browser,";
  return new StoreError(
    "quorum-not-met",
    `${needed} of ${cluster.replicas} durable copies needed for ${what}, ${got} made${where}${others} after ${Math.round(ms)} ms; the write may survive`,
    { needed, got, from: durable },
  );
}

function answerOf(
  deps: CoordinateDeps,
  key: Key,
  done: {
    readonly intent: WriteIntent;
    readonly written: Written;
    readonly needs: WriteNeeds;
    readonly replicated: Replicated;
  },
): WriteAnswer {
  const { written, replicated, intent } = done;
  const state = written.held.state;
  const listed: readonly Sibling[] | undefined = intent.returnSiblings
    ? siblings(state, deps.clock.wallTime()).map(siblingOf)
    : undefined;
  return {
    dot: dotText(written.dot),
    context: listed !== undefined || isOnlyValue(state, written) ? deps.contexts.seal(written.held, state, key) : null,
    receipt: {
      durable: replicated.durable,
      hinted: replicated.hinted,
      needed: done.needs.w,
      got: replicated.durable.length,
      localOnly: false,
      ...(written.writeIdIgnored ? { writeIdIgnored: true } : {}),
    },
    ...(listed === undefined ? {} : { siblings: listed }),
  };
}

/** Only then has the writer seen all that the state's context covers. */
function isOnlyValue(state: Versioned, { dot }: Written): boolean {
  const [only] = state.values;
  return state.values.length === 1 && only?.dot.actor === dot.actor && only.dot.counter === dot.counter;
}
