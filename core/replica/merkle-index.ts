/**
 * The Merkle trees of everything held here, and how many keys that is.
 *
 * Kept in memory, and built from one scan of the data after each start: a write pays no byte on the disk for it, the
 * scan counts the keys as well, and a tree that drifted from the data (riak_kv#473) ends with the run, or when it is used.
 * Expiry does not enter: an expired value is the same clock, until it is reaped.
 *
 * Invariants:
 * - The tree of a sound partition is the one that a scan of its rows would build, once no change is under way.
 * - During a scan, a change behind it updates the tree, a change ahead of it is left to it, and of the rows of the page
 *   that is being read memory decides: the page may show a change that is under way, or not.
 * - Scans that run at once share no partition, so this holds for each as if it were alone.
 * - Where the data may differ from what memory believes (a failed write, a damaged record, a leaf whose keys do not add
 *   up), the partition is scanned anew.
 * - A partition that the disk does not let be read stays unsound, and holds up no other.
 */
import { compareBytes } from "../bytes/compare.ts";
import { toHex } from "../bytes/hex.ts";
import type { StateClock } from "../causality/encoding.ts";
import { StoreError } from "../errors.ts";
import type { PartitionIndex } from "../identity.ts";
import { clockHash, entryHash, type Hash64, sameHash, sumOf } from "../merkle/hash.ts";
import { HashTrees, type LeafIndex, partitionOfLeaf } from "../merkle/trees.ts";
import { type LocatedKey, rangeOfPartition } from "../placement/locate.ts";
import { allPartitions, partitionOf } from "../placement/partition.ts";
import type { HashedPage, HashThreads, KeyRange, PageRequest } from "../ports.ts";
import type { RecordPage, RecordStore } from "../storage/record-store.ts";
import { inLanes } from "../tasks.ts";
import { hashOfRow } from "./hashed-page.ts";
import { clockOf } from "./object-rows.ts";
import type { CachedState } from "./state-cache.ts";

/** A change of one row on its way to the disk. */
export interface PendingChange {
  readonly located: LocatedKey;
  readonly before: Hash64 | undefined;
  readonly after: Hash64 | undefined;
}

/** A key of a leaf, as it is on the disk; no bodies, for a leaf may hold many. */
export interface LeafEntry {
  readonly row: Uint8Array;
  readonly hash: Hash64;
  readonly clock: StateClock;
}

export interface BuildOptions {
  readonly isStopped: () => boolean;
  /** Awaited before each page. */
  readonly throttle: () => Promise<unknown>;
  /** Awaited for each row that is damaged; it is in no tree, whatever is done about it. */
  readonly met?: (row: Uint8Array) => Promise<unknown>;
  /** Other partitions are left as they are; without it none is. */
  readonly isDue?: (partition: PartitionIndex) => boolean;
}

/**
 * A page is decoded and hashed in one go, which takes about 2 ms; two of each scan are in memory at once. Smaller than the
 * processor's cache, it is hashed in less time than a larger one.
 */
const pageLimits = { limit: 500, maxBytes: 1_048_576 };

/** Threads are started for a start's scan, not for some partitions that have to be scanned anew. */
const shareForThreads = 0.5;

interface Scan {
  /** Partitions from `start` on and before `end`. */
  readonly start: PartitionIndex;
  readonly end: PartitionIndex;
  readonly range: KeyRange;
  /** Rows below are in the trees. */
  done: Uint8Array;
  /** Changes committed ahead of `done` since the page that begins there was asked for. */
  meanwhile: PendingChange[];
  /** Where they are, they read its pages. */
  readonly threads: HashThreads | undefined;
}

/** With `failure` nothing was read: `next` is behind the partition. */
type ScanPage = (RecordPage | HashedPage) & { readonly failure?: StoreError };

