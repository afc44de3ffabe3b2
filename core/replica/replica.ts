/**
 * The one door: every change of a key's stored state goes through here, as a merge (PROTOCOL 4).
 * Invariants: a state is in one atomic durable batch with everything that follows from it (hints) before the Merkle
 * index or anyone hears of it; work on one key is serial; what is damaged is never served as whole.
 */
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import { merge, type Versioned } from "../causality/version-set.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { PageRequest } from "../ports.ts";
import type { CommitOptions } from "../storage/commit-queue.ts";
import { reasonOf } from "../tasks.ts";
import { ChangeLog } from "./change-log.ts";
import { type Batch, Commits, isRefused, nothingMore, together } from "./commits.ts";
import { type ApplyOptions, type Copy, type CopyRole, notHeld, type Written } from "./copy.ts";
import { DamagedKeys } from "./damaged-keys.ts";
import type { ReplicaDeps } from "./deps.ts";
import { HintStore, type StoredHint } from "./hint-store.ts";
import type { Holding } from "./holdings.ts";
import { KeyQueue } from "./key-queue.ts";
import { type EdgeEvent, Minter, type WriteEvent } from "./minter.ts";
import { MerkleIndex } from "./merkle-index.ts";
import { objectOf, type ObjectPage, objectPage, rowChange } from "./object-rows.ts";
import { PartitionDrop } from "./partition-drop.ts";
import { type Remains, verdictOfOwner } from "./remains.ts";
import { CachedState, encodedAnew, neverWritten, StateCache } from "./state-cache.ts";
import { inFlightMs, Stillness } from "./stillness.ts";
import { loggedDigest, TombstoneLog } from "./tombstone-log.ts";
import { Truncator } from "./truncator.ts";

const synced: CommitOptions = { durability: "synced" };
const buffered: CommitOptions = { durability: "buffered" };

export class Replica {
  readonly hints: HintStore;
  readonly changes: ChangeLog;
  readonly index: MerkleIndex;
  readonly tombstones: TombstoneLog;
  readonly stillness: Stillness;
  readonly drop: PartitionDrop;
  readonly damaged: DamagedKeys;
  readonly #deps: ReplicaDeps;
  readonly #config: NodeConfig;
  readonly #queue = new KeyQueue();
  readonly #cache: StateCache;
  readonly #minter: Minter;
  readonly #truncator: Truncator;
  readonly #commits: Commits;

