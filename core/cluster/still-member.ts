/**
 * Whether what a peer sent may still be taken in. An answer, or a request that waited for its turn, may be older than the
 * end of its sender's membership; and what was forgotten since, without that host, it would bring back (PROTOCOL 9,
 * *Views meet before data counts*: that holds for answers too).
 */
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { lifeOnRing } from "../membership/roster.ts";
import type { Cluster } from "./cluster.ts";

/** @throws StoreError `not-member` */
export type CheckMember = () => void;

/** Of who is no member any more: what others give it belongs to those who are. @throws StoreError `not-ready` */
export function checkOwnMembership(cluster: Pick<Cluster, "isMember" | "self">): void {
  if (!cluster.isMember(cluster.self)) throw new StoreError("not-ready", "this host is no member any more");
}

/** Call it when a peer is asked, or was met; call the check just before each step that takes in what it sent. */
export function stillMember(cluster: Pick<Cluster, "roster">, peer: NodeId): CheckMember {
  const life = lifeOnRing(cluster.roster, peer);
  return () => {
    if (life !== undefined && lifeOnRing(cluster.roster, peer) === life) return;
    throw new StoreError("not-member", `the membership of ${peer} ended before what it sent was taken in`);
  };
}
