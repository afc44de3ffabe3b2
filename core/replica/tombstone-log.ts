/**
 * Which keys may be forgotten one day: those of which only tombstones and expiring values are left (PROTOCOL 10).
 * A row for each, by partition, with the clock it is about and since when this node has that clock; written in the same
 * batch as the state. Invariant: a key of that kind has a row with its clock, but for one whose row was damaged: that is
 * kept for ever, which is safe. A row may outlive a record that was damaged or lost; whoever reads it compares
 * the clock, and `mending` ends it.
 */
import { encodeUtf8 } from "lib0/string";
import { field, fixedBytes, message, varint } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { PartitionIndex } from "../identity.ts";
import { keyOfRow, type LocatedKey } from "../placement/locate.ts";
import type { StorageOperation } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { type Batch, nothingMore } from "./commits.ts";
import type { CachedState } from "./state-cache.ts";

const TombstoneRow = message("TombstoneRow", {
  digest: field(1, fixedBytes(16)),
  sinceMs: field(2, varint),
  /** From when on all of it reads as deleted; 0 for tombstones. */
  expiresAtMs: field(3, varint),
});

export interface Forgettable {
  readonly located: LocatedKey;
  readonly digest: Uint8Array;
  /** Wall time of this node's own first storing of that clock. */
  readonly sinceMs: number;
  readonly expiresAtMs: number;
}

const prefix = encodeUtf8("tombstone/");
const countPage = 10_000;

export class TombstoneLog {
  readonly #records: RecordStore;
  readonly #counts = new Map<PartitionIndex, number>();

  constructor(records: RecordStore) {
    this.#records = records;
  }

  /** Counts what an earlier run left. */
  async open(): Promise<void> {
    const lt = prefixOf(0xff_ffff as PartitionIndex);
    for (let gte: Uint8Array | null = prefix; gte !== null;) {
      const page = await this.#records.page("meta", { gte, lt, limit: countPage, keysOnly: true });
      for (const { key } of page.rows) this.#count(partitionOf(key), 1);
      gte = page.next;
    }
  }

  /** Rows of all partitions. */
  get size(): number {
    let size = 0;
    for (const count of this.#counts.values()) size += count;
    return size;
  }

  countIn(partition: PartitionIndex): number {
    return this.#counts.get(partition) ?? 0;
  }

  /**
   * What follows for the log from a state becoming `after`; goes into the batch of that change.
   * `logged`: the clock in the key's row, which is `loggedDigest` of the state before, unless that could not be read.
   */
  changing(located: LocatedKey, logged: Uint8Array | undefined, after: CachedState, nowMs: number): Batch {
    const digest = loggedDigest(after);
    if (digest === undefined) return logged === undefined ? nothingMore : this.#dropping(located);
    // Healed, or touched: the clock is the one that it was, and so is its age.
    if (logged !== undefined && equalBytes(logged, digest)) return nothingMore;
    const expiresAtMs = Math.max(0, ...after.state.values.map((value) => (value.tombstone ? 0 : value.expiresAtMs!)));
    return this.#putting(located, { digest, sinceMs: nowMs, expiresAtMs }, logged === undefined ? 1 : 0);
  }

  /**
   * For a row that is wrong: not about the clock that is held, as a record that was lost leaves it, or from the time to
   * come, as a clock that was set back leaves it; then it ages from now on.
   */
  mending(
    {
      logged,
      held,
      isDamaged,
    }: { readonly logged: Forgettable | undefined; readonly held: CachedState; readonly isDamaged: boolean },
    nowMs: number,
  ): Batch | undefined {
    if (logged === undefined || isDamaged) return undefined;
    const change = this.changing(logged.located, logged.digest, held, nowMs);
    if (change !== nothingMore) return change;
    return logged.sinceMs <= nowMs ? undefined : this.#putting(logged.located, { ...logged, sinceMs: nowMs }, 0);
  }

  /** Some rows of a partition, in ring order. */
  async page(
    partition: PartitionIndex,
    {
      after,
      ...limits
    }: { readonly after?: Uint8Array | undefined; readonly limit: number; readonly maxBytes?: number },
  ): Promise<{ readonly rows: readonly Forgettable[]; readonly next: Uint8Array | null }> {
    const { gte, lt } = rangeOfTombstones(partition);
    const page = await this.#records.page("meta", { gte: after ?? gte, lt, ...limits });
    const rows = page.rows.flatMap((row) =>
      "corrupt" in row ? [] : [forgettableOf(locatedOf(row.key, partition), row.value)],
    );
    return { rows, next: page.next };
  }

  async get(located: LocatedKey): Promise<Forgettable | undefined> {
    const [value] = await this.#records.getMany("meta", [rowOf(located)]);
    return value === undefined || value === "corrupt" ? undefined : forgettableOf(located, value);
  }

  #putting(located: LocatedKey, row: Parameters<typeof TombstoneRow.encode>[0], added: number): Batch {
    const { digest, sinceMs, expiresAtMs } = row;
    const value = TombstoneRow.encode({ digest, sinceMs, expiresAtMs });
    return this.#batch({ kind: "put", ns: "meta", key: rowOf(located), value }, located.partition, added);
  }

  #dropping(located: LocatedKey): Batch {
    return this.#batch({ kind: "delete", ns: "meta", key: rowOf(located) }, located.partition, -1);
  }

  #batch(operation: StorageOperation, partition: PartitionIndex, added: number): Batch {
    return { operations: [operation], committed: () => this.#count(partition, added) };
  }

  #count(partition: PartitionIndex, added: number): void {
    const count = this.countIn(partition) + added;
    if (count > 0) this.#counts.set(partition, count);
    else this.#counts.delete(partition);
  }
}

/** Rows about the keys of a partition. */
export function rangeOfTombstones(partition: PartitionIndex): { readonly gte: Uint8Array; readonly lt: Uint8Array } {
  return { gte: prefixOf(partition), lt: prefixOf((partition + 1) as PartitionIndex) };
}

/** The clock in the row of a key with this state; undefined: it has none, for something in it may be read for ever. */
export function loggedDigest(held: CachedState): Uint8Array | undefined {
  const { values } = held.state;
  const isForgettable =
    values.length > 0 && values.every((value) => value.tombstone || value.expiresAtMs !== undefined);
  return isForgettable ? held.digest : undefined;
}

function forgettableOf(located: LocatedKey, value: Uint8Array): Forgettable {
  return { located, ...TombstoneRow.decode(value) };
}

/** The prefix, the partition in three bytes (so that one follows the last), the key's row. */
function rowOf(located: LocatedKey): Uint8Array {
  const start = prefixOf(located.partition);
  const row = new Uint8Array(start.length + located.row.length);
  row.set(start);
  row.set(located.row, start.length);
  return row;
}

function prefixOf(partition: PartitionIndex): Uint8Array {
  const row = new Uint8Array(prefix.length + 3);
  row.set(prefix);
  row.set([partition >> 16, (partition >> 8) & 255, partition & 255], prefix.length);
  return row;
}

function partitionOf(row: Uint8Array): PartitionIndex {
  const [high, middle, low] = row.subarray(prefix.length);
  return ((high! << 16) | (middle! << 8) | low!) as PartitionIndex;
}

function locatedOf(row: Uint8Array, partition: PartitionIndex): LocatedKey {
  const objectRow = row.slice(prefix.length + 3);
  return { key: keyOfRow(objectRow), partition, row: objectRow };
}
