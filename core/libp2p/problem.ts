/** What went wrong between two nodes, told instead of logged: the host makes logs and counters of it. */
import type { NodeId } from "../identity.ts";

export type TransportProblem =
  /** The peer broke the wire format; it was cut off. */
  | { readonly kind: "bad-frames"; readonly peer: NodeId; readonly message: string }
  /** Nothing came although an answer was due, or nothing could be written; the connection was cut. */
  | { readonly kind: "silent"; readonly peer: NodeId; readonly message: string }
  /** The peer has more requests under way than agreed; it is not read until some are answered. */
  | { readonly kind: "overrun"; readonly peer: NodeId; readonly message: string }
  /** The handler threw: a bug of this node. */
  | { readonly kind: "handler-failed"; readonly peer: NodeId; readonly message: string }
  /** A kept peer cannot be reached; told once per different reason in a row. */
  | { readonly kind: "unreachable"; readonly peer: NodeId; readonly message: string };

export type OnProblem = (problem: TransportProblem) => void;

/**
 * An error as one line that names its causes: libp2p wraps the interesting one in an AggregateError, and lets a browser's
 * `error` event of a WebSocket through, which says nothing of the reason (the platform hides it from pages).
 */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return describeEvent(error);
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(describe))].join("; ");
  }
  const cause = error.cause === undefined ? "" : ` (${describe(error.cause)})`;
  return `${error.message === "" ? error.name : error.message}${cause}`;
}

function describeEvent(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null || !("type" in thrown)) return String(thrown);
  const { message } = thrown as { message?: unknown };
  return typeof message === "string" && message !== "" ? message : "the connection could not be opened";
}
