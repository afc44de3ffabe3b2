/**
 * Counts the durable copies of one write (PROTOCOL 5.2; the paper's sloppy quorum, 4.5 and 4.6).
 * Invariants: each host counts once, whatever it says how often; once decided, the kind of the outcome never changes.
 */
import type { NodeId } from "../identity.ts";
import { invariant } from "../errors.ts";
import { Holders, type Completeness, type PartitionView } from "./holders.ts";

/** What a replica says when it has stored a write: as a holder, or as a stand-in that keeps a hint. */
export type WriteAck =
  | { readonly kind: "held"; readonly state: Completeness }
  | { readonly kind: "hint"; readonly for: NodeId };

export type WriteOutcome =
  | { readonly kind: "pending" }
  | { readonly kind: "met" }
  | { readonly kind: "failed"; readonly needed: number; readonly got: number };

export interface WriteNeeds {
  /** W: hosts that must hold it durably, fallbacks included. */
  readonly w: number;
  /** PW: how many of these must be owners; 0 when the client does not care. */
  readonly pw: number;
}

export class WriteTally {
  readonly #holders: Holders;
  readonly #needs: WriteNeeds;
  /** Hosts that have it on their disk. */
  readonly #durable = new Set<NodeId>();
  /** Owners that have it or are stood for: a hint is gone once its owner has it, so the two are one copy. */
  readonly #covered = new Set<NodeId>();
  readonly #ownersDurable = new Set<NodeId>();
  readonly #completeCovered = new Set<NodeId>();
  readonly #hinted: { for: NodeId; at: NodeId }[] = [];
  /** Answers still to come, by host: one host may be asked to hold it and to stand in for another. */
  readonly #asked = new Map<NodeId, number>();
  #decided: WriteOutcome | undefined;

  constructor(view: PartitionView, needs: WriteNeeds) {
    invariant(needs.w >= 1 && needs.pw >= 0 && needs.pw <= needs.w, "0 <= pw <= w and w >= 1");
    this.#holders = new Holders(view);
    this.#needs = needs;
  }

  /** The write is on its way to this host: until it answers, success may still come from there. */
  ask(node: NodeId): void {
    this.#asked.set(node, (this.#asked.get(node) ?? 0) + 1);
  }

  ack(from: NodeId, ack: WriteAck): WriteOutcome {
    this.#answered(from);
    this.#count(from, ack);
    return this.outcome();
  }

  /** What this node has done itself, all at once: it was asked nothing. */
  ackOwn(self: NodeId, acks: readonly WriteAck[]): WriteOutcome {
    for (const ack of acks) this.#count(self, ack);
    return this.outcome();
  }

  fail(from: NodeId): WriteOutcome {
    this.#answered(from);
    return this.outcome();
  }

  #answered(from: NodeId): void {
    const left = (this.#asked.get(from) ?? 0) - 1;
    if (left > 0) this.#asked.set(from, left);
    else this.#asked.delete(from);
  }

  #count(from: NodeId, ack: WriteAck): void {
    if (ack.kind === "hint") {
      this.#hinted.push({ for: ack.for, at: from });
      this.#durable.add(from);
      if (this.#holders.isOwner(ack.for)) this.#covered.add(ack.for);
      if (this.#holders.isComplete(ack.for)) this.#completeCovered.add(ack.for);
      return;
    }
    this.#holders.learn(from, ack.state);
    if (this.#holders.isOwner(from)) {
      this.#durable.add(from);
      this.#covered.add(from);
      this.#ownersDurable.add(from);
    }
    if (ack.state === "complete") this.#completeCovered.add(from);
  }

  outcome(): WriteOutcome {
    this.#decided ??= this.#decide();
    return this.#decided ?? { kind: "pending" };
  }

  get durable(): readonly NodeId[] {
    return [...this.#durable];
  }

  get hinted(): readonly { readonly for: NodeId; readonly at: NodeId }[] {
    return this.#hinted;
  }

  #decide(): WriteOutcome | undefined {
    const { w, pw } = this.#needs;
    const quotas = [
      { needed: w, got: Math.min(this.#durable.size, this.#covered.size) },
      { needed: pw, got: this.#ownersDurable.size },
      { needed: this.#completeNeeded(), got: this.#completeCovered.size },
    ];
    const short = quotas.filter(({ needed, got }) => got < needed);
    if (short.length === 0) return { kind: "met" };
    // Fail as soon as success is out of reach: the client should not wait for a timeout.
    const toCome = [...this.#asked.values()].reduce((sum, count) => sum + count, 0);
    const lost = short.find(({ needed, got }) => got + toCome < needed);
    return lost && { kind: "failed", ...lost };
  }

  #completeNeeded(): number {
    return this.#holders.anyOwnerFilling() ? Math.min(this.#needs.w, this.#holders.completeCount()) : 0;
  }
}