  constructor(deps: ReplicaDeps, config: NodeConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#cache = new StateCache(config.cacheBytesMax);
    this.damaged = new DamagedKeys(deps);
    this.#minter = new Minter(deps, config);
    this.#truncator = new Truncator(deps, config);
    this.#commits = new Commits(deps, config, (partition) => this.index.distrust(partition));
    this.hints = new HintStore(deps);
    this.tombstones = new TombstoneLog(deps.records);
    this.stillness = new Stillness(deps.clock, inFlightMs(config));
    this.changes = new ChangeLog(deps, config.changeLogEntriesMax);
    this.index = new MerkleIndex(deps.records, deps.holdings.partitions);
    const [queue, { stillness }] = [this.#queue, this];
    this.drop = new PartitionDrop({ ...deps, queue, stillness, letGo: (located) => this.#letGo(located) });
  }

  /** Reads from the disk what must be known before the first request. */
  async open(): Promise<void> {
    const [isWhole] = await Promise.all([this.damaged.open(), this.hints.open(), this.tombstones.open()]);
    if (!isWhole) this.#deps.holdings.refillAll();
  }

  /** What `read` would answer, where that is known without the disk. */
  readInMemory(located: LocatedKey): Copy | undefined {
    if (!this.#deps.owns(located.partition)) return undefined;
    const role = this.#roleOf(located);
    const held = this.#cache.get(located.key);
    return role === "none" || held === undefined ? undefined : { role, held };
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
    return this.#queue.run(located, async () => {
      const before = this.#cache.get(located.key) ?? (await this.#load(located));
      // Only here: while it waited for its turn or the disk, the partition may have gone to others.
      if (this.#roleOf(located) === "none") throw notHeld(located);
      const after = this.#truncator.merged(located, before, { state, encoded, isMinted: options.minted === true });
      const heals = options.heals === true && this.damaged.has(located.key);
      // Memory may still have what rotted on the disk, so a heal always writes the row.
      const more = heals ? this.damaged.mending(located, after) : nothingMore;
      if (heals || after !== before)
        await this.#commit(located, { before: heals ? neverWritten : before, after, more }, options);
      return { role: this.#roleOf(located), held: after };
    });
  }

  /** Keeps a state for an owner that is away; durable when it resolves. `isSpare`: see `StoredHint`. */
  keepHint(located: LocatedKey, target: NodeId, encoded: Uint8Array, isSpare = false): Promise<void> {
    return this.#queue.run(located, () => this.#keepHint(located, target, encoded, isSpare));
  }

  /** The same, by a row that points at the own copy: where that has the state when the row is written. */
  oweTo(located: LocatedKey, target: NodeId, encoded: Uint8Array): Promise<void> {
    return this.#queue.run(located, async () => {
      const { state } = this.#roleOf(located) === "none" ? neverWritten : await this.#load(located);
      const isHere = merge(state, decodeVersioned(encoded)) === state;
      if (!isHere) return this.#keepHint(located, target, encoded);
      await this.#flush(located, await this.hints.put(located, [target]));
    });
  }

  async #keepHint(located: LocatedKey, target: NodeId, encoded: Uint8Array, isSpare = false): Promise<void> {
    const state = decodeVersioned(encoded);
    const before = await this.hints.get(target, located);
    // A pointer stands for the own row, which is owed as before.
    const owed = before && (before.state ? decodeVersioned(before.state) : (await this.#load(located)).state);
    const merged = owed === undefined ? state : merge(owed, state);
    const kept = merged === state ? encoded : encodeVersioned(merged);
    await this.#flush(located, await this.hints.put(located, [target], kept, isSpare));
  }

  /**
   * Forgets a hint that its target has durably, unless it grew since: then it stays, and the answer is false.
   * The state that is forgotten may name this node's actor, so that actor ends here too (PROTOCOL 3).
   */
  async hintDelivered(located: LocatedKey, target: NodeId, delivered: StoredHint): Promise<boolean> {
    return this.#queue.run(located, async () => {
      const removal = await this.hints.remove(target, located, delivered);
      if (removal === undefined) return false;
      if (delivered.state !== undefined || delivered.isDamaged) this.#deps.holdings.dropActor(located.partition);
      this.stillness.hintGone(located.partition);
      // As durable as the hint was: one that a power cut brought back could bring back what was forgotten meanwhile.
      await this.#flush(located, { ...removal, operations: [removal.operation] }, { isPatient: true });
      return true;
    });
  }

  /**
   * Mints a write, or takes an edge's, on everything this node holds of the key, hints included; durable when it resolves.
   * @throws StoreError `too-many-siblings`, `storage-full`, `not-ready` (nothing is held, nobody to keep it for: nothing
   *   was minted), `corrupt` (the own record is damaged: heal it first; a write despite it is safe, for what it lacks
   *   stays marked)
   */
  async write(
    located: LocatedKey,
    event: WriteEvent | EdgeEvent,
    options: { readonly despiteDamage?: boolean } = {},
  ): Promise<Written> {
    return this.#queue.run(located, async () => {
      const before = this.#cache.get(located.key) ?? (await this.#load(located));
      if (this.damaged.has(located.key) && !options.despiteDamage) {
        throw new StoreError("corrupt", `the record of ${located.key} here is damaged`);
      }
      const { state } = before;
      const held = this.hints.isEmpty ? state : (await this.#keptOf(located)).reduce(merge, state);
      const role = this.#roleOf(located);
      // It was to be kept here when it was planned, but the partition has gone to others since.
      if (role === "none" && event.hintsFor.length === 0) throw notHeld(located);
      // Nothing is awaited between the mint and the commit: the index must know of a change when its time is taken.
      const owes = event.hintsFor.length > 0;
      const pointers = owes && role !== "none" ? await this.hints.put(located, event.hintsFor) : nothingMore;
      const minted = orUndo(pointers, () => this.#minter.mint(located, held, event));
      const cut = this.#truncator.minted(located, { before: state, held, after: minted.state });
      const after = cut === state ? before : encodedAnew(cut);
      const more = role === "none" ? await this.hints.put(located, event.hintsFor, after.encoded) : pointers;
      // The one copy that is durable before the ack, whatever the others are told (paper 6.1).
      await this.#commit(located, { before, after: role === "none" ? before : after, more }, synced);
      return { role: role === "none" ? "hint" : role, held: after, ...minted };
    });
  }

  /** What this node has of a key that others want to forget, once all earlier work on it has ended. */
  examine(located: LocatedKey): Promise<Remains> {
    return this.#queue.run(located, async () => {
      const isSettled = !this.#commits.doubtful.has(located.partition); // or a failed write may yet change what is read
      const doubtful = await this.hints.settling(located);
      if (doubtful !== undefined) await this.#flush(located, doubtful, buffered);
      const remains = await this.#remains(located);
      const mending = isSettled ? this.tombstones.mending(remains, this.#deps.clock.wallTime()) : undefined;
      if (mending !== undefined) await this.#flush(located, mending, buffered);
      return remains;
    });
  }

