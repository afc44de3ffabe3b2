/**
 * The way out of the door: forgets a partition that this node owns no more, once others hold all of it (PROTOCOL 9).
 *
 * `begin` is atomic with everything else that happens to the partition: from then on nothing is taken in, and the actor is
 * gone. The rows follow one by one, each within its key's queue; a node that owns the partition again meanwhile keeps
 * what is left and fills. After a crash the partition is `former` with some rows fewer, and is dropped again.
 * Where the disk cannot tell all rows, the unseen ones stay on it, and may show again: the partition stays `former`, so
 * that they are never taken for what is missing here, nor for nothing when others reap; it is tried again at the next start.
 * Invariants: the holding becomes `none` after its last row is gone; a row's deletion is committed only while its partition
 * is `dropping`, with its hash in the tree and its place in memory: so the disk has it before a ring that gives the
 * partition back, and no source is told of a row that then goes.
 */
import type { PartitionIndex } from "../identity.ts";
import { toHex } from "../bytes/hex.ts";
import { type LocatedKey, locateRow, partitionsOfStray, rangeOfPartition, strayAt } from "../placement/locate.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { inLanes } from "../tasks.ts";
import { fillRow } from "./fill-row.ts";
import type { Holdings } from "./holdings.ts";
import type { KeyQueue } from "./key-queue.ts";
import type { Stillness } from "./stillness.ts";
import type { Telemetry } from "../telemetry.ts";

export interface DropDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly queue: KeyQueue;
  readonly stillness: Stillness;
  readonly telemetry: Telemetry;
  /** Deletes the row of a key, and turns hints that point at it into hints with its state. Runs within the key's queue. */
  readonly letGo: (located: LocatedKey) => Promise<void>;
}

/** Each is a read and a delete; a group of them is one flush. */
export const rowsPerPage = 64;

export interface DropLimits {
  readonly pace: (rows: number) => Promise<void>;
  readonly isAllowed: () => boolean;
}

export class PartitionDrop {
  readonly #deps: DropDeps;
  /** Partitions of which only such rows are left, and the filling (`Holdings.fillingOf`) that they are left of. */
  readonly #unseen = new Map<PartitionIndex, number>();

  constructor(deps: DropDeps) {
    this.#deps = deps;
  }

  /** False: work on the partition is under way, or it is held as something else; ask again later. */
  begin(partition: PartitionIndex): boolean {
    const { holdings, queue } = this.#deps;
    if (holdings.get(partition) !== "former" || !queue.isIdle(partition)) return false;
    return holdings.set(partition, "dropping");
  }

  /** Everything of this former holding is gone but for rows that the disk cannot tell. */
  isUnseen(partition: PartitionIndex): boolean {
    const { holdings } = this.#deps;
    return holdings.get(partition) === "former" && this.#unseen.get(partition) === holdings.fillingOf(partition);
  }

  /**
   * Deletes a damaged row that no key leads to, and tells it: what it held belongs to the owners, who have it or are asked; from
   * the beginning, for it may have been copied from them before, which a restart must not count.
   * @throws StoreError as every commit
   */
  dropStray(row: Uint8Array): Promise<void> {
    const { records, holdings, queue, telemetry } = this.#deps;
    const stray = strayAt(row, holdings.partitions);
    return queue.run(stray, async () => {
      telemetry.event({
        kind: "corrupt-record",
        where: `row ${toHex(row)}, of which the key is damaged: it is removed`,
      });
      holdings.dropActor(stray.partition);
      const cursors = [...partitionsOfStray(row, holdings.partitions)].map(fillRow);
      await records.commit([
        { kind: "delete", ns: "objects", key: row },
        ...cursors.map((key) => ({ kind: "delete", ns: "meta", key }) as const),
      ]);
    });
  }

  /**
   * Deletes the rows, `pace` awaited before, while `isAllowed`; what is left then is `former` again. False: something stays:
   * that, or the partition is owned again, or `isUnseen`.
   */
  async run(partition: PartitionIndex, { pace, isAllowed }: DropLimits): Promise<boolean> {
    const { records, holdings, queue, stillness, telemetry, letGo } = this.#deps;
    const isDropping = (): boolean => {
      if (holdings.get(partition) === "dropping" && !isAllowed()) holdings.set(partition, "former");
      return holdings.get(partition) === "dropping";
    };
    const range = rangeOfPartition(partition, holdings.partitions);
    let isWhole = true;
    let gte: Uint8Array | null = range.gte;
    while (gte !== null && isDropping()) {
      const page = await records.page("objects", { ...range, gte, limit: rowsPerPage, keysOnly: true });
      isWhole &&= !page.damaged;
      if (page.rows.length > 0) await pace(page.rows.length);
      const dropRow = async (row: Uint8Array): Promise<void> => {
        const located = locateRow(row, holdings.partitions);
        if (located === undefined) return this.dropStray(row);
        await queue.run(located, async () => {
          if (isDropping()) await letGo(located);
        });
      };
      await inLanes(
        page.rows.map(
          ({ key }) =>
            () =>
              dropRow(key),
        ),
      );
      gte = page.next;
    }
    if (!isDropping()) return false;
    // Its states were pushed to the owners a moment ago, and a copy of one may still be on its way: as with a hint.
    stillness.hintGone(partition);
    if (isWhole) return holdings.set(partition, "none");
    this.#unseen.set(partition, holdings.fillingOf(partition));
    holdings.set(partition, "former");
    const where = `rows of partition ${partition} that cannot be read: they stay on the disk, all else of it is dropped`;
    telemetry.event({ kind: "corrupt-record", where });
    return false;
  }
}
