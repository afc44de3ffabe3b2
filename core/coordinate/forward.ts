/**
 * Passing a write on to an owner, once (PROTOCOL 5.1).
 * Invariant: a second owner is asked only when the first certainly minted nothing; an ambiguous silence is told as such.
 */
import type { WriteAnswer } from "../api.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { TransportError } from "../ports.ts";
import { call, methods } from "../rpc/rpc.ts";
import { writeAnswerOf } from "./answers.ts";
import type { CoordinateDeps } from "./deps.ts";
import type { WriteIntent } from "./write.ts";

const answerMarginMs = 250;

/**
 * Owners other than this node that are up, those first that answered fastest lately. Those that are filling come last:
 * they are busy with that, and know least of the key that they would write on.
 */
export function reachableOwners({ cluster }: CoordinateDeps, located: LocatedKey): NodeId[] {
  const { owners, holders } = cluster.partitionView(located.partition);
  const up = cluster.health.byRoundTrip(owners.filter((node) => node !== cluster.self && cluster.health.isUp(node)));
  const isFilling = (node: NodeId): boolean => holders.get(node) === "filling";
  return up.some(isFilling) ? [...up.filter((node) => !isFilling(node)), ...up.filter(isFilling)] : up;
}

export async function forwardWrite(
  deps: CoordinateDeps,
  located: LocatedKey,
  intent: WriteIntent,
): Promise<WriteAnswer> {
  const { clock, transport } = deps;
  const deadlineMs = clock.now() + intent.timeoutMs;
  const tried = new Set<NodeId>();
  let refusal: unknown;
  while (clock.now() < deadlineMs) {
    // Looked up anew each time: a refusal may come with news of the ring.
    const owner = reachableOwners(deps, located).find((node) => !tried.has(node));
    if (owner === undefined) break;
    tried.add(owner);
    try {
      const leftMs = deadlineMs - clock.now();
      // The owner gives up first, so that its answer (which quorum was missed) is still heard here.
      const timeoutMs = Math.max(1, Math.floor(leftMs - Math.min(leftMs / 10, answerMarginMs)));
      const request = requestOf(deps, located, { ...intent, timeoutMs });
      return writeAnswerOf(await call(transport, owner, methods.write, request, leftMs));
    } catch (error: unknown) {
      if (!mintedNothing(error)) throw outcomeUnknown(owner, error);
      refusal = error;
    }
  }
  if (refusal instanceof StoreError) throw refusal;
  const text = `none of the ${tried.size} owners of ${located.key} that seemed to be up could be reached`;
  throw new StoreError("not-ready", text, { cause: refusal });
}

function requestOf(
  deps: CoordinateDeps,
  { key }: LocatedKey,
  intent: WriteIntent,
): Parameters<typeof methods.write.request.encode>[0] {
  const { w, pw, ...same } = intent;
  const quorums = { w: String(w), ...(pw === undefined ? {} : { pw: String(pw) }) };
  return { ...same, ...quorums, key, forwarded: deps.exchange.view() };
}

export function mintedNothing(error: unknown): boolean {
  if (error instanceof TransportError) return error.kind === "not-sent";
  if (!(error instanceof StoreError)) return false;
  // A disk may have run full in the middle of it.
  if (error.code === "storage-full") return error.detail.nothingWritten === true;
  return ["not-ready", "not-member", "overloaded", "closed", "corrupt"].includes(error.code);
}

function outcomeUnknown(owner: NodeId, error: unknown): unknown {
  if (!(error instanceof TransportError)) return error;
  const text = `the owner ${owner} fell silent while it wrote: the write may or may not survive`;
  return new StoreError("outcome-unknown", text, { cause: error });
}
