/**
 * What this node holds of each partition, and the actor under which it writes there.
 *
 * Invariant: an actor lives in memory only and never outlives what backs it (PROTOCOL 3). It is made at the first mint
 * of a process start and dropped when the partition's holding is dropped, when a key's state that names it is forgotten,
 * or when a record of the partition is found corrupt or could not be written. So a dot names one event for ever:
 * no lost disk, restored copy or second start can reuse one (riak_kv#679, #1094, #1643, #1027).
 */
import { ACTOR_BYTES, actorFromRandom } from "../causality/actor.ts";
import type { Dot } from "../causality/version-set.ts";
import { bitmapOf, hasBit } from "../bytes/bitmap.ts";
import type { ActorId, PartitionIndex } from "../identity.ts";
import type { Random } from "../ports.ts";

/**
 * `none`: at most hints are kept here. `former`: kept from when it was owned, and counted nowhere: it gets no writes any
 * more. A former owner goes on as `complete` while an owner is still filling. `dropping`: a `former` one whose rows are
 * being deleted; told and persisted as `former`, for after a crash some of them are still there.
 */
export type Holding = "none" | "filling" | "complete" | "former" | "dropping";

/** One bit a partition, absolute. */
export interface HoldingBitmaps {
  readonly complete: Uint8Array;
  readonly filling: Uint8Array;
  readonly former: Uint8Array;
  /** Here hints with states are kept for others, whatever else is held. */
  readonly hints: Uint8Array;
}

export class Holdings {
  readonly #random: Random;
  readonly #states: Holding[];
  readonly #fillings: number[];
  #fillingsBegun = 0;
  readonly #hinted = new Set<PartitionIndex>();
  readonly #actors = new Map<PartitionIndex, { readonly actor: ActorId; counter: number }>();

  constructor(partitions: number, random: Random) {
    this.#random = random;
    this.#states = Array.from({ length: partitions }, () => "none" as const);
    this.#fillings = Array.from({ length: partitions }, () => 0);
  }

  /** Q. */
  get partitions(): number {
    return this.#states.length;
  }

  get(partition: PartitionIndex): Holding {
    return this.#states[partition] ?? "none";
  }

  get isFilling(): boolean {
    return this.#states.includes("filling");
  }

  /** True when that changed something. */
  set(partition: PartitionIndex, state: Holding): boolean {
    if (this.#states[partition] === state) return false;
    this.#states[partition] = state;
    if (state === "none" || state === "dropping") this.dropActor(partition);
    if (state === "filling") this.#beginFilling(partition);
    return true;
  }

  /** Of all partitions since the start: while it stays the same, what counted as copied for a filling counts still. */
  get fillingsBegun(): number {
    return this.#fillingsBegun;
  }

  /** How often the partition began to fill since the start: what was copied for an earlier time does not count now. */
  fillingOf(partition: PartitionIndex): number {
    return this.#fillings[partition]!;
  }

  /** The next event of this node in the partition. Unique for ever; a mint that then fails just leaves a gap. */
  nextDot(partition: PartitionIndex): Dot {
    let own = this.#actors.get(partition);
    if (own === undefined) {
      own = { actor: actorFromRandom(this.#random.bytes(ACTOR_BYTES)), counter: 0 };
      this.#actors.set(partition, own);
    }
    own.counter += 1;
    return { actor: own.actor, counter: own.counter };
  }

  actorOf(partition: PartitionIndex): ActorId | undefined {
    return this.#actors.get(partition)?.actor;
  }

  dropActor(partition: PartitionIndex): void {
    this.#actors.delete(partition);
  }

  /** As published and persisted: absolute, one bit a partition. Hints are counted anew from the disk at each start. */
  bitmaps(): HoldingBitmaps {
    const size = this.#states.length;
    const bitsOf = (...states: readonly Holding[]): Uint8Array =>
      bitmapOf(
        size,
        this.#states.flatMap((each, i) => (states.includes(each) ? [i] : [])),
      );
    return {
      complete: bitsOf("complete"),
      filling: bitsOf("filling"),
      former: bitsOf("former", "dropping"),
      hints: this.hintsBitmap(),
    };
  }

  hintsBitmap(): Uint8Array {
    return bitmapOf(this.#states.length, this.#hinted);
  }

  /** Whether hints with states are kept in the partition; true before the first of them is on the disk. */
  isHinted(partition: PartitionIndex): boolean {
    return this.#hinted.has(partition);
  }

  setHinted(partition: PartitionIndex, isHinted: boolean): void {
    if (isHinted) this.#hinted.add(partition);
    else this.#hinted.delete(partition);
  }

  /** What was complete may lack something, and what is filling something of what it copied: all of it is copied anew. */
  refillAll(): void {
    for (let i = 0; i < this.#states.length; i++) this.refill(i as PartitionIndex);
  }

  /** The same for one partition; false: it is neither. */
  refill(partition: PartitionIndex): boolean {
    if (this.#states[partition] !== "complete" && this.#states[partition] !== "filling") return false;
    this.#states[partition] = "filling";
    this.#beginFilling(partition);
    return true;
  }

  /** What was held under an earlier life is worth what a former holder has: its states are offered, and count nowhere. */
  retireAll(): void {
    for (let i = 0; i < this.#states.length; i++) if (this.#states[i] !== "none") this.#states[i] = "former";
  }

  restore(bitmaps: Pick<HoldingBitmaps, "complete" | "filling" | "former">): void {
    for (let i = 0; i < this.#states.length; i++) {
      if (hasBit(bitmaps.complete, i)) this.#states[i] = "complete";
      else if (hasBit(bitmaps.filling, i)) this.#states[i] = "filling";
      else if (hasBit(bitmaps.former, i)) this.#states[i] = "former";
    }
  }

  #beginFilling(partition: PartitionIndex): void {
    this.#fillings[partition]! += 1;
    this.#fillingsBegun += 1;
  }
}