export class MerkleIndex {
  readonly trees: HashTrees;
  readonly #records: RecordStore;
  /** Partitions whose trees do not count: not scanned yet, or to be scanned anew. */
  readonly #unsound = new Set<PartitionIndex>();
  /** Of these, the ones doubted since the running scan began. */
  readonly #doubted = new Set<PartitionIndex>();
  readonly #damagedRows = new Map<PartitionIndex, number>();
  /** Rows may be missing from these of which not even the keys could be read. */
  readonly #torn = new Set<PartitionIndex>();
  /** Of the running build, or the last one. */
  readonly #unread = new Map<PartitionIndex, StoreError>();
  readonly #pending = new Set<PendingChange>();
  #scans: readonly Scan[] = [];

  constructor(records: RecordStore, partitions: number) {
    this.#records = records;
    this.trees = new HashTrees(partitions);
    for (let p = 0; p < partitions; p++) this.#unsound.add(p as PartitionIndex);
  }

  /** Whether the partition's tree tells what is on the disk. */
  isSound(partition: PartitionIndex): boolean {
    return !this.#unsound.has(partition);
  }

  get isBuilt(): boolean {
    return this.#unsound.size === 0;
  }

  get unsound(): readonly PartitionIndex[] {
    return this.isBuilt ? [] : allPartitions(this.trees.partitions).filter((each) => !this.isSound(each));
  }

  /** What the last build could not read to its end, and why: not sound, while all else is that was due. */
  get unread(): ReadonlyMap<PartitionIndex, StoreError> {
    return this.#unread;
  }

  /** Rows of the partition that could not be read when it was scanned; they are in no tree, so other replicas mend them. */
  damagedIn(partition: PartitionIndex): number {
    return this.#damagedRows.get(partition) ?? 0;
  }

  /** Whether the scan met a stretch that it could not read: older rows may have shown in its place. */
  isTorn(partition: PartitionIndex): boolean {
    return this.#torn.has(partition);
  }

  /** Keys held, tombstones included; those seen so far while a scan is under way. */
  get keys(): number {
    let keys = 0;
    for (let p = 0; p < this.trees.partitions; p++) {
      keys += this.trees.keysIn(p as PartitionIndex) + this.damagedIn(p as PartitionIndex);
    }
    return keys;
  }

  /** Call before the batch of a change is committed, then `committed` or `failed` with what it returned. */
  changing(located: LocatedKey, before: CachedState, after: CachedState): PendingChange {
    const change = { located, before: hashOf(located.row, before), after: hashOf(located.row, after) };
    this.#pending.add(change);
    return change;
  }

  committed(change: PendingChange): void {
    this.#pending.delete(change);
    const { located, before, after } = change;
    const scan = this.#scanOf(located.partition);
    if (scan === undefined && !this.isSound(located.partition)) return;
    if (scan === undefined || compareBytes(located.row, scan.done) < 0) this.trees.update(located.row, before, after);
    else scan.meanwhile.push(change);
  }

  /** The batch may be on the disk or not, unless it was refused. */
  failed(change: PendingChange, isRefused: boolean): void {
    this.#pending.delete(change);
    if (!isRefused) this.distrust(change.located.partition);
  }

  /** The partition's rows changed, or may have, in a way that was not told here. */
  distrust(partition: PartitionIndex): void {
    this.#unsound.add(partition);
    this.#doubted.add(partition);
  }

