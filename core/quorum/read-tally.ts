/**
 * Counts replica answers to one read, with three outcomes instead of two (PROTOCOL 6): known, degraded, not met.
 * Invariants: each host counts once; `met` is final; "absent" may be said only of `met`.
 */
import type { NodeId } from "../identity.ts";
import { invariant } from "../errors.ts";
import { addOnce, Holders, type Completeness, type PartitionView } from "./holders.ts";

/** What a replica says of itself: it holds the partition, or it answers from hints kept for an owner that is away. */
export type ReadRole = Completeness | "hint";

export type ReadOutcome =
  | { readonly kind: "pending" }
  | { readonly kind: "met" }
  /** R replies, but too few of owners or of complete holders: values are real, nothing found means nothing. */
  | { readonly kind: "degraded" }
  | { readonly kind: "failed"; readonly needed: number; readonly got: number };

/** Replies that are missing; not above 0 where there are enough. */
export interface Lacking {
  readonly owners: number;
  readonly complete: number;
}

export class ReadTally {
  readonly #holders: Holders;
  readonly #r: number;
  readonly #n: number;
  /** A few hosts at most: lists are smaller than sets, and one tally is made per read. */
  readonly #replied: NodeId[] = [];
  readonly #ownersReplied: NodeId[] = [];
  readonly #completeReplied: NodeId[] = [];
  readonly #asked: NodeId[] = [];
  #met = false;

  constructor(view: PartitionView, r: number) {
    invariant(r >= 1, "R is at least 1");
    this.#holders = new Holders(view);
    this.#r = r;
    this.#n = view.owners.length;
  }

  ask(node: NodeId): void {
    addOnce(this.#asked, node);
  }

  reply(from: NodeId, role: ReadRole): ReadOutcome {
    this.#answered(from);
    addOnce(this.#replied, from);
    if (role === "hint") return this.outcome();
    this.#holders.learn(from, role);
    if (this.#holders.isOwner(from)) addOnce(this.#ownersReplied, from);
    if (role === "complete") addOnce(this.#completeReplied, from);
    return this.outcome();
  }

  fail(from: NodeId): ReadOutcome {
    this.#answered(from);
    return this.outcome();
  }

  #answered(from: NodeId): void {
    const at = this.#asked.indexOf(from);
    if (at >= 0) this.#asked.splice(at, 1);
  }

  /** With nobody left to answer the outcome is final; ask further hosts before that. */
  outcome(): ReadOutcome {
    this.#met ||= this.#ownersReplied.length >= this.#r && this.#completeReplied.length >= this.#completeNeeded();
    if (this.#met) return { kind: "met" };
    if (this.#asked.length > 0) return { kind: "pending" };
    if (this.#replied.length >= this.#r) return { kind: "degraded" };
    return { kind: "failed", needed: this.#r, got: this.#replied.length };
  }

  /** If `expected` reply as what they are known to be; nobody else does who was asked. */
  lacking(expected: readonly NodeId[]): Lacking {
    const count = (replied: readonly NodeId[], counts: (node: NodeId) => boolean): number =>
      replied.length + expected.filter((node) => !replied.includes(node) && counts(node)).length;
    return {
      owners: this.#r - count(this.#ownersReplied, (node) => this.#holders.isOwner(node)),
      complete: this.#completeNeeded() - count(this.#completeReplied, (node) => this.#holders.isComplete(node)),
    };
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
