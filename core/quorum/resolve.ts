/**
 * From "quorum" to a number of replicas.
 * Invariant: members that are down still count, so an outage never lowers what a client asked for.
 */
import type { QuorumSpec } from "../config.ts";
import { StoreError } from "../errors.ts";

/**
 * Replicas needed for R, W or PW where `replicas` = min(N, hosts that are members, alive or not).
 * @throws StoreError `quorum-not-met` at once when a number asks for more replicas than there are.
 */
export function resolveQuorum(spec: QuorumSpec, replicas: number, what: "r" | "w" | "pw"): number {
  if (spec === "one") return 1;
  if (spec === "all") return replicas;
  if (spec === "quorum") return Math.floor(replicas / 2) + 1;
  if (!Number.isSafeInteger(spec) || spec < 1) {
    throw new StoreError("bad-request", `${what} must be one, quorum, all or a whole number from 1, not ${spec}`);
  }
  if (spec > replicas) {
    throw new StoreError("quorum-not-met", `${what}=${spec} asks for more replicas than the ${replicas} there are`, {
      needed: spec,
      got: 0,
    });
  }
  return spec;
}

/** As it comes over the wire or in a query. @throws StoreError `bad-request` */
export function parseQuorum(text: string, what: string): QuorumSpec {
  if (text === "one" || text === "quorum" || text === "all") return text;
  if (/^[1-9][0-9]{0,4}$/.test(text)) return Number(text);
  throw new StoreError("bad-request", `${what} must be one, quorum, all or a whole number from 1, not "${text}"`);
}
