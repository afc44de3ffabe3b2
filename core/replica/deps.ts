/**
 * What a replica takes: needs here, options in `NodeConfig`.
 */
import type { HybridClock } from "../causality/hybrid-clock.ts";
import type { PartitionIndex } from "../identity.ts";
import type { Clock, Random } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Holdings } from "./holdings.ts";
import type { OwnTime } from "./own-time.ts";

export interface ReplicaDeps {
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly clock: Clock;
  readonly hybridClock: HybridClock;
  readonly random: Random;
  readonly telemetry: Telemetry;
  readonly ownTime: OwnTime;
  /** Own time before which what was known here of the partition is forgettable (`causality/truncation.ts`). */
  readonly forgettableBeforeMs: (partition: PartitionIndex) => number;
  /** A clock there stays too long for want of what that asks for. */
  readonly onLongClock: (partition: PartitionIndex) => void;
  /** Whether the ring gives the partition to this node; others may hold it too, from earlier. */
  readonly owns: (partition: PartitionIndex) => boolean;
  /** Whether this node is sure of the ring since its start; until then it says `filling` (PROTOCOL 9). */
  readonly isConfirmed: (partition: PartitionIndex) => boolean;
}
