/**
 * How far each partition was copied from each of its sources, kept on the disk so that a restart goes on where it ended.
 *
 * A host that is down misses writes to what it has copied already, as any complete holder does that is down: quorums, hints
 * and anti-entropy care for those, as long as it owned the partition all the time. So a cursor counts only for the same
 * filling: not when the partition was lost and won back, and after a restart only on the ring that it was made on.
 */
import { bool, bytes, DecodeError, field, hex, type Infer, message, optional, repeated, text } from "../bytes/codec.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { StorageOperation } from "../ports.ts";
import { fillRow, fillRowPrefix } from "../replica/fill-row.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { encodeUtf8 } from "lib0/string";

/** `next`: the row to ask from; absent: everything was copied. `isPartial`: the source is not complete itself, or did not send all of it whole. */
export interface Cursor {
  readonly next?: Uint8Array;
  readonly isPartial?: boolean;
}

export interface CursorDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
}

const CursorRow = message("FillCursors", {
  ring: field(1, hex(8)),
  sources: repeated(
    2,
    message("FillCursor", { id: field(1, text(128)), next: optional(2, bytes(2_048)), isPartial: optional(3, bool) }),
    10_000,
  ),
});

/** The byte after "/". */
const prefixEnd = encodeUtf8("fill0");
const rowsPerPage = 1_000;

interface Kept {
  readonly filling: number;
  readonly sources: Map<NodeId, Cursor>;
}

export class FillCursors {
  readonly #deps: CursorDeps;
  readonly #kept = new Map<PartitionIndex, Kept>();
  readonly #unsaved = new Set<PartitionIndex>();
  /** Partitions with a row on the disk, and the filling that it is of; undefined: of an earlier run that does not count. */
  readonly #stored = new Map<PartitionIndex, number | undefined>();
  /** `Holdings.fillingsBegun` when no row on the disk was of an earlier filling. */
  #cleanAt: number | undefined;

  constructor(deps: CursorDeps) {
    this.#deps = deps;
  }

  /** Call when the holdings are restored as they were on the disk, and before anything changes them. */
  async open(ring: string): Promise<void> {
    const { records, holdings } = this.#deps;
    let gte: Uint8Array | null = fillRowPrefix;
    while (gte !== null) {
      const page = await records.page("meta", { gte, lt: prefixEnd, limit: rowsPerPage });
      for (const row of page.rows) {
        const partition = partitionOfRow(row.key);
        this.#stored.set(partition, undefined);
        if ("corrupt" in row || !this.#isFilling(partition)) continue;
        const stored = storedIn(row.value);
        if (stored?.ring !== ring) continue;
        const cursors = stored.sources.map(({ id, ...cursor }) => [id as NodeId, cursor] as const);
        const filling = holdings.fillingOf(partition);
        this.#kept.set(partition, { filling, sources: new Map(cursors) });
        this.#stored.set(partition, filling);
      }
      gte = page.next;
    }
  }

  /** Undefined: nothing was copied from there yet. */
  get(partition: PartitionIndex, source: NodeId): Cursor | undefined {
    return this.#current(partition)?.sources.get(source);
  }

  isDone(partition: PartitionIndex, source: NodeId): boolean {
    const cursor = this.get(partition, source);
    return cursor !== undefined && cursor.next === undefined;
  }

  set(partition: PartitionIndex, source: NodeId, cursor: Cursor): void {
    let kept = this.#current(partition);
    if (kept === undefined) {
      kept = { filling: this.#deps.holdings.fillingOf(partition), sources: new Map() };
      this.#kept.set(partition, kept);
    }
    kept.sources.set(source, cursor);
    this.#unsaved.add(partition);
  }

  forget(partition: PartitionIndex, source: NodeId): void {
    if (this.#current(partition)?.sources.delete(source)) this.#unsaved.add(partition);
  }

  /** Writes what changed; what was copied is durable before. What the disk refuses is written the next time. */
  async save(ring: string): Promise<void> {
    await this.clean();
    const partitions = [...this.#unsaved];
    this.#unsaved.clear();
    const puts = partitions.flatMap((partition): StorageOperation[] => {
      const kept = this.#current(partition);
      if (kept === undefined) return [];
      this.#stored.set(partition, kept.filling);
      const sources = [...kept.sources].map(([id, cursor]) => ({ id, ...cursor }));
      return [{ kind: "put", ns: "meta", key: fillRow(partition), value: CursorRow.encode({ ring, sources }) }];
    });
    if (puts.length === 0) return;
    try {
      await this.#deps.records.commit(puts, { isPatient: true });
    } catch (error: unknown) {
      for (const partition of partitions) this.#unsaved.add(partition);
      throw error;
    }
  }

  /** Nothing of it is on the disk. */
  get isEmpty(): boolean {
    return this.#stored.size === 0;
  }

  /** Forgets what is not filling any more; call when that is on the disk, for a restart must not fill it anew. */
  sweep(): Promise<void> {
    return this.#deleteRows(
      [...this.#stored.keys()].filter((each) => !this.#isFilling(each) || this.#isOutdated(each)),
    );
  }

  /** What is of an earlier filling would count again after a restart on the same ring. First, for a full disk takes deletes. */
  async clean(): Promise<void> {
    const { fillingsBegun } = this.#deps.holdings;
    if (this.#cleanAt === fillingsBegun) return;
    await this.#deleteRows([...this.#stored.keys()].filter((each) => this.#isFilling(each) && this.#isOutdated(each)));
    this.#cleanAt = fillingsBegun;
  }

  async #deleteRows(partitions: readonly PartitionIndex[]): Promise<void> {
    if (partitions.length === 0) return;
    const operations = partitions.map((each) => ({ kind: "delete", ns: "meta", key: fillRow(each) }) as const);
    await this.#deps.records.commit(operations);
    for (const each of partitions) {
      if (!this.#isFilling(each) || this.#current(each) === undefined) this.#kept.delete(each);
      // What was copied meanwhile has a row again.
      if (!this.#isFilling(each) || this.#isOutdated(each)) this.#stored.delete(each);
    }
  }

  /** What is on the disk of it is not of this filling. */
  #isOutdated(partition: PartitionIndex): boolean {
    return this.#stored.get(partition) !== this.#deps.holdings.fillingOf(partition);
  }

  #isFilling(partition: PartitionIndex): boolean {
    return this.#deps.holdings.get(partition) === "filling";
  }

  #current(partition: PartitionIndex): Kept | undefined {
    const kept = this.#kept.get(partition);
    return kept?.filling === this.#deps.holdings.fillingOf(partition) ? kept : undefined;
  }
}

/** Undefined: it is none. Then nothing counts as copied. */
function storedIn(row: Uint8Array): Infer<typeof CursorRow> | undefined {
  try {
    return CursorRow.decode(row);
  } catch (error: unknown) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function partitionOfRow(row: Uint8Array): PartitionIndex {
  return ((row[fillRowPrefix.length]! << 8) | row[fillRowPrefix.length + 1]!) as PartitionIndex;
}
