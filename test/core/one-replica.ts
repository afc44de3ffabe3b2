/** A replica by itself, which holds all of 8 partitions completely, as their owner or as a former one. */
import { makeKey } from "../../core/bytes/key.ts";
import { HybridClock } from "../../core/causality/hybrid-clock.ts";
import { nothingSeen } from "../../core/causality/version-set.ts";
import { nodeDefaults } from "../../core/config.ts";
import { type LocatedKey, locate } from "../../core/placement/locate.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import type { Storage } from "../../core/ports.ts";
import { Holdings } from "../../core/replica/holdings.ts";
import type { WriteEvent } from "../../core/replica/minter.ts";
import { OwnTime } from "../../core/replica/own-time.ts";
import { Replica } from "../../core/replica/replica.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { ManualClock } from "../support/manual-clock.ts";

export const q = 8;

export function open(
  storage: Storage,
  { owns = true } = {},
): { readonly replica: Replica; readonly records: RecordStore } {
  const records = new RecordStore(storage, { flushOperationsMax: 2 });
  let seed = 0;
  const random = { next: () => 0.5, bytes: (count: number) => new Uint8Array(count).fill((seed += 1)) };
  const holdings = new Holdings(q, random);
  for (const partition of allPartitions(q)) holdings.set(partition, "complete");
  const telemetry = { event: () => {} };
  const hybridClock = new HybridClock(nodeDefaults);
  const clock = new ManualClock();
  const deps = {
    records,
    holdings,
    clock,
    hybridClock,
    random,
    telemetry,
    owns: () => owns,
    isConfirmed: () => true,
    ownTime: new OwnTime(clock),
    forgettableBeforeMs: () => 0,
    onLongClock: () => {},
  };
  return { replica: new Replica(deps, nodeDefaults), records };
}

export const located = (key: number): LocatedKey => locate(makeKey("b", String(key)), q);

/** Adds a sibling: nothing was seen. */
export const write: WriteEvent = {
  coverage: nothingSeen,
  value: { kind: "opaque", tombstone: false, contentType: "", body: new Uint8Array(1) },
  hintsFor: [],
};
