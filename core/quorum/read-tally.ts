/**
 * Counts replica answers to one read, with three outcomes instead of two (PROTOCOL 6): known, degraded, not met.
 * Invariants: each host counts once; `met` is final; "absent" may be said only of `met`.
 */
import type { NodeId } from "../identity.ts";
import { invariant } from "../errors.ts";
import { Holders, type Completeness, type PartitionView } from "./holders.ts";

/** What a replica says of itself: it holds the partition, or it answers from hints kept for an owner that is away. */
export type ReadRole = Completeness | "hint";

export type ReadOutcome =
  | { readonly kind: "pending" }
  | { readonly kind: "met" }
  /** R replies, but too few of owners or of complete holders: values are real, nothing found means nothing. */
  | { readonly kind: "degraded" }
  | { readonly kind: "failed"; readonly needed: number; readonly got: number };

export class ReadTally {
  readonly #holders: Holders;
  readonly #r: number;
  readonly #n: number;
  readonly #replied = new Set<NodeId>();
  readonly #ownersReplied = new Set<NodeId>();
  readonly #completeReplied = new Set<NodeId>();
  readonly #asked = new Set<NodeId>();
  #met = false;

  constructor(view: PartitionView, r: number) {
    invariant(r >= 1, "R is at least 1");
    this.#holders = new Holders(view);
    this.#r = r;
    this.#n = view.owners.length;
  }

  ask(node: NodeId): void {
    this.#asked.add(node);
  }

  reply(from: NodeId, role: ReadRole): ReadOutcome {
    this.#asked.delete(from);
    this.#replied.add(from);
    if (role === "hint") return this.outcome();
    this.#holders.learn(from, role);
    if (this.#holders.isOwner(from)) this.#ownersReplied.add(from);
    if (role === "complete") this.#completeReplied.add(from);
    return this.outcome();
  }

  fail(from: NodeId): ReadOutcome {
    this.#asked.delete(from);
    return this.outcome();
  }

  /** With nobody left to answer the outcome is final; ask further hosts before that. */
  outcome(): ReadOutcome {
    this.#met ||= this.#ownersReplied.size >= this.#r && this.#completeReplied.size >= this.#completeNeeded();
    if (this.#met) return { kind: "met" };
    if (this.#asked.size > 0) return { kind: "pending" };
    if (this.#replied.size >= this.#r) return { kind: "degraded" };
    return { kind: "failed", needed: this.#r, got: this.#replied.size };
  }

  get replied(): readonly NodeId[] {
    return [...this.#replied];
  }

  /**
   * R + max(0, c - N) of the c complete holders, so that a read meets every write that was acked by min(W, c) of them
   * when R + W > N. Never more than there are.
   */
  #completeNeeded(): number {
    if (!this.#holders.anyOwnerFilling()) return 0;
    const complete = this.#holders.completeCount();
    // Nobody claims completeness: nothing can be known for certain (`partition-lost`).
    if (complete === 0) return Number.POSITIVE_INFINITY;
    return Math.min(this.#r + Math.max(0, complete - this.#n), complete);
  }
}