  /** Scans what is not sound; returns how many partitions that were, without those in `unread`. */
  async build(options: BuildOptions): Promise<number> {
    this.#unread.clear();
    const isMuch = this.#due(options).length >= shareForThreads * this.trees.partitions;
    const starting = isMuch ? this.#records.hashThreads() : undefined;
    const threads = starting && (await starting);
    let scanned = 0;
    try {
      for (let due = this.#due(options); due.length > 0 && !options.isStopped(); due = this.#due(options)) {
        const scans = this.#begin(due, threads);
        this.#scans = scans;
        const isStopped = (isFailed: () => boolean) => () => isFailed() || options.isStopped();
        await inLanes(
          scans.map((scan) => (isFailed) => this.#run(scan, { ...options, isStopped: isStopped(isFailed) })),
        );
        for (const { start, end } of scans) scanned += end - start;
      }
    } finally {
      this.#scans = [];
      if (threads !== undefined) await threads.end();
    }
    return scanned - this.#unread.size;
  }

  /** The keys of a leaf. Damaged rows are left out. A leaf that the tree has otherwise brings a scan about. */
  async entriesOf(leaf: LeafIndex): Promise<LeafEntry[]> {
    const { lt, gte } = this.trees.rangeOfLeaf(leaf);
    const hashBefore = this.trees.leafHash(leaf);
    const entries: LeafEntry[] = [];
    for (let next: Uint8Array | null = gte; next !== null;) {
      const page: RecordPage = await this.#records.page("objects", { gte: next, ...(lt && { lt }), ...pageLimits });
      for (const row of page.rows) {
        const clock = clockOf(row);
        if (clock !== undefined) entries.push({ row: row.key, hash: entryHash(row.key, clockHash(clock)), clock });
      }
      next = page.next;
    }
    const partition = partitionOfLeaf(leaf);
    const isAtRest = sameHash(this.trees.leafHash(leaf), hashBefore) && !this.changingPartitions().has(partition);
    // One that is being scanned has no tree yet: doubting it would have it scanned again and again.
    if (isAtRest && this.isSound(partition) && !sameHash(sumOf(entries.map(({ hash }) => hash)), hashBefore))
      this.distrust(partition);
    return entries;
  }

  /** Partitions with changes on their way to the disk, which no tree shows yet. */
  changingPartitions(): ReadonlySet<PartitionIndex> {
    return new Set([...this.#pending].map(({ located }) => located.partition));
  }

  /** The running scan, if the partition is still to be finished by it. */
  #scanOf(partition: PartitionIndex): Scan | undefined {
    if (this.isSound(partition) || this.#unread.has(partition)) return undefined;
    return this.#scans.find(({ start, end }) => partition >= start && partition < end);
  }

  /** What is to be scanned yet, in order. */
  #due({ isDue }: BuildOptions): PartitionIndex[] {
    return this.unsound.filter((each) => !this.#unread.has(each) && isDue?.(each) !== false);
  }

  /** A run of neighbours: most often all partitions, or one. With threads in as many parts as they serve. */
  #begin(due: readonly PartitionIndex[], threads: HashThreads | undefined): Scan[] {
    const start = due[0]!;
    let end = start;
    for (; due[end - start] === end; end++) {
      this.trees.clear(end);
      this.#damagedRows.delete(end);
      this.#torn.delete(end);
      this.#doubted.delete(end);
    }
    const lanes = Math.min(threads?.lanes ?? 1, end - start);
    const edge = (lane: number) => (start + Math.floor((lane * (end - start)) / lanes)) as PartitionIndex;
    return Array.from({ length: lanes }, (_, lane) => this.#scanFrom(edge(lane), edge(lane + 1), threads));
  }

  #scanFrom(start: PartitionIndex, end: PartitionIndex, threads: HashThreads | undefined): Scan {
    const { partitions } = this.trees;
    const { gte } = rangeOfPartition(start, partitions);
    const { lt } = rangeOfPartition((end - 1) as PartitionIndex, partitions);
    return { start, end, range: { gte, ...(lt && { lt }) }, done: gte, meanwhile: [], threads };
  }

  async #run(scan: Scan, { isStopped, throttle, met }: BuildOptions): Promise<void> {
    let reached = scan.start;
    let page = await this.#read(scan, scan.done);
    for (;;) {
      await throttle();
      if (isStopped()) return;
      // The disk reads the next page while this one is hashed. No change ends from here to `#finish`: nothing waits, for of the
      // last page nobody would look at `meanwhile` any more.
      const next = page.next === null ? undefined : this.#read(scan, page.next);
      const damaged = this.#take(scan, page);
      if (page.failure !== undefined) this.#unread.set(reached, page.failure);
      const at = page.next === null ? scan.end : this.#partitionOf(page.next);
      // The rows that are missing may have been of any partition of this stretch.
      for (let p = reached; page.damaged && p <= at && p < scan.end; p++) {
        this.#torn.add(p);
        this.#countDamaged(p);
      }
      for (; reached < at; reached++) this.#finish(reached);
      const following = await next;
      // Whoever doubts a partition that is finished has it scanned again.
      for (const row of damaged) await met?.(row);
      if (following === undefined) return;
      page = following;
    }
  }

  /** The page from `gte` on; where it cannot be read, as much of it as is of the partition that it begins in. */
  async #read(scan: Scan, gte: Uint8Array): Promise<ScanPage> {
    const page = await this.#page(scan, { ...scan.range, gte }).catch(asUnread);
    if (!(page instanceof StoreError)) return page;
    const partition = this.#partitionOf(gte);
    const { lt } = rangeOfPartition(partition, this.trees.partitions);
    const behind = lt !== undefined && partition + 1 < scan.end ? lt : null;
    const part = await this.#page(scan, { gte, ...(lt && { lt }) }).catch(asUnread);
    if (part instanceof StoreError) return { rows: [], next: behind, failure: part };
    return { ...part, next: part.next ?? behind };
  }

