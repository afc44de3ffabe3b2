/**
 * Writes kept for owners that were away, in a space of their own, by the host they are for (PROTOCOL 7).
 * A stand-in keeps the state; an owner that found no stand-in keeps only the row, for it holds the state anyway. Who has
 * been both owes both: the state that was kept, and the own copy as it is (`owedWith`).
 * Invariants: what is counted is what is on the disk; rows are written only in the batches of the one door; a partition
 * is marked as hinted (`Holdings`) before the first state of it is on the disk, and until the last one is gone.
 */
import { bool, bytes, DecodeError, field, message, optional, varint } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import { decodeVersioned, encodeVersioned } from "../causality/encoding.ts";
import { merge } from "../causality/version-set.ts";
import type { Key, NodeId, PartitionIndex } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { allPartitions, partitionOf } from "../placement/partition.ts";
import type { Clock, StorageOperation } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { reasonOf } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import { type Batch, nothingMore, together } from "./commits.ts";
import { hintRow, rangeOf, targetOf } from "./hint-rows.ts";
import type { Holdings } from "./holdings.ts";
import type { CachedState } from "./state-cache.ts";

/** A stored hint. `state` absent: deliver the object's own row. */
const HintRow = message("HintRow", {
  storedAtMs: field(1, varint),
  state: optional(2, bytes(67_108_864)),
  /** Made up for by the other owners, once they all have it (`relieve-hints.ts`). */
  spare: optional(4, bool),
  /** How often it was put: a row without a state must change too when there is more to deliver. */
  times: field(3, varint),
});

/** `oldestAtMs` by wall time; after a delivery it may be that of a hint that is gone, until the rest was looked through. */
export interface HintSummary {
  readonly target: NodeId;
  readonly count: number;
  readonly bytes: number;
  readonly oldestAtMs: number;
}

/** What its target is owed: the state that it keeps, itself where the own copy adds nothing; a pointer keeps none. */
export function owedWith({ state: kept }: Pick<StoredHint, "state">, own: CachedState): Uint8Array {
  if (kept === undefined) return own.toBytes();
  const before = decodeVersioned(kept);
  const owed = merge(before, own.state);
  return owed === before ? kept : encodeVersioned(owed);
}

/** Stands for a row whose checksum is wrong, or that is no hint. */
const unreadable = new Uint8Array(0);

/** One kept hint; `row` is the key's row, `value` what is stored, to tell whether it grew meanwhile. */
export interface StoredHint {
  readonly row: Uint8Array;
  readonly value: Uint8Array;
  /** Wall time since which its target misses something. */
  readonly storedAtMs: number;
  /** Absent: the keeper holds the key itself. */
  readonly state?: Uint8Array;
  /** What its write was promised holds without this copy, once all other owners have it. */
  readonly isSpare: boolean;
  /** The row cannot be read, or what it keeps is no state: nothing of it can be delivered. */
  readonly isDamaged: boolean;
}

interface Tally {
  count: number;
  bytes: number;
  oldestAtMs: number;
}

const pageBytes = 1_048_576;
/** Keys; above it only the targets are remembered of hints that may come back. */
const doubtfulMax = 10_000;

export interface HintStoreDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
}

export class HintStore {
  readonly #records: RecordStore;
  readonly #holdings: Holdings;
  readonly #clock: Clock;
  readonly #telemetry: Telemetry;
  readonly #tallies = new Map<NodeId, Tally>();
  /** Rows with states, stored or about to be. */
  readonly #statesIn = new Map<PartitionIndex, number>();
  /** Then `#statesIn` may be too small, and decides no more what is looked for on the disk. */
  #mayMiscount = false;
  /** Rows of batches that failed, by key: on the disk or not, and nobody was told that they are kept. */
  readonly #doubtful = new Map<Key, Set<NodeId>>();
  /** For whom there were more of them than that: any key may have one, and their tallies may be too small. */
  readonly #doubtfulFor = new Set<NodeId>();

  constructor({ records, holdings, clock, telemetry }: HintStoreDeps) {
    this.#records = records;
    this.#holdings = holdings;
    this.#clock = clock;
    this.#telemetry = telemetry;
  }