  /**
   * Forgets a deleted key for good, durably when it resolves; false: what is here is not what all have agreed to forget.
   * An actor of this node that the key's clock names ends: its next event on the key would claim those of before (PROTOCOL 3).
   */
  forget(located: LocatedKey, digest: Uint8Array): Promise<boolean> {
    return this.#queue.run(located, async () => {
      const remains = await this.#remains(located);
      const nowMs = this.#deps.clock.wallTime();
      if (verdictOfOwner(remains, digest, { nowMs, graceMs: this.#config.graceMs }) !== "agreed") return false;
      await this.#commit(located, { before: remains.held, after: neverWritten, more: nothingMore }, synced);
      const { holdings } = this.#deps;
      const actor = holdings.actorOf(located.partition);
      if (remains.held.state.vector.some((entry) => entry.actor === actor)) holdings.dropActor(located.partition);
      return true;
    });
  }

  /** Own rows in order, for those who copy or list them. */
  page(request: PageRequest): Promise<ObjectPage> {
    return objectPage(this.#deps.records, request, this.#deps.holdings.partitions);
  }

  /** What this node says of a whole partition. */
  holdingOf(partition: PartitionIndex): Holding {
    const holding = this.#deps.holdings.get(partition);
    return holding === "complete" && !this.#deps.isConfirmed(partition) ? "filling" : holding;
  }

  /** How writes to the disk went lately; they all go through this replica. */
  get commits(): Pick<Commits, "state" | "doubtful" | "probe" | "settle"> {
    return this.#commits;
  }

  /** A damaged record of a partition that this node does not hold any more is of no use; one written since is kept. */
  dropDamaged(located: LocatedKey): Promise<void> {
    return this.#queue.run(located, async () => {
      if (this.#roleOf(located) !== "none" || !this.damaged.has(located.key)) return;
      await this.#unmark(located, await this.#load(located));
    });
  }

  /**
   * Something else met a damaged record of this key: it is written anew where memory still has it, for what adds nothing to
   * memory is taken for durable (seed 501829), else marked. True: it is whole.
   */
  noteDamaged(located: LocatedKey, reason: string): Promise<boolean> {
    return this.#queue.run(located, async () => {
      if (!(await this.#mendFromMemory(located, reason))) await this.#noteDamage(located, reason);
      return !this.damaged.has(located.key);
    });
  }

  /** Rows may be gone from the disk that memory still has: everything is read anew. */
  forgetCached(): void {
    this.#cache.clear();
  }

  /** The state in the object's row, from memory or from the disk. Runs within the key's queue. */
  async #load(located: LocatedKey): Promise<CachedState> {
    const known = this.#cache.get(located.key);
    if (known !== undefined) return known;
    const loaded = await objectOf(this.#deps.records, located).catch(async (error: unknown) => {
      if (!(error instanceof StoreError) || error.code !== "corrupt") throw error;
      await this.#noteDamage(located, error.message);
      return neverWritten;
    });
    if (!this.#commits.doubtful.has(located.partition)) this.#cache.set(located.key, loaded);
    return loaded;
  }

