/**
 * The one door: every change of a key's stored state goes through here, as a merge (PROTOCOL 4).
 * Invariants: a state is in one atomic durable batch with everything that follows from it (hints) before the Merkle
 * index or anyone hears of it; work on one key is serial; what is damaged is never served as whole.
 */
import { bitmapOf } from "../bytes/bitmap.ts";
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import type { HybridClock } from "../causality/hybrid-clock.ts";
import { merge, nothing, type Versioned } from "../causality/version-set.ts";
import type { NodeConfig } from "../config.ts";
import { invariant, StoreError } from "../errors.ts";
import type { Key, NodeId, PartitionIndex } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { allPartitions } from "../placement/partition.ts";
import {
  type Clock,
  type Durability,
  type PageRequest,
  type Random,
  StorageError,
  type StorageOperation,
} from "../ports.ts";
import type { RecordPage, RecordStore } from "../storage/record-store.ts";
import { reasonOf } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import { ChangeLog } from "./change-log.ts";
import { type Batch, Commits, nothingMore, storeErrorOf } from "./commits.ts";
import { DamagedKeys } from "./damaged-keys.ts";
import { HintStore, type StoredHint } from "./hint-store.ts";
import type { Holding, Holdings } from "./holdings.ts";
import { KeyQueue } from "./key-queue.ts";
import { type Minted, Minter, type WriteEvent } from "./minter.ts";
import { MerkleIndex } from "./merkle-index.ts";
import type { OwnTime } from "./own-time.ts";
import { PartitionDrop } from "./partition-drop.ts";
import { CachedState, StateCache } from "./state-cache.ts";
import { Truncator } from "./truncator.ts";

export interface ReplicaDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly clock: Clock;
  readonly hybridClock: HybridClock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly ownTime: OwnTime;
  /** Own time before which what was known here of the partition is forgettable (`causality/truncation.ts`). */
  readonly forgettableBeforeMs: (partition: PartitionIndex) => number;
  /** Whether the ring gives the partition to this node; others may hold it too, from earlier. */
  readonly owns: (partition: PartitionIndex) => boolean;
  /** Whether this node is sure of the ring since its start; until then it says `filling` (PROTOCOL 9). */
  readonly isConfirmed: (partition: PartitionIndex) => boolean;
}

/** `none`: this node neither holds the partition nor keeps a hint for the key. */
export type CopyRole = "complete" | "filling" | "hint" | "none";

/** What this node holds of a key, and what that is worth. */
export interface Copy {
  readonly role: CopyRole;
  readonly held: CachedState;
}

export type Written = Copy & Omit<Minted, "state">;

export interface ApplyOptions {
  /** The state is a merge of enough complete copies: a damaged record is whole again with it. */
  readonly heals?: boolean;
  /** The state comes from its coordinator, not from a repair: a clock that is too long may be cut. */
  readonly minted?: boolean;
}

const neverWritten = new CachedState(nothing, undefined);

export class Replica {
  readonly hints: HintStore;
  readonly changes: ChangeLog;
  readonly index: MerkleIndex;
  readonly drop: PartitionDrop;
  readonly #deps: ReplicaDeps;
  readonly #config: NodeConfig;
  readonly #queue = new KeyQueue();
  readonly #cache: StateCache;
  readonly #damaged: DamagedKeys;
  readonly #minter: Minter;
  readonly #truncator: Truncator;
  readonly #commits: Commits;

