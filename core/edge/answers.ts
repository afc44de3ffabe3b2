/**
 * What an edge answers of what it knows.
 */
import { deleted, dotText, siblings } from "../causality/version-set.ts";
import { siblingOf } from "../siblings.ts";
import type { StoreRead, StoreWrite } from "../store-node.ts";
import { type Subject, textOf } from "./evidence.ts";
import type { Accepted, Known } from "./local.ts";

/** Of the own copy alone newer values may always exist: degraded. */
export function readOf(
  subject: Subject,
  { state, evidence, isPending }: Known,
  { source, nowMs }: { readonly source: StoreRead["source"]; readonly nowMs: number },
): StoreRead {
  const live = siblings(state, nowMs);
  return {
    siblings: live.map(siblingOf),
    deleted: live.length > 0 && deleted(state, nowMs),
    degraded: source === "local",
    context: textOf(subject, evidence),
    source,
    pending: isPending,
  };
}

/** The context covers all that is known here, so the writer gets it where he has seen that: as at a host. */
export function writeOf(
  { edge, key }: Subject,
  done: Accepted & { readonly needed: number },
  returnSiblings: boolean,
  nowMs: number,
): Omit<StoreWrite, "until"> {
  const { known, write, counter, needed, writeIdIgnored } = done;
  const { ack } = write;
  const dot = dotText({ ...write.dot, counter });
  const isOnly = known.state.values.length === 1 && dotText(known.state.values[0]!.dot) === dot;
  const receipt =
    ack === undefined ? { durable: [edge], hinted: [], needed, got: 0, localOnly: true } : { ...ack, localOnly: false };
  return {
    dot,
    context: returnSiblings || isOnly ? textOf({ edge, key }, known.evidence) : null,
    receipt: { ...receipt, ...(writeIdIgnored ? { writeIdIgnored } : {}) },
    ...(returnSiblings ? { siblings: siblings(known.state, nowMs).map(siblingOf) } : {}),
  };
}
