/**
 * Sets aside what must not be served: a whole storage that is an old copy, or, of one on which nobody works yet, what is held
 * of some partitions, in a storage of its own (PROTOCOL 9, *Return*): something was forgotten there without this host, and
 * its states could bring that back.
 * Invariant: nothing is deleted here before all of it is durable there. So after a crash, or a failure, it is
 * in one of the two at least, and the next start goes on.
 */
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { rangeOfPartition } from "../placement/locate.ts";
import type { NodePorts } from "../node-options.ts";
import type { Clock, KeyRange, Namespace, Storage, StorageOperation } from "../ports.ts";
import { rangeOfHints } from "../replica/hint-rows.ts";
import { rangeOfTombstones } from "../replica/tombstone-log.ts";
import { type RecordPage, RecordStore } from "../storage/record-store.ts";
import { reasonOf } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Outdated } from "./start.ts";

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

interface UntilSetAsideDeps {
  readonly setAside: NodePorts["setAside"];
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Between two tries. */
  readonly pauseMs: number;
  readonly isStopped: () => boolean;
  /** Told what the node waits for now, in words. */
  readonly waitFor: (what: string) => void;
}

/** All goes, and an empty storage takes its place. A disk that is full or busy now need not stay so. Undefined: stopped. */
export async function untilSetAside(
  deps: UntilSetAsideDeps,
): Promise<Awaited<ReturnType<NodePorts["setAside"]>> | undefined> {
  const { clock, telemetry, pauseMs, isStopped, waitFor } = deps;
  const what = "its old data to be set aside";
  let told: string | undefined;
  for (waitFor(what); !isStopped();) {
    try {
      const aside = await deps.setAside();
      waitFor("an empty storage to be filled from the others");
      return aside;
    } catch (error: unknown) {
      const reason = reasonOf(error);
      if (reason !== told) telemetry.event({ kind: "task-failed", task: "set old data aside", reason });
      told = reason;
      waitFor(`${what}, which failed and is tried again: ${reason}`);
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
    }
  }
  return undefined;
}

/**
 * The names of what was kept, if there was anything. Undefined: some of it cannot be read, or copied for want of room. Then all
 * is to go, which takes a new name and no room.
 */
export async function keepPartitionsAside(
  deps: Pick<SetAsideDeps, "records" | "partitions"> & Pick<NodePorts, "openAside" | "telemetry">,
  { partitions, hintTargets }: Outdated,
): Promise<readonly string[] | undefined> {
  try {
    const as = await setPartitionsAside({ ...deps, hintTargets, open: deps.openAside }, partitions);
    return as === undefined ? [] : [as];
  } catch (error: unknown) {
    deps.telemetry.event({ kind: "task-failed", task: "set some partitions aside", reason: reasonOf(error) });
    return undefined;
  }
}

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