  constructor(deps: ReplicaDeps, config: NodeConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#cache = new StateCache(config.cacheBytesMax);
    this.#damaged = new DamagedKeys(deps.records);
    this.#minter = new Minter(deps, config);
    this.#truncator = new Truncator(deps, config);
    this.#commits = new Commits(deps);
    this.hints = new HintStore(deps.records, deps.holdings);
    this.changes = new ChangeLog(deps, config.changeLogEntriesMax);
    this.index = new MerkleIndex(deps.records, deps.holdings.partitions);
    this.drop = new PartitionDrop({ ...deps, queue: this.#queue, forget: (located) => this.#forget(located) });
  }

  /** Reads from the disk what must be known before the first request. */
  async open(): Promise<void> {
    await Promise.all([this.hints.open(), this.#damaged.open()]);
  }

  /** What this node would answer of a key. Never rejects for damage: a damaged record makes the copy incomplete. */
  async read(located: LocatedKey): Promise<Copy> {
    const held = await this.row(located);
    const role = this.#roleOf(located);
    if (role !== "none" && this.#deps.owns(located.partition)) return { role, held };
    // A stand-in: what it keeps for others belongs to its answer. Without a holding that counts, that is all it is worth.
    const kept = await this.#keptOf(located);
    const all = kept.length === 0 ? held : new CachedState(kept.reduce(merge, held.state), undefined);
    if (role !== "none") return { role, held: all };
    return { role: all === neverWritten ? "none" : "hint", held: all };
  }

  /** The object's row alone, without what is kept for others: what the Merkle trees are made of. */
  async row(located: LocatedKey): Promise<CachedState> {
    if (this.#deps.holdings.get(located.partition) === "none") return neverWritten;
    return this.#cache.get(located.key) ?? this.#queue.run(located, () => this.#load(located));
  }

  /**
   * Merges a state that another node sent into the copy held here; durable when it resolves.
   * `encoded` is kept: it must not be a view of something larger, nor change.
   * @throws StoreError `not-ready` when this node holds nothing of the partition, `storage-full`, `corrupt`
   * @throws DecodeError when `encoded` is no state; nothing has changed then
   */
  async apply(located: LocatedKey, encoded: Uint8Array, options: ApplyOptions = {}): Promise<Copy> {
    const state = decodeVersioned(encoded);
    if (this.#roleOf(located) === "none") {
      throw new StoreError("not-ready", `this host does not hold partition ${located.partition}`);
    }
    return this.#queue.run(located, async () => {
      const before = await this.#load(located);
      const after = this.#merged(located, before, { state, encoded, isMinted: options.minted === true });
      const heals = options.heals === true && this.#damaged.has(located.key);
      // Memory may still have what rotted on the disk, so a heal always writes the row.
      const change = heals
        ? { before: neverWritten, after, more: this.#mending(located, after) }
        : { before, after, more: nothingMore };
      if (after !== before || heals) await this.#commit(located, change, this.#config.durability);
      return { role: this.#roleOf(located), held: after };
    });
  }

  /** Keeps a state for an owner that is away; durable when it resolves. */
  async keepHint(located: LocatedKey, target: NodeId, encoded: Uint8Array): Promise<void> {
    const state = decodeVersioned(encoded);
    await this.#queue.run(located, async () => {
      const before = await this.hints.get(target, located);
      const merged = before?.state === undefined ? state : merge(decodeVersioned(before.state), state);
      await this.#commitHints(located, [target], merged === state ? encoded : encodeVersioned(merged));
    });
  }

  /** An owner keeps in mind that another owner missed its current state; the state itself is the object's. */
  async oweTo(located: LocatedKey, target: NodeId): Promise<void> {
    await this.#queue.run(located, () => this.#commitHints(located, [target], undefined));
  }

  /**
   * Forgets a hint that its target has durably, unless it grew since: then it stays, and the answer is false.
   * The state that is forgotten may name this node's actor, so that actor ends here too (PROTOCOL 3).
   */
  async hintDelivered(located: LocatedKey, target: NodeId, delivered: StoredHint): Promise<boolean> {
    return this.#queue.run(located, async () => {
      const removal = await this.hints.remove(target, located, delivered);
      if (removal === undefined) return false;
      if (delivered.state !== undefined) this.#deps.holdings.dropActor(located.partition);
      // As durable as the hint was: one that a power cut brought back could bring back what was forgotten meanwhile.
      const { durability } = this.#config;
      await this.#flush(located, { operations: [removal.operation], committed: removal.committed }, durability);
      return true;
    });
  }

  /**
   * Mints a write on everything this node holds of the key, hints included; durable when it resolves.
   * @throws StoreError `too-many-siblings`, `storage-full`, `corrupt` (the own record is damaged: heal it first; a write
   *   despite it is safe, for what it lacks stays marked)
   */
  async write(
    located: LocatedKey,
    event: WriteEvent,
    options: { readonly despiteDamage?: boolean } = {},
  ): Promise<Written> {
    return this.#queue.run(located, async () => {
      const before = await this.#load(located);
      if (this.#damaged.has(located.key) && !options.despiteDamage) {
        throw new StoreError("corrupt", `the record of ${located.key} here is damaged`);
      }
      const held = (await this.#keptOf(located)).reduce(merge, before.state);
      const role = this.#roleOf(located);
      invariant(role !== "none" || event.hintsFor.length > 0, "what is minted is kept somewhere");
      // Nothing is awaited between the mint and the commit: the index must know of a change when its time is taken.
      const pointers = role === "none" ? nothingMore : await this.#hintBatch(located, event.hintsFor, undefined);
      const minted = this.#minter.mint(located, held, event);
      const cut = this.#truncator.minted(located, this.#truncator.timed(before.state, minted.state));
      const after = cut === before.state ? before : encodedAnew(cut);
      const more = role === "none" ? await this.#hintBatch(located, event.hintsFor, after.encoded) : pointers;
      // The one copy that is durable before the ack, whatever the others are told (paper 6.1).
      await this.#commit(located, { before, after: role === "none" ? before : after, more }, "synced");
      return { role: role === "none" ? "hint" : role, held: after, ...minted };
    });
  }

  /** Own rows in order, for those who copy or list them. */
  page(request: PageRequest): Promise<RecordPage> {
    return this.#deps.records.page("objects", request);
  }

  /** What this node says of a whole partition. */
  holdingOf(partition: PartitionIndex): Holding {
    const holding = this.#deps.holdings.get(partition);
    return holding === "complete" && !this.#deps.isConfirmed(partition) ? "filling" : holding;
  }

  /** How the last write to the disk went. */
  get storageState(): "ok" | "full" | "failed" {
    return this.#commits.state;
  }

  isDamaged(key: Key): boolean {
    return this.#damaged.has(key);
  }

  damagedKeys(): readonly Key[] {
    return this.#damaged.keys();
  }

  /** A damaged record of a partition that this node does not hold any more is of no use to anybody. */
  dropDamaged(located: LocatedKey): Promise<void> {
    return this.#queue.run(located, async () => {
      if (this.#roleOf(located) !== "none" || !this.#damaged.has(located.key)) return;
      await this.#flush(located, this.#mending(located, neverWritten), this.#config.durability);
      this.#cache.delete(located.key);
      this.index.distrust(located.partition);
    });
  }

