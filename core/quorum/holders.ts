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

/** A view that learns from replies. One is made per request, so it copies nothing until a reply says something new. */
export class Holders {
  readonly #view: PartitionView;
  #learned: Map<NodeId, Completeness> | undefined;

  constructor(view: PartitionView) {
    this.#view = view;
  }

  learn(node: NodeId, state: Completeness): void {
    if (this.#stateOf(node) !== state) (this.#learned ??= new Map()).set(node, state);
  }

  isOwner(node: NodeId): boolean {
    return this.#view.owners.includes(node);
  }

  isComplete(node: NodeId): boolean {
    return this.#stateOf(node) === "complete";
  }

  /** While an owner is filling, quorums are met twice: among the N, and among the complete holders. */
  anyOwnerFilling(): boolean {
    for (const owner of this.#view.owners) if (this.#stateOf(owner) === "filling") return true;
    return false;
  }

  /** c: the complete holders, former owners included. */
  completeCount(): number {
    const nodes = new Set([...this.#view.owners, ...this.#view.holders.keys(), ...(this.#learned?.keys() ?? [])]);
    return [...nodes].filter((node) => this.isComplete(node)).length;
  }

  #stateOf(node: NodeId): Completeness | undefined {
    const known = this.#learned?.get(node) ?? this.#view.holders.get(node);
    return known ?? (this.isOwner(node) ? "complete" : undefined);
  }
}

/** Adds to a list of a few hosts, in which each stands once. */
export function addOnce(list: NodeId[], node: NodeId): void {
  if (!list.includes(node)) list.push(node);
}
