/**
 * Between the store's own types and what travels or is shown.
 */
import type { ReadAnswer, WriteAnswer } from "../api.ts";
import type { NodeId } from "../identity.ts";
import { deleted, siblings } from "../causality/version-set.ts";
import type { methods } from "../rpc/rpc.ts";
import type { WriteResponse } from "../rpc/messages.ts";
import type { Infer } from "../bytes/codec.ts";
import type { Key } from "../identity.ts";
import type { CachedState } from "../replica/state-cache.ts";
import { siblingOf } from "../siblings.ts";
import type { Contexts } from "./contexts.ts";

type Facts = Pick<ReadAnswer, "degraded" | "answered">;
type ReadResponse = Infer<typeof methods.read.response>;

/** A key that was never written has no context; one that was deleted has. */
export function readAnswerOf(
  held: CachedState,
  { key, contexts, nowMs, ...facts }: Facts & { key: Key; contexts: Contexts; nowMs: number },
): ReadAnswer {
  const { state } = held;
  const live = siblings(state, nowMs);
  return {
    siblings: live.map(siblingOf),
    deleted: live.length > 0 && deleted(state, nowMs),
    ...facts,
    context: state.vector.length === 0 ? null : contexts.seal(held, state, key),
  };
}

export function readResponseOf({ context, answered: _answered, ...answer }: ReadAnswer): ReadResponse {
  return { ...answer, ...(context === null ? {} : { context }) };
}

export function writeResponseOf({ dot, context, receipt, siblings: listed }: WriteAnswer): WriteResponse {
  return {
    dot,
    ...(context === null ? {} : { context }),
    durable: receipt.durable,
    hinted: receipt.hinted,
    needed: receipt.needed,
    got: receipt.got,
    ...(receipt.writeIdIgnored ? { writeIdIgnored: true } : {}),
    siblings: listed ?? [],
    siblingsReturned: listed !== undefined,
  };
}

export function writeAnswerOf(response: WriteResponse): WriteAnswer {
  return {
    dot: response.dot,
    context: response.context ?? null,
    receipt: {
      durable: response.durable as readonly NodeId[],
      hinted: response.hinted as readonly { for: NodeId; at: NodeId }[],
      needed: response.needed,
      got: response.got,
      localOnly: false,
      ...(response.writeIdIgnored ? { writeIdIgnored: true } : {}),
    },
    ...(response.siblingsReturned ? { siblings: response.siblings } : {}),
  };
}
