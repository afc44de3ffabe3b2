/**
 * What a member says of itself, and what the ring is computed from.
 */
import type { NodeId } from "../identity.ts";

/** `up` and `leaving` are on the ring; the rest are final within a life (PROTOCOL 9). */
export type MemberStatus = "up" | "leaving" | "left" | "removed" | "lapsed";

/**
 * `host`: a Node process with files. `browser-host`: a page on the ring, never the only durable copy while hosts exist.
 * An edge, the usual page, is no member: see `roles.ts`.
 */
export type MemberKind = "host" | "browser-host";

/** The part of a member that placement depends on, and nothing else: equal placement means equal ring. */
export interface PlacedMember {
  readonly id: NodeId;
  readonly life: number;
  readonly status: MemberStatus;
  readonly kind: MemberKind;
  /** Relative share of the tokens; positive integer, 100 = one ordinary host. */
  readonly capacity: number;
  /** Failure domain (rack, data centre); owners are spread over zones first. Empty: no zone given. */
  readonly zone: string;
  /** Members of one device group share a machine or a browser profile: never two copies there while others exist. Empty: a group of its own. */
  readonly deviceGroup: string;
}

/** What one host states of itself. A newer one replaces an older one; see `roster.ts` for the order. */
export interface MemberStatement extends PlacedMember {
  /** Raised at every start and at every change the node makes of its record; persisted. */
  readonly incarnation: number;
  /** Multiaddrs under which it listens. */
  readonly addresses: readonly string[];
  /** Base URL of its HTTP API, for people and tools; empty when it has none. */
  readonly http: string;
  /** Random, 32 hex digits, drawn at every start and every hour: who hears of a mark of its own that it does not know runs on an old copy. */
  readonly mark: string;
  /** Earlier marks that the host answers for: it knows them. The latest few, and those it was asked about. */
  readonly answers: readonly string[];
  /** Of browser hosts, and of no other: one that is not heard of for so long is declared `lapsed`, ms (`roles.ts`). */
  readonly leaseMs?: number;
}

/** Who vouches for a statement: its exact bytes and the signature over them, so that it can be passed on unchanged. */
export interface Proof {
  readonly payload: Uint8Array;
  /** The member itself; of `removed` and `lapsed` the host that carried it out. */
  readonly by: NodeId;
  readonly signature: Uint8Array;
}

/** A signed statement: what rosters are made of. */
export interface MemberRecord extends MemberStatement {
  readonly proof: Proof;
}