  /** Something else met a damaged record of this key. */
  noteDamaged(located: LocatedKey, reason: string): Promise<void> {
    return this.#queue.run(located, () => this.#noteDamage(located, reason));
  }

  completePartitions(): Uint8Array {
    const { partitions } = this.#deps.holdings;
    return bitmapOf(
      partitions,
      allPartitions(partitions).filter((p) => this.holdingOf(p) === "complete"),
    );
  }

  /** The state in the object's row, from memory or from the disk. Runs within the key's queue. */
  async #load(located: LocatedKey): Promise<CachedState> {
    const known = this.#cache.get(located.key);
    if (known !== undefined) return known;
    let loaded = neverWritten;
    try {
      const encoded = await this.#deps.records.get("objects", located.row);
      if (encoded !== undefined) loaded = new CachedState(decodeVersioned(encoded), encoded);
    } catch (error: unknown) {
      if (!(error instanceof StorageError) || error.kind !== "corrupt") throw storeErrorOf(error);
      await this.#noteDamage(located, error.message);
    }
    this.#cache.set(located.key, loaded);
    return loaded;
  }

  /** The record is lost here, so what this node says of the key is incomplete until it is healed, also after a restart. */
  async #noteDamage(located: LocatedKey, reason: string): Promise<void> {
    this.#deps.holdings.dropActor(located.partition);
    if (this.#damaged.has(located.key)) return;
    this.#deps.telemetry.event({ kind: "corrupt-record", where: reason });
    this.#damaged.note(located.key);
    this.index.distrust(located.partition);
    try {
      await this.#deps.records.commit([this.#damaged.noted(located)]);
    } catch (cause: unknown) {
      // A full disk does not stop reads: until a restart memory knows, and then the record is found damaged again.
      this.#deps.telemetry.event({ kind: "task-failed", task: "note a damaged record", reason: reasonOf(cause) });
    }
  }

  /** `merge` returns its first argument when the second adds nothing: so either side may be stored as it came. */
  #merged(
    located: LocatedKey,
    before: CachedState,
    {
      state,
      encoded,
      isMinted,
    }: { readonly state: Versioned; readonly encoded: Uint8Array; readonly isMinted: boolean },
  ): CachedState {
    // A row of nothing would make the trees of two replicas differ that agree.
    if (state.vector.length === 0) return before;
    const merged = merge(before.state, state);
    if (merged === before.state) return before;
    const timed = this.#truncator.timed(before.state, merged);
    const cut = isMinted ? this.#truncator.arrived(located, timed, state) : timed;
    if (cut === merged && (merged === state || merge(state, before.state) === state)) {
      return new CachedState(state, encoded);
    }
    return encodedAnew(cut);
  }

  /** The mark goes, and the damaged row with it where nothing replaces it. */
  #mending(located: LocatedKey, after: CachedState): Batch {
    const row: StorageOperation = { kind: "delete", ns: "objects", key: located.row };
    return {
      operations: [this.#damaged.mended(located), ...(after.encoded === undefined ? [row] : [])],
      committed: () => this.#damaged.forget(located.key),
    };
  }

  /** The row goes; hints that stood on it keep its state themselves. */
  async #forget(located: LocatedKey): Promise<void> {
    const before = await this.#load(located);
    const targets = before.encoded === undefined ? [] : await this.hints.pointersTo(located);
    const hints = await this.#hintBatch(located, targets, before.encoded);
    // The row goes with a mark of damage, whether it has one or not.
    const row = this.#mending(located, neverWritten);
    const more = {
      operations: [...hints.operations, ...row.operations],
      committed: () => [hints, row].forEach(({ committed }) => committed()),
    };
    await this.#commit(located, { before, after: neverWritten, more }, this.#config.durability);
  }

  /** The batch of a change: the object's row and all that follows from `before` becoming `after`. */
  async #commit(
    located: LocatedKey,
    { before, after, more }: { readonly before: CachedState; readonly after: CachedState; readonly more: Batch },
    durability: Durability,
  ): Promise<void> {
    const operations: StorageOperation[] = [...more.operations];
    if (after !== before && after.encoded !== undefined) {
      operations.push({ kind: "put", ns: "objects", key: located.row, value: after.encoded });
    }
    if (operations.length === 0) return;
    const wasDamaged = this.#damaged.has(located.key);
    const pending = this.index.changing(located, before, after);
    try {
      await this.#flush(located, { operations, committed: more.committed }, durability);
    } catch (error: unknown) {
      this.index.failed(pending);
      throw error;
    }
    this.index.committed(pending);
    // What was there before is not known: it could not be read.
    if (wasDamaged) this.index.distrust(located.partition);
    if (after === before) return;
    this.#cache.set(located.key, after);
    if (after.encoded !== undefined) this.changes.append(located.key);
  }

  /** States kept of a key for whomever. One that is damaged may have named this node's actor, so that ends here. */
  async #keptOf(located: LocatedKey): Promise<Versioned[]> {
    const { states, damaged } = await this.hints.statesOf(located);
    if (damaged > 0) {
      this.#deps.holdings.dropActor(located.partition);
      this.#deps.telemetry.event({ kind: "corrupt-record", where: `hint for ${located.key}` });
    }
    return states.map(decodeVersioned);
  }

  async #commitHints(located: LocatedKey, targets: readonly NodeId[], state: Uint8Array | undefined): Promise<void> {
    await this.#flush(located, await this.#hintBatch(located, targets, state), this.#config.durability);
  }

  #hintBatch(located: LocatedKey, targets: readonly NodeId[], state: Uint8Array | undefined): Promise<Batch> {
    const hint = { nowMs: this.#deps.clock.wallTime(), ...(state === undefined ? {} : { state }) };
    return this.hints.putAll(targets, located, hint);
  }

  async #flush(located: LocatedKey, batch: Batch, durability: Durability): Promise<void> {
    try {
      await this.#commits.flush(batch, durability);
    } catch (error: unknown) {
      // It may be on the disk or not: what memory holds of the key, and the actor that minted it, are not to be trusted.
      this.#cache.delete(located.key);
      this.#deps.holdings.dropActor(located.partition);
      throw error;
    }
  }

  #roleOf(located: LocatedKey): CopyRole {
    const holding = this.holdingOf(located.partition);
    if (holding === "former" || holding === "dropping") return "none";
    return holding === "complete" && this.#damaged.has(located.key) ? "filling" : holding;
  }
}

function encodedAnew(state: Versioned): CachedState {
  return new CachedState(state, encodeVersioned(state));
}
