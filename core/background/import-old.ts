/**
 * Brings what was set aside as an old copy back in, by hand: each state is merged into its owners' copies as any other.
 * What was overwritten since stays overwritten, for its successor covers it. What was deleted and forgotten since
 * (PROTOCOL 10) comes back, and so does what was overwritten under a clock that was cut since, which is why nobody does this
 * unasked.
 */
import { toHex } from "../bytes/hex.ts";
import { decodeVersioned } from "../causality/encoding.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import { keyOfRow, locate, locateRow } from "../placement/locate.ts";
import { partitionsMax } from "../placement/partition.ts";
import type { Storage } from "../ports.ts";
import { RecordStore } from "../storage/record-store.ts";
import { reasonOf } from "../tasks.ts";
import { hand, type HintDeps } from "./deliver-hints.ts";

export interface Imported {
  readonly keys: number;
  /** Keys that did not reach all their owners, and records that are damaged: import again. */
  readonly failed: number;
  /** Of the first that failed. */
  readonly reason?: string;
}

const page = { limit: 256, maxBytes: 1_048_576 };

/** Only the objects: a hint of that time was for others, who have it or have lost it by now. */
export async function importOld(deps: HintDeps, storage: Storage): Promise<Imported> {
  const { admission, tasks } = deps;
  const records = new RecordStore(storage);
  let [keys, failed] = [0, 0];
  let reason: string | undefined;
  for (let gte: Uint8Array | null = new Uint8Array(0); gte !== null;) {
    if (tasks.stopped) throw new StoreError("closed", `stopped after ${keys} keys; what is imported stays`);
    await admission.turn();
    const { rows, next, damaged } = await records.page("objects", { gte, ...page });
    if (damaged) {
      failed += 1;
      reason ??= "a part of it cannot be read";
    }
    const importRow = async (row: (typeof rows)[number]): Promise<void> => {
      if ("corrupt" in row) throw new StoreError("corrupt", `${nameOf(row.key)} is damaged`);
      decodeVersioned(row.value);
      await handToOwners(deps, keyOfRow(row.key), row.value.slice());
    };
    for (const result of await Promise.allSettled(rows.map(importRow))) {
      if (result.status === "fulfilled") keys += 1;
      else {
        failed += 1;
        reason ??= reasonOf(result.reason);
      }
    }
    gte = next;
  }
  return { keys, failed, ...(reason === undefined ? {} : { reason }) };
}

function nameOf(row: Uint8Array): string {
  const located = locateRow(row, partitionsMax);
  return located === undefined ? `the key of row ${toHex(row)}` : `the record of ${located.key}`;
}

/** @throws as `hand`, when one of them does not take it: others may have */
export async function handToOwners(deps: HintDeps, key: Key, state: Uint8Array): Promise<void> {
  const { ring } = deps.cluster;
  const owners = ring.owners(locate(key, ring.partitions).partition);
  await Promise.all(owners.map((owner) => hand(deps, owner, { key, state })));
}
