/**
 * Who holds a partition, and how completely: the merged view that both tallies count in (PROTOCOL 9, *Filling*).
 * Gossip gives the first view; what a replica says of itself in a reply replaces it.
 */
import type { NodeId } from "../identity.ts";

/** `complete`: it has every write that was acknowledged by the complete holders; `filling`: it is still copying. */
export type Completeness = "complete" | "filling";

export interface PartitionView {
  /** The first N of the preference list. */
  readonly owners: readonly NodeId[];
  /** Every host that holds the partition, former owners included. An owner that is missing here counts as complete. */
  readonly holders: ReadonlyMap<NodeId, Completeness>;
}

/** A view that learns from replies. */
export class Holders {
  readonly owners: ReadonlySet<NodeId>;
  readonly #states: Map<NodeId, Completeness>;

  constructor(view: PartitionView) {
    this.owners = new Set(view.owners);
    this.#states = new Map(view.holders);
    for (const owner of view.owners) if (!this.#states.has(owner)) this.#states.set(owner, "complete");
  }

  learn(node: NodeId, state: Completeness): void {
    this.#states.set(node, state);
  }

  isComplete(node: NodeId): boolean {
    return this.#states.get(node) === "complete";
  }

  /** While an owner is filling, quorums are met twice: among the N, and among the complete holders. */
  anyOwnerFilling(): boolean {
    for (const owner of this.owners) if (this.#states.get(owner) === "filling") return true;
    return false;
  }

  /** c: the complete holders, former owners included. */
  completeCount(): number {
    let count = 0;
    for (const state of this.#states.values()) if (state === "complete") count += 1;
    return count;
  }
}