  /** False: memory does not have it, or the disk refuses it. */
  async #mendFromMemory(located: LocatedKey, reason: string): Promise<boolean> {
    const held = this.#cache.get(located.key);
    if (held?.encoded === undefined) return false;
    try {
      await this.#flush(located, { ...nothingMore, operations: [rowChange(located, held)] });
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.#cache.set(located.key, held); // written or not: it may be the only sound copy
      return false;
    }
    this.#deps.telemetry.event({ kind: "corrupt-record", where: `${reason}: written again from memory` });
    this.index.distrust(located.partition);
    return true;
  }

  /** The record is lost here, so what this node says of the key is incomplete until it is healed, also after a restart. */
  async #noteDamage(located: LocatedKey, reason: string): Promise<void> {
    this.#deps.holdings.dropActor(located.partition);
    if (this.damaged.has(located.key)) return;
    this.#deps.telemetry.event({ kind: "corrupt-record", where: reason });
    this.damaged.note(located.key);
    this.index.distrust(located.partition);
    await this.#deps.records.commit([this.damaged.noted(located)]).catch((cause: unknown) => {
      // A full disk does not stop reads: until a restart memory knows, and then the record is found damaged again.
      this.#deps.telemetry.event({ kind: "task-failed", task: "note a damaged record", reason: reasonOf(cause) });
    });
  }

  async #remains(located: LocatedKey): Promise<Remains> {
    const isHeld = this.#deps.holdings.get(located.partition) !== "none";
    const held = isHeld ? await this.#load(located) : neverWritten;
    const isHinted = await this.hints.isKept(located);
    const logged = isHeld ? await this.tombstones.get(located) : undefined;
    return { role: this.#roleOf(located), held, isDamaged: this.damaged.has(located.key), isHinted, logged };
  }

  /** The row goes, with any mark, while `dropping` (no await before the commit); hints keep what they owed of it themselves. */
  async #letGo(located: LocatedKey): Promise<void> {
    const before = await this.#load(located);
    const hints = before.encoded === undefined ? nothingMore : await this.hints.keepingOwn(located, before);
    const isDropping = this.#deps.holdings.get(located.partition) === "dropping";
    const after = isDropping ? neverWritten : before;
    if (!isDropping || !this.damaged.has(located.key)) return this.#commit(located, { before, after, more: hints });
    await this.#unmark(located, neverWritten, hints);
  }

  /** A damaged record's mark goes, and the log of tombstones follows what is there instead. */
  async #unmark(located: LocatedKey, held: CachedState, more = nothingMore): Promise<void> {
    const logged = (await this.tombstones.get(located))?.digest;
    const log = this.tombstones.changing(located, logged, held, this.#deps.clock.wallTime());
    await this.#flush(located, together([more, this.damaged.mending(located, held), log]));
    this.#cache.delete(located.key);
    this.index.distrust(located.partition);
  }

  /** The batch of a change: the object's row and all that follows from `before` becoming `after`. */
  async #commit(
    located: LocatedKey,
    { before, after, more }: { readonly before: CachedState; readonly after: CachedState; readonly more: Batch },
    options?: CommitOptions,
  ): Promise<void> {
    if (after === before && more.operations.length === 0) return;
    const wasDamaged = this.damaged.has(located.key);
    const pending = this.index.changing(located, before, after);
    try {
      const logged = wasDamaged ? (await this.tombstones.get(located))?.digest : loggedDigest(before);
      const batch = after === before ? more : together([more, this.#replacing(located, logged, after)]);
      await this.#flush(located, batch, options);
    } catch (error: unknown) {
      this.index.failed(pending, isRefused(error));
      throw error;
    }
    this.index.committed(pending);
    // What was there before is not known: it could not be read.
    if (wasDamaged) this.index.distrust(located.partition);
    if (after === before) return;
    this.#cache.set(located.key, after);
    if (after.encoded !== undefined) this.changes.append(located.key);
  }

  /** The object's row becomes `after`, or goes, and the log of tombstones follows. */
  #replacing(located: LocatedKey, logged: Uint8Array | undefined, after: CachedState): Batch {
    const log = this.tombstones.changing(located, logged, after, this.#deps.clock.wallTime());
    return { operations: [rowChange(located, after), ...log.operations], committed: log.committed };
  }

  /** States kept of a key for whomever. */
  async #keptOf(located: LocatedKey): Promise<Versioned[]> {
    return (await this.hints.statesOf(located)).map(decodeVersioned);
  }

  async #flush(located: LocatedKey, batch: Batch, options: CommitOptions = {}): Promise<void> {
    try {
      await this.#commits.flush(batch, located.partition, { durability: this.#config.durability, ...options });
    } catch (error: unknown) {
      if (isRefused(error)) throw error;
      // It may be on the disk or not: what memory holds of the key, and the actor that minted it, are not to be trusted.
      this.#cache.delete(located.key);
      this.#deps.holdings.dropActor(located.partition);
      throw error;
    }
  }

  #roleOf(located: LocatedKey): CopyRole {
    const holding = this.holdingOf(located.partition);
    if (holding === "former" || holding === "dropping") return "none";
    return holding === "complete" && this.damaged.has(located.key) ? "filling" : holding;
  }
}

/** What is not to be written after all is as if it had been refused. */
function orUndo<T>(batch: Batch, work: () => T): T {
  try {
    return work();
  } catch (error: unknown) {
    batch.failed?.(true);
    throw error;
  }
}
