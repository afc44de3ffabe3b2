/**
 * Counts the durable copies of one write (PROTOCOL 5.2; the paper's sloppy quorum, 4.5 and 4.6).
 * Invariants: each host counts once, whatever it says how often; once decided, the kind of the outcome never changes.
 */
import type { NodeId } from "../identity.ts";
import { invariant } from "../errors.ts";
import { addOnce, Holders, type Completeness, type PartitionView } from "./holders.ts";

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
  /** Whether these may be the only ones that hold it durably (`Ring.anchors`). */
  readonly anchors: (hosts: readonly NodeId[]) => boolean;
}

export class WriteTally {
  readonly #holders: Holders;
  readonly #needs: WriteNeeds;
  /** Hosts that have it on their disk. (Each list holds a few hosts at most, each once: smaller than sets.) */
  readonly #durable: NodeId[] = [];
  /** Owners that have it or are stood for: a hint is gone once its owner has it, so the two are one copy. */
  readonly #covered: NodeId[] = [];
  readonly #ownersDurable: NodeId[] = [];
  readonly #completeCovered: NodeId[] = [];
  readonly #hinted: { for: NodeId; at: NodeId }[] = [];
  /** Whose answers are still to come; twice a host that was asked to hold it and to stand in for another. */
  readonly #asked: NodeId[] = [];
  #decided: WriteOutcome | undefined;

  constructor(view: PartitionView, needs: WriteNeeds) {
    invariant(needs.w >= 1 && needs.pw >= 0 && needs.pw <= needs.w, "0 <= pw <= w and w >= 1");
    this.#holders = new Holders(view);
    this.#needs = needs;
  }

  /** The write is on its way to this host: until it answers, success may still come from there. */
  ask(node: NodeId): void {
    this.#asked.push(node);
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
    const at = this.#asked.indexOf(from);
    if (at >= 0) this.#asked.splice(at, 1);
  }

  #count(from: NodeId, ack: WriteAck): void {
    if (ack.kind === "hint") {
      this.#hinted.push({ for: ack.for, at: from });
      addOnce(this.#durable, from);
      if (this.#holders.isOwner(ack.for)) addOnce(this.#covered, ack.for);
      if (this.#holders.isComplete(ack.for)) addOnce(this.#completeCovered, ack.for);
      return;
    }
    this.#holders.learn(from, ack.state);
    if (this.#holders.isOwner(from)) {
      addOnce(this.#durable, from);
      addOnce(this.#covered, from);
      addOnce(this.#ownersDurable, from);
    }
    if (ack.state === "complete") addOnce(this.#completeCovered, from);
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
    const copies = Math.min(this.#durable.length, this.#covered.length);
    const complete = this.#completeNeeded();
    const missing = Math.max(w - copies, pw - this.#ownersDurable.length, complete - this.#completeCovered.length);
    const { anchors } = this.#needs;
    const isAnchored = anchors(this.#durable);
    if (missing <= 0 && isAnchored) return { kind: "met" };
    // Fail as soon as success is out of reach: the client should not wait for a timeout.
    if (missing <= this.#asked.length && (isAnchored || anchors(this.#asked))) return undefined;
    const quotas = [
      { needed: w, got: copies },
      { needed: pw, got: this.#ownersDurable.length },
      { needed: complete, got: this.#completeCovered.length },
    ];
    const lost = quotas.find(({ needed, got }) => needed - got > this.#asked.length);
    return { kind: "failed", ...(lost ?? { needed: w, got: copies }) };
  }

  #completeNeeded(): number {
    return this.#holders.anyOwnerFilling() ? Math.min(this.#needs.w, this.#holders.completeCount()) : 0;
  }
}
