/**
 * The one door: every change of a key's stored state goes through here, as a merge (PROTOCOL 4).
 * Invariants: a state is in one atomic durable batch with everything that follows from it (hints) before the Merkle
 * index or anyone hears of it; work on one key is serial; what is damaged is never served as whole.
 */
import { bitmapOf } from "../bytes/bitmap.ts";
import { actorOfWriteId, type WriteId } from "../causality/actor.ts";
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import type { HybridClock } from "../causality/hybrid-clock.ts";
import { truncate } from "../causality/truncation.ts";
import {
  type Coverage,
  covers,
  type Dot,
  highestStamp,
  kindOfWrite,
  type LiveValue,
  merge,
  mint,
  nothing,
  siblings,
  type Versioned,
} from "../causality/version-set.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
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
import { DamagedKeys } from "./damaged-keys.ts";
import { HintStore } from "./hint-store.ts";
import type { Holding, Holdings } from "./holdings.ts";
import { KeyQueue } from "./key-queue.ts";
import { MerkleIndex } from "./merkle-index.ts";
import { CachedState, StateCache } from "./state-cache.ts";

export interface ReplicaDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly clock: Clock;
  readonly hybridClock: HybridClock;
  readonly random: Random;
  readonly telemetry: Telemetry;
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

/** A write as the client asked it; the dot and the stamp come from here. */
export interface WriteEvent {
  readonly coverage: Coverage;
  /** False: the client gave no context, so the write can only add a sibling. */
  readonly hasContext: boolean;
  readonly value: Pick<LiveValue, "kind" | "tombstone" | "contentType" | "body" | "expiresAtMs">;
  readonly writeId?: WriteId;
  /** Owners that are away and have no stand-in: kept for them here, in the same batch. */
  readonly hintsFor: readonly NodeId[];
}

export interface Written extends Copy {
  readonly dot: Dot;
  readonly stamp: number;
  /** The write id could not be used. */
  readonly writeIdIgnored: boolean;
}

const neverWritten = new CachedState(nothing, undefined);

export class Replica {
  readonly hints: HintStore;
  readonly changes: ChangeLog;
  readonly index: MerkleIndex;
  readonly #deps: ReplicaDeps;
  readonly #config: NodeConfig;
  readonly #queue = new KeyQueue();
  readonly #cache: StateCache;
  readonly #damaged: DamagedKeys;
  #storageState: "ok" | "full" | "failed" = "ok";

  constructor(deps: ReplicaDeps, config: NodeConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#cache = new StateCache(config.cacheBytesMax);
    this.#damaged = new DamagedKeys(deps.records);
    this.hints = new HintStore(deps.records);
    this.changes = new ChangeLog(deps, config.changeLogEntriesMax);
    this.index = new MerkleIndex(deps.records, deps.holdings.partitions);
  }