  /** Counts what an earlier run left on the disk (riak_core#154: never trust memory for what is owed). */
  async open(): Promise<void> {
    const strays: Uint8Array[] = [];
    let gte: Uint8Array | null = new Uint8Array(0);
    while (gte !== null) {
      const page = await this.#records.page("hints", { gte, limit: 10_000, maxBytes: pageBytes });
      for (const row of page.rows) {
        const target = targetOf(row.key);
        if (target === undefined) {
          strays.push(row.key);
          continue;
        }
        // A damaged row is counted too: it is there until it is delivered over, or dropped as undeliverable.
        const stored = soundOf("corrupt" in row ? "corrupt" : row.value);
        this.#count(target, stored);
        this.#countState(this.#partitionOf(row.key.subarray(1 + row.key[0]!)), stored, 1);
      }
      // Rows that could not be read, not even their keys, may be of any partition.
      if (page.damaged)
        for (const partition of allPartitions(this.#holdings.partitions)) {
          this.#countState(partition, unreadable, 1);
        }
      gte = page.next;
    }
    await this.#dropStrays(strays);
  }

  summaries(): HintSummary[] {
    return [...this.#tallies].map(([target, tally]) => ({ target, ...tally }));
  }

  get isEmpty(): boolean {
    return this.#tallies.size === 0;
  }

  bytesFor(target: NodeId): number {
    return this.#tallies.get(target)?.bytes ?? 0;
  }

  /** Some of what is kept for a target, in ring order. */
  async page(
    target: NodeId,
    { after, limit }: { readonly after: Uint8Array | undefined; readonly limit: number },
  ): Promise<{ readonly hints: readonly StoredHint[]; readonly next: Uint8Array | null }> {
    const { gte, lt } = rangeOf(target);
    const page = await this.#records.page("hints", { gte: after ?? gte, lt, limit, maxBytes: pageBytes });
    const hints = page.rows.flatMap((row): StoredHint[] => {
      const key = row.key.subarray(gte.length);
      const value = soundOf("corrupt" in row ? "corrupt" : row.value);
      const damaged = { row: key, value, isSpare: false, isDamaged: true };
      if (value === unreadable) return [{ ...damaged, storedAtMs: Number.MAX_SAFE_INTEGER }];
      const { state, storedAtMs, spare } = HintRow.decode(value);
      // A pointer is no copy.
      if (state === undefined) return [{ row: key, value, storedAtMs, isSpare: true, isDamaged: false }];
      if (isDamaged(value)) return [{ ...damaged, storedAtMs }];
      return [{ row: key, value, storedAtMs, state, isSpare: spare === true, isDamaged: false }];
    });
    return { hints, next: page.next };
  }

  /** All that is left for the target was looked through: none of it is older. */
  oldestIs(target: NodeId, storedAtMs: number): void {
    const tally = this.#tallies.get(target);
    if (tally !== undefined) tally.oldestAtMs = storedAtMs;
  }

  /** The operation that forgets a hint, if it is still what was delivered; and what to do once its batch is committed. */
  async remove(
    target: NodeId,
    located: LocatedKey,
    delivered: StoredHint,
  ): Promise<{ readonly operation: StorageOperation; readonly committed: () => void } | undefined> {
    const stored = await this.#stored(target, located);
    const isSame =
      stored === unreadable ? delivered.value === unreadable : stored && equalBytes(stored, delivered.value);
    if (stored === undefined || !isSame) return undefined;
    return {
      operation: { kind: "delete", ns: "hints", key: hintRow(target, located) },
      committed: () => {
        if (!this.#endDoubt(target, located.key)) this.#uncount(target, stored);
        this.#countState(located.partition, stored, -1);
      },
    };
  }

  /** What is kept of this key for whomever; empty in the usual case, without touching the disk: each write asks. */
  async statesOf(located: LocatedKey): Promise<readonly Uint8Array[]> {
    if (!this.#statesIn.has(located.partition) && !this.#mayMiscount) return [];
    const targets = [...this.#tallies.keys()];
    const found = await this.#records.getMany(
      "hints",
      targets.map((target) => hintRow(target, located)),
    );
    return found.flatMap((record, i) => {
      if (record === undefined) return [];
      const stored = soundOf(record);
      if (!isDamaged(stored)) return HintRow.decode(stored).state ?? [];
      this.#noteDamaged(targets[i]!, located);
      return [];
    });
  }

  /** Whether anything is kept of this key for anybody, readable or not. */
  async isKept(located: LocatedKey): Promise<boolean> {
    if (this.#tallies.size === 0) return false;
    const rows = [...this.#tallies.keys()].map((target) => hintRow(target, located));
    const found = await this.#records.getMany("hints", rows);
    return found.some((value) => value !== undefined);
  }

  /** What makes sure that no hint of this key comes back from a batch that failed; undefined: none can. */
  async settling(located: LocatedKey): Promise<Batch | undefined> {
    const targets = new Set(this.#doubtful.get(located.key));
    // A row that shows is kept, and one that does not is not to come back.
    for (const target of this.#doubtfulFor) {
      if ((await this.#stored(target, located)) === undefined) targets.add(target);
    }
    if (targets.size === 0) return undefined;
    const operations = [...targets].map((target): StorageOperation => ({
      kind: "delete",
      ns: "hints",
      key: hintRow(target, located),
    }));
    return { operations, committed: () => this.#doubtful.delete(located.key) };
  }

  /** What keeps the own copy, which is about to go, for all who are owed it. */
  async keepingOwn(located: LocatedKey, own: CachedState): Promise<Batch> {
    const keeping = async (target: NodeId): Promise<Batch> => {
      const hint = await this.get(target, located);
      if (hint === undefined) return nothingMore;
      const owed = owedWith(hint, own);
      return owed === hint.state ? nothingMore : this.put(located, [target], owed);
    };
    return together(await Promise.all([...this.#tallies.keys()].map(keeping)));
  }

  /** What is kept of this key for one target, if it can be read. */
  async get(target: NodeId, located: LocatedKey): Promise<{ readonly state?: Uint8Array } | undefined> {
    const value = await this.#stored(target, located);
    return value === undefined || isDamaged(value) ? undefined : HintRow.decode(value);
  }

  /**
   * What keeps a hint for each of these; without a state it points at the own object. `isSpare`: see `StoredHint`.
   * The oldest time stays when a hint grows: its age is how long the target has been missing something.
   */
  async put(located: LocatedKey, targets: readonly NodeId[], state?: Uint8Array, isSpare = false): Promise<Batch> {
    if (targets.length === 0) return nothingMore;
    const hint = { nowMs: this.#clock.wallTime(), isSpare, ...(state === undefined ? {} : { state }) };
    return together(await Promise.all(targets.map((target) => this.#putOne(target, located, hint))));
  }

  async #putOne(
    target: NodeId,
    located: LocatedKey,
    hint: { readonly nowMs: number; readonly state?: Uint8Array; readonly isSpare: boolean },
  ): Promise<Batch> {
    const before = await this.#stored(target, located);
    const isReadable = before !== undefined && !isDamaged(before);
    if (before !== undefined && !isReadable) this.#noteDamaged(target, located);
    const former = isReadable ? HintRow.decode(before) : { storedAtMs: hint.nowMs, times: 0 };
    const { storedAtMs } = former;
    // A state that was kept stays, also when this node holds the key itself by now.
    const state = hint.state ?? ("state" in former ? former.state : undefined);
    const isSpare = hint.isSpare && (before === undefined || ("spare" in former && former.spare));
    const value = HintRow.encode({
      storedAtMs,
      times: former.times + 1,
      ...(state === undefined ? {} : { state }),
      ...(isSpare ? { spare: true } : {}),
    });
    // Now, and for good should the batch fail without being refused: it may be on the disk, and the next start counts anew.
    this.#countState(located.partition, value, 1);
    return {
      operations: [{ kind: "put", ns: "hints", key: hintRow(target, located), value }],
      committed: () => {
        const wasCounted = !this.#endDoubt(target, located.key);
        if (before !== undefined) {
          if (wasCounted) this.#uncount(target, before);
          this.#countState(located.partition, before, -1);
        }
        this.#count(target, value);
      },
      failed: (refused) => {
        if (refused) this.#countState(located.partition, value, -1);
        else if (before === undefined) this.#doubt(target, located.key);
      },
    };
  }

  async #stored(target: NodeId, located: LocatedKey): Promise<Uint8Array | undefined> {
    if (!this.#tallies.has(target)) return undefined;
    const [value] = await this.#records.getMany("hints", [hintRow(target, located)]);
    return value === undefined ? undefined : soundOf(value);
  }

  /** Rows of which nobody knows for whom they are kept would never be looked at again. */
  async #dropStrays(rows: readonly Uint8Array[]): Promise<void> {
    const dropped = rows.map((key): StorageOperation => ({ kind: "delete", ns: "hints", key }));
    for (const row of rows)
      this.#telemetry.event({ kind: "corrupt-record", where: `hint ${toHex(row)}, for nobody knows whom` });
    if (rows.length === 0) return;
    await this.#records.commit(dropped).catch((cause: unknown) => {
      // A full disk does not keep a node from its start: the next one meets them again.
      this.#telemetry.event({ kind: "task-failed", task: "remove damaged hints", reason: reasonOf(cause) });
    });
  }

  /** It may have named this node's actor, so that ends here. */
  #noteDamaged(target: NodeId, located: LocatedKey): void {
    this.#holdings.dropActor(located.partition);
    this.#telemetry.event({ kind: "corrupt-record", where: `hint for ${target} of ${located.key}` });
  }

  #doubt(target: NodeId, key: Key): void {
    const targets = this.#doubtful.get(key) ?? new Set();
    if (targets.size === 0 && this.#doubtful.size >= doubtfulMax) this.#doubtfulFor.add(target);
    else this.#doubtful.set(key, targets.add(target));
  }

  /** What is on the disk of it is known by now. True: it was in doubt, so it was not counted. */
  #endDoubt(target: NodeId, key: Key): boolean {
    const targets = this.#doubtful.get(key);
    if (!targets?.delete(target)) return false;
    if (targets.size === 0) this.#doubtful.delete(key);
    return true;
  }

  /** A damaged row counts as one with a state: nobody can tell. */
  #countState(partition: PartitionIndex, stored: Uint8Array, by: 1 | -1): void {
    if (stored !== unreadable && HintRow.decode(stored).state === undefined) return;
    // One that rotted after it was counted may have been a pointer, which was not.
    if (stored === unreadable && by === -1) this.#mayMiscount = true;
    const count = (this.#statesIn.get(partition) ?? 0) + by;
    if (count > 0) this.#statesIn.set(partition, count);
    else this.#statesIn.delete(partition);
    this.#holdings.setHinted(partition, count > 0);
  }

  #partitionOf(row: Uint8Array): PartitionIndex {
    return partitionOf(row, this.#holdings.partitions);
  }

  #count(target: NodeId, value: Uint8Array): void {
    const storedAtMs = value === unreadable ? Number.MAX_SAFE_INTEGER : HintRow.decode(value).storedAtMs;
    const tally = this.#tallies.get(target) ?? { count: 0, bytes: 0, oldestAtMs: storedAtMs };
    tally.count += 1;
    tally.bytes += value.length;
    tally.oldestAtMs = Math.min(tally.oldestAtMs, storedAtMs);
    this.#tallies.set(target, tally);
  }

  #uncount(target: NodeId, value: Uint8Array): void {
    const tally = this.#tallies.get(target);
    if (tally === undefined) return;
    tally.count = Math.max(0, tally.count - 1);
    tally.bytes = Math.max(0, tally.bytes - value.length);
    if (tally.count === 0 && !this.#doubtfulFor.has(target)) this.#tallies.delete(target);
  }
}

/** A row that is no hint, although its checksum is right, is as damaged as one whose checksum is wrong. */
function soundOf(record: Uint8Array | "corrupt"): Uint8Array {
  return record !== "corrupt" && isDecodable(() => HintRow.decode(record)) ? record : unreadable;
}

/** Of a row as `soundOf` gives it: the state that it keeps may be none, all the same. */
function isDamaged(stored: Uint8Array): boolean {
  if (stored === unreadable) return true;
  const { state } = HintRow.decode(stored);
  return state !== undefined && !isDecodable(() => decodeVersioned(state));
}

function isDecodable(decode: () => unknown): boolean {
  try {
    decode();
    return true;
  } catch (error: unknown) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}