  async #page({ threads }: Scan, range: KeyRange): Promise<RecordPage | HashedPage> {
    const request: PageRequest = { ...range, ...pageLimits };
    return (await threads?.page(request)) ?? this.#records.page("objects", request);
  }

  /** Adds the rows of a page; returns those that are damaged. */
  #take(scan: Scan, page: RecordPage | HashedPage): readonly Uint8Array[] {
    const damaged: Uint8Array[] = [];
    const known = this.#knownFrom(scan);
    for (const row of page.rows) {
      if (known.size > 0 && known.has(toHex(row.key))) continue;
      const hash = hashOfRow(row);
      if (hash === undefined) damaged.push(row.key);
      else this.trees.update(row.key, undefined, hash);
    }
    const isReached = (row: Uint8Array): boolean => page.next === null || compareBytes(row, page.next) < 0;
    for (const { row, hash } of known.values()) {
      if (isReached(row) && hash !== undefined) this.trees.update(row, undefined, hash);
    }
    for (const row of damaged) this.#countDamaged(this.#partitionOf(row));
    scan.done = page.next ?? scan.done;
    scan.meanwhile = [];
    return damaged;
  }

  /** What memory knows of rows ahead of the scan that changed while the page was read, or are changing now. */
  #knownFrom(scan: Scan): Map<string, { readonly row: Uint8Array; readonly hash: Hash64 | undefined }> {
    const known = new Map<string, { readonly row: Uint8Array; readonly hash: Hash64 | undefined }>();
    const isAhead = (row: Uint8Array): boolean => compareBytes(row, scan.done) >= 0;
    for (const { located, after } of scan.meanwhile) {
      known.set(toHex(located.row), { row: located.row, hash: after });
    }
    for (const { located, before } of this.#pending) {
      if (this.#scanOf(located.partition) !== scan || !isAhead(located.row)) continue;
      known.set(toHex(located.row), { row: located.row, hash: before });
    }
    return known;
  }

  #finish(partition: PartitionIndex): void {
    if (!this.#doubted.has(partition) && !this.#unread.has(partition)) this.#unsound.delete(partition);
  }

  #countDamaged(partition: PartitionIndex): void {
    this.#damagedRows.set(partition, this.damagedIn(partition) + 1);
  }

  #partitionOf(row: Uint8Array): PartitionIndex {
    return partitionOf(row, this.trees.partitions);
  }
}

/** Nothing is stored of a key that was never written, so nothing of it is in a tree. */
function hashOf(row: Uint8Array, { encoded, hash }: CachedState): Hash64 | undefined {
  return encoded === undefined ? undefined : entryHash(row, hash);
}

/** A disk that cannot be read here may be elsewhere; any other failure ends the build. */
function asUnread(error: unknown): StoreError {
  if (error instanceof StoreError && error.code === "not-ready") return error;
  throw error;
}
