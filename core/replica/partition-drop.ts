/**
 * The way out of the door: forgets a partition that this node owns no more, once others hold all of it (PROTOCOL 9).
 *
 * `begin` is atomic with everything else that happens to the partition: from then on nothing is taken in, and the actor is
 * gone. The rows follow one by one, each within its key's queue; a node that owns the partition again meanwhile keeps
 * what is left and fills. After a crash the partition is `former` with some rows fewer, and is dropped again.
 * Invariants: the holding becomes `none` after its last row is gone; a row is deleted only while its partition is `dropping`, with its hash in the tree and its place in memory.
 */
import type { PartitionIndex } from "../identity.ts";
import { keyOfRow, locate, type LocatedKey, rangeOfPartition } from "../placement/locate.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { inLanes } from "../tasks.ts";
import type { Holdings } from "./holdings.ts";
import type { KeyQueue } from "./key-queue.ts";
import type { Stillness } from "./stillness.ts";

export interface DropDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly queue: KeyQueue;
  readonly stillness: Stillness;
  /** Deletes the row of a key, and turns hints that point at it into hints with its state. Runs within the key's queue. */
  readonly letGo: (located: LocatedKey) => Promise<void>;
}

/** Each is a read and a delete; a group of them is one flush. */
export const rowsPerPage = 64;

export class PartitionDrop {
  readonly #deps: DropDeps;

  constructor(deps: DropDeps) {
    this.#deps = deps;
  }

  /** False: work on the partition is under way, or it is held as something else; ask again later. */
  begin(partition: PartitionIndex): boolean {
    const { holdings, queue } = this.#deps;
    if (holdings.get(partition) !== "former" || !queue.isIdle(partition)) return false;
    return holdings.set(partition, "dropping");
  }

  /** Deletes the rows, `pace` awaited before; false: the partition is owned again, and what is left stays. */
  async run(partition: PartitionIndex, pace: (rows: number) => Promise<void>): Promise<boolean> {
    const { records, holdings, queue, stillness, letGo } = this.#deps;
    const isDropping = (): boolean => holdings.get(partition) === "dropping";
    const range = rangeOfPartition(partition, holdings.partitions);
    let gte: Uint8Array | null = range.gte;
    while (gte !== null && isDropping()) {
      const page = await records.page("objects", { ...range, gte, limit: rowsPerPage, keysOnly: true });
      if (page.rows.length > 0) await pace(page.rows.length);
      const dropRow = async (row: Uint8Array): Promise<void> => {
        const located = locate(keyOfRow(row), holdings.partitions);
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
    return holdings.set(partition, "none");
  }
}
