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

const prefix = encodeUtf8("fill/");
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
  /** Partitions with a row on the disk. */
  readonly #stored = new Set<PartitionIndex>();
  /** `Holdings.fillingsBegun` when no row on the disk was of an earlier filling. */
  #cleanAt: number | undefined;

  constructor(deps: CursorDeps) {
    this.#deps = deps;
  }

  /** Call when the holdings are restored as they were on the disk, and before anything changes them. */
  async open(ring: string): Promise<void> {
    const { records, holdings } = this.#deps;
    let gte: Uint8Array | null = prefix;
    while (gte !== null) {
      const page = await records.page("meta", { gte, lt: prefixEnd, limit: rowsPerPage });
      for (const row of page.rows) {
        const partition = partitionOfRow(row.key);
        this.#stored.add(partition);
        if ("corrupt" in row || !this.#isFilling(partition)) continue;
        const stored = storedIn(row.value);
        if (stored?.ring !== ring) continue;
        const cursors = stored.sources.map(({ id, ...cursor }) => [id as NodeId, cursor] as const);
        this.#kept.set(partition, { filling: holdings.fillingOf(partition), sources: new Map(cursors) });
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

  /** Writes what changed; what was copied is durable before. */
  async save(ring: string): Promise<void> {
    const puts = [...this.#unsaved].flatMap((partition): StorageOperation[] => {
      const kept = this.#current(partition);
      if (kept === undefined) return [];
      this.#stored.add(partition);
      const sources = [...kept.sources].map(([id, cursor]) => ({ id, ...cursor }));
      return [{ kind: "put", ns: "meta", key: rowOf(partition), value: CursorRow.encode({ ring, sources }) }];
    });
    this.#unsaved.clear();
    if (puts.length > 0) await this.#deps.records.commit(puts, { isPatient: true });
    const { fillingsBegun } = this.#deps.holdings;
    if (this.#cleanAt === fillingsBegun) return;
    // Of an earlier filling: it would count again after a restart on the same ring.
    await this.#deleteRows([...this.#stored].filter((each) => this.#isFilling(each) && !this.#counts(each)));
    this.#cleanAt = fillingsBegun;
  }

  /** Forgets what is not filling any more; call when that is on the disk, for a restart must not fill it anew. */
  sweep(): Promise<void> {
    return this.#deleteRows([...this.#stored].filter((each) => !this.#counts(each)));
  }

  async #deleteRows(partitions: readonly PartitionIndex[]): Promise<void> {
    if (partitions.length === 0) return;
    const operations = partitions.map((each) => ({ kind: "delete", ns: "meta", key: rowOf(each) }) as const);
    await this.#deps.records.commit(operations);
    // What was copied meanwhile has a row again.
    for (const partition of partitions.filter((each) => !this.#counts(each))) {
      this.#stored.delete(partition);
      this.#kept.delete(partition);
    }
  }

  #isFilling(partition: PartitionIndex): boolean {
    return this.#deps.holdings.get(partition) === "filling";
  }

  #counts(partition: PartitionIndex): boolean {
    return this.#isFilling(partition) && this.#current(partition) !== undefined;
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

function rowOf(partition: PartitionIndex): Uint8Array {
  const row = new Uint8Array(prefix.length + 2);
  row.set(prefix);
  row.set([partition >> 8, partition & 255], prefix.length);
  return row;
}

function partitionOfRow(row: Uint8Array): PartitionIndex {
  return ((row[prefix.length]! << 8) | row[prefix.length + 1]!) as PartitionIndex;
}
