/**
 * Takes what is held of some partitions out of a storage on which nobody works yet, and keeps it in one of its own
 * (PROTOCOL 9, *Return*): something was forgotten there without this host, and its states could bring that back.
 * Invariant: nothing is deleted here before all of it is durable there. So after a crash, or a failure, it is
 * in one of the two at least, and the next start goes on.
 */
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { rangeOfPartition } from "../placement/locate.ts";
import type { KeyRange, Namespace, Storage, StorageOperation } from "../ports.ts";
import { rangeOfHints } from "../replica/hint-rows.ts";
import { rangeOfTombstones } from "../replica/tombstone-log.ts";
import { type RecordPage, RecordStore } from "../storage/record-store.ts";

export interface SetAsideDeps {
  readonly records: RecordStore;
  /** Q. */
  readonly partitions: number;
  /** For whom hints are kept here. */
  readonly hintTargets: readonly NodeId[];
  /** Opens an empty storage; called when there is something to keep. */
  readonly open: () => Promise<{ readonly storage: Storage; readonly as: string }>;
}

interface Rows {
  readonly ns: Namespace;
  readonly range: KeyRange;
}

const page = { limit: 256, maxBytes: 1_048_576 };

/**
 * @returns the name of what was kept; undefined: there was nothing
 * @throws StoreError `corrupt` where something cannot be read, and so not be copied; `storage-full`
 */
export async function setPartitionsAside(
  { records, partitions, hintTargets, open }: SetAsideDeps,
  outdated: readonly PartitionIndex[],
): Promise<string | undefined> {
  const ranges = outdated.map((partition) => rangeOfPartition(partition, partitions));
  const states = ranges.flatMap((range): Rows[] => [
    { ns: "objects", range },
    ...hintTargets.map((target): Rows => ({ ns: "hints", range: rangeOfHints(target, range) })),
  ]);
  const log = outdated.map((partition): Rows => ({ ns: "meta", range: rangeOfTombstones(partition) }));
  const as = await keep(records, states, open);
  for (const { ns, range } of [...states, ...log]) await records.clear(ns, range);
  return as;
}

async function keep(
  records: RecordStore,
  kept: readonly Rows[],
  open: SetAsideDeps["open"],
): Promise<string | undefined> {
  let aside: { readonly records: RecordStore; readonly as: string } | undefined;
  try {
    for (const { ns, range } of kept) {
      let gte: Uint8Array | null = range.gte ?? new Uint8Array(0);
      while (gte !== null) {
        const { rows, next, damaged } = await records.page(ns, { ...range, gte, ...page });
        if (damaged) throw new StoreError("corrupt", `records in ${ns} cannot be read`);
        if (rows.length > 0) {
          aside ??= await opened(open);
          await aside.records.commit(rows.map((row) => putting(ns, row)));
        }
        gte = next;
      }
    }
  } finally {
    await aside?.records.close();
  }
  return aside?.as;
}

async function opened(open: SetAsideDeps["open"]): Promise<{ readonly records: RecordStore; readonly as: string }> {
  const { storage, as } = await open();
  return { records: new RecordStore(storage), as };
}

function putting(ns: Namespace, row: RecordPage["rows"][number]): StorageOperation {
  if ("corrupt" in row) throw new StoreError("corrupt", `a record in ${ns} is damaged`);
  return { kind: "put", ns, key: row.key, value: row.value };
}
