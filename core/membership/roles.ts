/**
 * What a member may be, by its kind (PROTOCOL 9): a host, or a browser host, which is on the ring under a lease. An edge
 * is no kind of member: it holds no tokens, and a record that calls its node one is not even read (`signed-member.ts`).
 * Invariant: what is checked here is checked of one record alone. All nodes have to agree on a final record, so none may
 * refuse it for what it happens to know beside it. Nor for its capacity, which counts on the ring alone: who has such a member
 * already must hear that it is gone.
 */
import type { MemberStatement } from "./member.ts";
import { isOnRing } from "./roster.ts";

/**
 * How long a browser host may be silent before the others end its membership, ms. Shorter than `minMs`, and the time that
 * a reload or another network takes would end it; longer than `maxMs` is none: what a tab holds is evicted by then.
 */
export const lease = { minMs: 10_000, defaultMs: 600_000, maxMs: 2_592_000_000 } as const;

/** What is wrong with the role that a member states, in words; undefined: nothing. */
export function problemOfRole({
  kind,
  leaseMs,
  status,
  capacity,
}: Pick<MemberStatement, "kind" | "leaseMs" | "status" | "capacity">): string | undefined {
  const isCapacity = Number.isSafeInteger(capacity) && capacity >= 1;
  if (isOnRing(status) && !isCapacity) return `its capacity is ${capacity}: whole numbers from 1 are`;
  if (kind === "host") {
    if (leaseMs !== undefined) return "a lease is for browser hosts";
    return status === "lapsed" ? "only the lease of a browser host can lapse" : undefined;
  }
  if (leaseMs === undefined) return "a browser host is on the ring under a lease, and it states none";
  if (Number.isSafeInteger(leaseMs) && leaseMs >= lease.minMs && leaseMs <= lease.maxMs) return undefined;
  return `its lease is ${leaseMs} ms, ${lease.minMs} to ${lease.maxMs} can be`;
}
