/**
 * How an edge's writes become events (PROTOCOL 3, *Edges*). An actor derives from the node's id and a nonce, and the nonce
 * is drawn in this process and lives in its memory alone: so a second tab, a restart, cleared storage or a restored old
 * copy of it cannot give a dot again.
 * Invariant: an actor is used on a key only by writes that have seen its last event on the key; a vector entry (A, 60) then
 * truly covers all of A's events there up to 60. Whoever makes the node forget an event of the actor, or doubt whether it
 * was stored, drops the actor.
 */
import { toHex } from "../bytes/hex.ts";
import { ACTOR_BYTES, actorOfEdge, actorOfWriteId, type WriteId } from "../causality/actor.ts";
import type { HybridClock } from "../causality/hybrid-clock.ts";
import {
  type Coverage,
  covers,
  type Dot,
  highestStamp,
  isUpdate,
  kindOfWrite,
  type LiveValue,
  stampOfRenewal,
  type Versioned,
} from "../causality/version-set.ts";
import type { ActorId, Key, NodeId } from "../identity.ts";
import type { Random } from "../ports.ts";
import type { OwnEvent } from "../rpc/edge-messages.ts";

/** A write as the application asks it, and all that this node knows of the key. */
export interface Intended {
  readonly key: Key;
  readonly known: Versioned;
  readonly coverage: Coverage;
  readonly value: Pick<LiveValue, "kind" | "tombstone" | "contentType" | "body" | "expiresAtMs">;
  readonly writeId?: WriteId;
  /** It only lets live on what it has seen. */
  readonly renews?: boolean;
}

export interface Minted {
  readonly event: OwnEvent;
  readonly value: LiveValue;
  /** The write id could not be used. */
  readonly writeIdIgnored: boolean;
  /** Its actor's last event on the key before it; 0: none. */
  readonly previous: number;
}

export class OwnActor {
  readonly #edge: NodeId;
  readonly #random: Random;
  readonly #hybridClock: HybridClock;
  #current: { readonly nonce: string; readonly actor: ActorId; counter: number } | undefined;

  constructor(deps: { readonly edge: NodeId; readonly random: Random; readonly hybridClock: HybridClock }) {
    this.#edge = deps.edge;
    this.#random = deps.random;
    this.#hybridClock = deps.hybridClock;
  }

  /** `wallMs`: the best that this node knows of the time. */
  mint({ key, known, coverage, value, writeId, renews }: Intended, wallMs: number, entriesMax: number): Minted {
    const kind = kindOfWrite(known, coverage, value.kind);
    const stamp = renews
      ? stampOfRenewal(known, coverage)
      : this.#hybridClock.tick(wallMs, coverage.stamp, highestStamp(known));
    if (writeId !== undefined) {
      const dot = { actor: actorOfWriteId(key, writeId), counter: 1 };
      // As at a host: lww values ignore write ids, and so do vectors that may have been cut already.
      const isUsable = kind !== "lww" && known.vector.length < entriesMax;
      if (isUsable || covers(known.vector, dot)) {
        const event = { writeId, counter: 1 };
        return { event, value: { ...value, kind, stamp, dot }, writeIdIgnored: false, previous: 0 };
      }
    }
    // An update claims nothing of its context, and is taken only where its actor's events before it are held.
    const { nonce, actor, counter } = this.#next(known, isUpdate(value) ? known : coverage);
    const dot = { actor, counter };
    const previous = known.vector.find((entry) => entry.actor === actor)?.counter ?? 0;
    const minted = { ...value, kind, stamp, dot };
    return { event: { nonce, counter }, value: minted, writeIdIgnored: writeId !== undefined, previous };
  }

  /** The name of an event that follows none, nor is followed: it may yet fail to be stored. `counter`: its own, not below 1. */
  draw(counter: number): { readonly event: OwnEvent; readonly dot: Dot } {
    this.drop();
    const { nonce, actor } = this.#draw();
    return { event: { nonce, counter }, dot: { actor, counter } };
  }

  /** If the state that is forgotten names the actor, it ends. */
  forget(state: Pick<Versioned, "vector">): void {
    if (state.vector.some(({ actor }) => actor === this.#current?.actor)) this.drop();
  }

  drop(): void {
    this.#current = undefined;
  }

  #next({ vector }: Versioned, coverage: Pick<Coverage, "vector">): { nonce: string; actor: ActorId; counter: number } {
    const last = vector.find(({ actor }) => actor === this.#current?.actor);
    if (last !== undefined && !covers(coverage.vector, last)) this.drop();
    this.#current ??= this.#draw();
    this.#current.counter += 1;
    return { ...this.#current };
  }

  #draw(): { readonly nonce: string; readonly actor: ActorId; counter: number } {
    const nonce = toHex(this.#random.bytes(ACTOR_BYTES));
    return { nonce, actor: actorOfEdge(this.#edge, nonce), counter: 0 };
  }
}
