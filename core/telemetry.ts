/**
 * What happens inside, as one typed union. Logs (JSON) and metrics derive from it, so that they cannot disagree.
 */
import type { NodeId } from "./identity.ts";

/** Everything that a node tells; `kind` says what. */
export type StoreEvent =
  | { readonly kind: "ready"; readonly id: NodeId }
  | { readonly kind: "cluster-created"; readonly cluster: string }
  | { readonly kind: "waiting"; readonly for: string }
  | { readonly kind: "seed-silent"; readonly address: string; readonly reason: string }
  | { readonly kind: "joined"; readonly tokens: number }
  | { readonly kind: "member-changed"; readonly id: NodeId; readonly status: string }
  /** A change that was asked for here. */
  | { readonly kind: "ring-planned"; readonly change: string; readonly host: string; readonly tokens: number }
  /** This node has handed everything over, and the others know that it is gone. */
  | { readonly kind: "left" }
  | { readonly kind: "ring-changed"; readonly fingerprint: string; readonly members: number }
  | {
      readonly kind: "peer";
      readonly id: NodeId;
      readonly state: "connected" | "disconnected" | "suspect" | "recovered";
    }
  | { readonly kind: "filled"; readonly partitions: number; readonly keys: number; readonly ms: number }
  /** Dropped after the owners confirmed; `keys`: pushed to them before. */
  | { readonly kind: "handed-off"; readonly partitions: number; readonly keys: number; readonly ms: number }
  | { readonly kind: "trees-built"; readonly partitions: number; readonly keys: number; readonly ms: number }
  | {
      /** A round with one peer, or a repair of one partition; idle ones find no difference in one round trip. */
      readonly kind: "anti-entropy";
      readonly peer: NodeId;
      readonly partitions: number;
      readonly partitionsDifferent: number;
      readonly keysPushed: number;
      readonly keysPulled: number;
      /** Of requests and answers, both ways. */
      readonly bytes: number;
      readonly roundTrips: number;
      readonly ms: number;
      /** Limits ended the round: the next one goes on. */
      readonly cut: boolean;
    }
  | {
      /** A round that the peer refused or did not answer to its end, and what it did until then. */
      readonly kind: "anti-entropy-failed";
      readonly peer: NodeId;
      readonly reason: string;
      readonly keysPushed: number;
      readonly keysPulled: number;
      readonly bytes: number;
    }
  | { readonly kind: "partition-lost"; readonly partitions: number }
  | {
      readonly kind: "request";
      /** `fetch`: the own copy, for an edge that coordinates a get itself. */
      readonly verb: "get" | "put" | "delete" | "list" | "fetch";
      readonly ms: number;
      /** `ok`, `degraded` or the error's code. */
      readonly outcome: string;
      /** Live values in the answer, and bytes of values read or written; undefined where there are none. */
      readonly siblings?: number | undefined;
      readonly bytes?: number | undefined;
    }
  | { readonly kind: "read-repair"; readonly replicas: number }
  | { readonly kind: "speculative-read" }
  | { readonly kind: "replica-failed"; readonly id: NodeId; readonly reason: string }
  | { readonly kind: "hint-stored"; readonly for: NodeId; readonly at: NodeId }
  /** Deleted keys of a partition were forgotten here. */
  | { readonly kind: "reaped"; readonly partition: number; readonly keys: number }
  /** A member did not take part: nothing, or not everywhere, was forgotten, and it is tried again. */
  | { readonly kind: "reap-refused"; readonly partition: number; readonly reason: string }
  | { readonly kind: "hints-relieved"; readonly for: NodeId; readonly count: number }
  | {
      /** All that there were, or those of the last second, while more follow. */
      readonly kind: "hints-delivered";
      readonly to: NodeId;
      readonly count: number;
      /** Of the states. */
      readonly bytes: number;
      readonly ms: number;
    }
  | { readonly kind: "value-large"; readonly key: string; readonly bytes: number }
  | { readonly kind: "siblings-many"; readonly key: string; readonly siblings: number }
  | {
      /** `forced`: how many of the entries went although somebody may still hold what they cover. */
      readonly kind: "clock-truncated";
      readonly key: string;
      readonly dropped: readonly { readonly actor: string; readonly counter: number }[];
      readonly forced: number;
    }
  | { readonly kind: "conflict"; readonly key: string; readonly discardedDot: string; readonly timeMs: number }
  | { readonly kind: "corrupt-record"; readonly where: string }
  | { readonly kind: "storage"; readonly state: "ok" | "full" | "failed"; readonly reason: string }
  | { readonly kind: "old-data"; readonly reason: string }
  /** Told by the transport: see `core/libp2p/problem.ts`. */
  | { readonly kind: "peer-problem"; readonly id: NodeId; readonly problem: string; readonly reason: string }
  /** A peer sent a member record whose signature is not that of who should have signed it. */
  | { readonly kind: "bad-record"; readonly from: NodeId; readonly about: NodeId; readonly reason: string }
  | { readonly kind: "bad-frame"; readonly from: string; readonly reason: string }
  | { readonly kind: "task-failed"; readonly task: string; readonly reason: string };

/** Where events go. Must not throw and must not block. */
export interface Telemetry {
  event(event: StoreEvent): void;
}
