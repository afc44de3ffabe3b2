/**
 * Passing a write on to an owner, once (PROTOCOL 5.1).
 * Invariant: a second owner is asked only when the first certainly minted nothing; an ambiguous silence is told as such.
 */
import type { WriteAnswer } from "../api.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { TransportError } from "../ports.ts";
import { call, methods } from "../rpc/rpc.ts";
import { writeAnswerOf } from "./answers.ts";
import type { CoordinateDeps } from "./deps.ts";
import { mintedNothing, type WriteIntent } from "./write.ts";

export async function forwardWrite(
  deps: CoordinateDeps,
  owners: readonly NodeId[],
  key: Key,
  intent: WriteIntent,
): Promise<WriteAnswer> {
  const { w, pw, ...same } = intent;
  const request = {
    ...same,
    key,
    w: String(w),
    ...(pw === undefined ? {} : { pw: String(pw) }),
    forwarded: deps.exchange.view(),
  };
  let refusal: unknown;
  for (const owner of owners) {
    try {
      return writeAnswerOf(await call(deps.transport, owner, methods.write, request, intent.timeoutMs));
    } catch (error: unknown) {
      if (!mintedNothing(error)) throw outcomeUnknown(owner, error);
      refusal = error;
    }
  }
  if (refusal instanceof StoreError) throw refusal;
  throw new StoreError("not-ready", `none of the ${owners.length} owners of ${key} could be reached`, { cause: refusal });
}

function outcomeUnknown(owner: NodeId, error: unknown): unknown {
  if (!(error instanceof TransportError)) return error;
  const text = `the owner ${owner} fell silent while it wrote: the write may or may not survive`;
  return new StoreError("outcome-unknown", text, { cause: error });
}