  /** Reads from the disk what must be known before the first request. */
  async open(): Promise<void> {
    await Promise.all([this.hints.open(), this.#damaged.open()]);
  }

  /** What this node would answer of a key. Never rejects for damage: a damaged record makes the copy incomplete. */
  async read(located: LocatedKey): Promise<Copy> {
    const cached = this.#cache.get(located.key);
    const held = cached ?? (await this.#queue.run(located.key, () => this.#load(located)));
    const role = this.#roleOf(located);
    if (role !== "none") return { role, held };
    const kept = await this.hints.statesOf(located);
    if (kept.length === 0) return { role, held: neverWritten };
    return { role: "hint", held: new CachedState(kept.map(decodeVersioned).reduce(merge), undefined) };
  }

  /**
   * Merges a state that another node sent into the copy held here; durable when it resolves.
   * With `heals` the state is a merge of enough complete copies: a damaged record is whole again with it.
   * @throws StoreError `not-ready` when this node holds nothing of the partition, `storage-full`, `corrupt`
   * @throws DecodeError when `encoded` is no state; nothing has changed then
   */
  async apply(located: LocatedKey, encoded: Uint8Array, options: { readonly heals?: boolean } = {}): Promise<Copy> {
    const incoming = own(encoded);
    const state = decodeVersioned(incoming);
    if (this.#deps.holdings.get(located.partition) === "none") {
      throw new StoreError("not-ready", `this host holds nothing of partition ${located.partition}`);
    }
    return this.#queue.run(located.key, async () => {
      const before = await this.#load(located);
      const after = this.#merged(before, state, incoming);
      const heals = options.heals === true && this.#damaged.has(located.key);
      if (after !== before || heals) {
        const more = heals ? [this.#damaged.mended(located)] : [];
        await this.#commit(located, { before, after, more }, this.#config.durability);
        if (heals) this.#damaged.forget(located.key);
      }
      return { role: this.#roleOf(located), held: after };
    });
  }

  /** Keeps a state for an owner that is away; durable when it resolves. */
  async keepHint(located: LocatedKey, target: NodeId, encoded: Uint8Array): Promise<void> {
    const incoming = own(encoded);
    const state = decodeVersioned(incoming);
    await this.#queue.run(located.key, async () => {
      const before = await this.hints.get(target, located);
      const merged = before?.state === undefined ? state : merge(decodeVersioned(before.state), state);
      await this.#commitHints(located, [target], merged === state ? incoming : encodeVersioned(merged));
    });
  }

  /** An owner keeps in mind that another owner missed its current state; the state itself is the object's. */
  async oweTo(located: LocatedKey, target: NodeId): Promise<void> {
    await this.#queue.run(located.key, () => this.#commitHints(located, [target], undefined));
  }

  /**
   * Mints a write on everything this node holds of the key, hints included; durable when it resolves.
   * @throws StoreError `too-many-siblings`, `storage-full`, `corrupt` (the own record is damaged: heal it first)
   */
  async write(located: LocatedKey, event: WriteEvent): Promise<Written> {
    return this.#queue.run(located.key, async () => {
      const before = await this.#load(located);
      if (this.#damaged.has(located.key))
        throw new StoreError("corrupt", `the record of ${located.key} here is damaged`);
      const kept = await this.hints.statesOf(located);
      const held = kept.map(decodeVersioned).reduce(merge, before.state);
      const minted = this.#mint(located, held, event);
      const after = minted.state === before.state ? before : encodedAnew(minted.state);
      const role = this.#roleOf(located);
      const hints = await this.#hintOperations(located, event.hintsFor, role === "none" ? after.encoded! : undefined);
      // The one copy that is durable before the ack, whatever the others are told (paper 6.1).
      if (role === "none") await this.#flush(located, hints, "synced");
      else if (after !== before || hints.operations.length > 0) {
        await this.#commit(located, { before, after, more: hints.operations }, "synced");
        hints.committed();
      }
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
    return this.#storageState;
  }

  completePartitions(): Uint8Array {
    const { partitions } = this.#deps.holdings;
    return bitmapOf(
      partitions,
      allPartitions(partitions).filter((p) => this.holdingOf(p) === "complete"),
    );
  }

  #mint(
    located: LocatedKey,
    held: Versioned,
    event: WriteEvent,
  ): { state: Versioned; dot: Dot; stamp: number; writeIdIgnored: boolean } {
    const { coverage, value } = event;
    const kind = kindOfWrite(held, coverage, value.kind);
    const usesWriteId =
      event.writeId !== undefined && kind !== "lww" && held.vector.length < this.#config.clockEntriesMax;
    const writeIdIgnored = event.writeId !== undefined && !usesWriteId;
    const dot = usesWriteId
      ? { actor: actorOfWriteId(located.key, event.writeId), counter: 1 }
      : this.#deps.holdings.nextDot(located.partition);
    const stamp = this.#deps.hybridClock.tick(this.#deps.clock.wallTime(), coverage.stamp, highestStamp(held));
    if (covers(held.vector, dot)) return { state: held, dot, stamp, writeIdIgnored };
    this.#checkSiblings(located.key, held, event);
    const body = own(value.body);
    const state = this.#truncated(located, mint(held, coverage, { ...value, body, kind, dot, stamp }));
    return { state, dot, stamp, writeIdIgnored };
  }

  #checkSiblings(key: Key, held: Versioned, event: WriteEvent): void {
    const live = siblings(held, this.#deps.clock.wallTime());
    if (live.length + 1 >= this.#config.siblingsWarn && !event.hasContext) {
      this.#deps.telemetry.event({ kind: "siblings-many", key, siblings: live.length + 1 });
    }
    if (event.hasContext) return;
    const bytes = live.reduce((sum, value) => sum + value.body.length, event.value.body.length);
    if (live.length < this.#config.siblingsMax && bytes <= this.#config.siblingBytesMax) return;
    throw new StoreError(
      "too-many-siblings",
      `${key} has ${live.length} concurrent values (${bytes} bytes): read it and write the merged value with its context`,
    );
  }

  /** Only where a version is minted: repair, hints and anti-entropy never truncate (PROTOCOL 3). */
  #truncated(located: LocatedKey, state: Versioned): Versioned {
    if (state.vector.length <= this.#config.clockEntriesMax) return state;
    const ownActor = this.#deps.holdings.actorOf(located.partition);
    const result = truncate(state, {
      entriesMax: this.#config.clockEntriesMax,
      ownActor,
      // Agreement of all owners since an entry's time is known from anti-entropy, which this version lacks. Whoever adds
      // it must `touch` the state at each merge too (causality/version-set.ts): times of entries are then this node's own.
      agreed: () => false,
    });
    if (result.dropped > 0) {
      this.#deps.telemetry.event({
        kind: "clock-truncated",
        key: located.key,
        entries: result.dropped,
        forced: result.forced > 0,
      });
    }
    return result.state;
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
      await this.#noteDamage(located, error);
    }
    this.#cache.set(located.key, loaded);
    return loaded;
  }

  /** The record is lost here, so what this node says of the key is incomplete until it is healed, also after a restart. */
  async #noteDamage(located: LocatedKey, error: StorageError): Promise<void> {
    this.#deps.holdings.dropActor(located.partition);
    this.#deps.telemetry.event({ kind: "corrupt-record", where: error.message });
    this.#damaged.note(located.key);
    this.index.distrust(located.partition);
    await this.#deps.records.commit([this.#damaged.noted(located)]).catch((cause: unknown) => {
      throw storeErrorOf(cause);
    });
  }

  /** `merge` returns its first argument when the second adds nothing: so either side may be stored as it came. */
  #merged(before: CachedState, incoming: Versioned, encoded: Uint8Array): CachedState {
    if (before === neverWritten) return new CachedState(incoming, encoded);
    const merged = merge(before.state, incoming);
    if (merged === before.state) return before;
    if (merge(incoming, before.state) === incoming) return new CachedState(incoming, encoded);
    return encodedAnew(merged);
  }

  /** The batch of a change: the object's row and all that follows from `before` becoming `after`. */
  async #commit(
    located: LocatedKey,
    change: {
      readonly before: CachedState;
      readonly after: CachedState;
      readonly more: readonly StorageOperation[];
    },
    durability: Durability,
  ): Promise<void> {
    const { before, after, more } = change;
    const operations: StorageOperation[] = [...more];
    if (after !== before) operations.push({ kind: "put", ns: "objects", key: located.row, value: after.encoded! });
    const pending = this.index.changing(located, before, after);
    try {
      await this.#flush(located, { operations, committed: () => {} }, durability);
    } catch (error: unknown) {
      this.index.failed(pending);
      throw error;
    }
    this.#cache.set(located.key, after);
    this.index.committed(pending);
    // What was there before is not known: it could not be read.
    if (this.#damaged.has(located.key)) this.index.distrust(located.partition);
    if (after !== before) this.changes.append(located.key);
  }

  async #commitHints(located: LocatedKey, targets: readonly NodeId[], state: Uint8Array | undefined): Promise<void> {
    await this.#flush(located, await this.#hintOperations(located, targets, state), this.#config.durability);
  }

  async #hintOperations(
    located: LocatedKey,
    targets: readonly NodeId[],
    state: Uint8Array | undefined,
  ): Promise<{ operations: readonly StorageOperation[]; committed: () => void }> {
    if (targets.length === 0) return { operations: [], committed: () => {} };
    const hint = { nowMs: this.#deps.clock.wallTime(), ...(state === undefined ? {} : { state }) };
    const puts = await Promise.all(targets.map((target) => this.hints.put(target, located, hint)));
    return {
      operations: puts.map((put) => put.operation),
      committed: () => puts.forEach((put) => put.committed()),
    };
  }

  async #flush(
    located: LocatedKey,
    batch: { readonly operations: readonly StorageOperation[]; readonly committed: () => void },
    durability: Durability,
  ): Promise<void> {
    try {
      await this.#deps.records.commit(batch.operations, durability);
    } catch (error: unknown) {
      // It may be on the disk or not: what memory holds of the key, and the actor that minted it, are not to be trusted.
      this.#cache.delete(located.key);
      this.#deps.holdings.dropActor(located.partition);
      const isFull = error instanceof StorageError && error.kind === "full";
      this.#storageIs(isFull ? "full" : "failed", reasonOf(error));
      throw storeErrorOf(error);
    }
    this.#storageIs("ok", "writes succeed again");
    batch.committed();
  }

  #storageIs(state: "ok" | "full" | "failed", reason: string): void {
    if (this.#storageState === state) return;
    this.#storageState = state;
    this.#deps.telemetry.event({ kind: "storage", state, reason });
  }

  #roleOf(located: LocatedKey): CopyRole {
    const holding = this.holdingOf(located.partition);
    return holding === "complete" && this.#damaged.has(located.key) ? "filling" : holding;
  }
}

function encodedAnew(state: Versioned): CachedState {
  return new CachedState(state, encodeVersioned(state));
}

/** Frames arrive many to a buffer: a view kept in the cache would keep all of it. */
function own(bytes: Uint8Array): Uint8Array {
  return bytes.slice();
}

function storeErrorOf(error: unknown): unknown {
  if (!(error instanceof StorageError)) return error;
  if (error.kind === "full") return new StoreError("storage-full", error.message, { cause: error });
  if (error.kind === "corrupt") return new StoreError("corrupt", error.message, { cause: error });
  if (error.kind === "closed") return new StoreError("closed", error.message, { cause: error });
  return new StoreError("internal", `storage failed: ${error.message}`, { cause: error });
}
