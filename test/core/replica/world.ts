/** One replica over a disk that outlives it, with a clock and chance of the test's own. */
import { contextOf, type Coverage, nothingSeen, type Versioned } from "../../../core/causality/version-set.ts";
import { HybridClock } from "../../../core/causality/hybrid-clock.ts";
import { nodeDefaults, type NodeConfig } from "../../../core/config.ts";
import type { Key, NodeId, PartitionIndex } from "../../../core/identity.ts";
import { locate, type LocatedKey } from "../../../core/placement/locate.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import type { Random, Storage } from "../../../core/ports.ts";
import { type Holding, Holdings } from "../../../core/replica/holdings.ts";
import type { WriteEvent } from "../../../core/replica/minter.ts";
import { OwnTime } from "../../../core/replica/own-time.ts";
import { Replica } from "../../../core/replica/replica.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import type { StoreEvent } from "../../../core/telemetry.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { utf8 } from "../../support/values.ts";

const partitions = 4;

export const at = (name: string): LocatedKey => locate(`b/${name}` as Key, partitions);
export const host = (name: string): NodeId => name as NodeId;

let count = 0;

/** Never gives the same bytes twice, in any world or run. */
const countingRandom: Random = {
  next: () => 0.5,
  bytes: (size) => {
    count += 1;
    return Uint8Array.from({ length: size }, (_, i) => (i < 4 ? (count >>> (24 - 8 * i)) & 255 : i));
  },
};

export interface Run {
  readonly replica: Replica;
  readonly holdings: Holdings;
  readonly records: RecordStore;
}

export class World {
  readonly disk = new FaultyStorage(new MemoryStorage());
  readonly clock = new ManualClock(1_000_000);
  readonly random = countingRandom;
  readonly events: StoreEvent[] = [];
  readonly config: NodeConfig;
  /** Own time before which everybody knows what is known here. */
  forgettableBeforeMs = 0;
  /** Where clocks stayed too long. */
  readonly longClocks = new Set<PartitionIndex>();

  constructor(config: Partial<NodeConfig> = {}) {
    this.config = { ...nodeDefaults, ...config };
  }

  /** A process starts on the disk; the one before is gone. */
  start(holding: Holding = "complete", isConfirmed = true): Promise<Run> {
    return this.startOn(this.disk, holding, isConfirmed);
  }

  async startOn(disk: Storage, holding: Holding = "complete", isConfirmed = true): Promise<Run> {
    const records = new RecordStore(disk);
    const holdings = new Holdings(partitions, this.random);
    for (const partition of allPartitions(partitions)) holdings.set(partition, holding);
    const replica = new Replica(
      {
        records,
        holdings,
        clock: this.clock,
        hybridClock: new HybridClock(this.config),
        random: this.random,
        telemetry: { event: (event) => void this.events.push(event) },
        owns: () => true,
        isConfirmed: () => isConfirmed,
        ownTime: new OwnTime(this.clock),
        forgettableBeforeMs: () => this.forgettableBeforeMs,
        onLongClock: (partition) => void this.longClocks.add(partition),
      },
      this.config,
    );
    await replica.open();
    return { replica, holdings, records };
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }
}

/** A put of some text by a client that has seen `seen` (nothing: it gave no context). */
export function put(
  text: string,
  seen?: Versioned,
  rest: Partial<Omit<WriteEvent, "value">> & { readonly value?: Partial<WriteEvent["value"]> } = {},
): WriteEvent {
  const coverage: Coverage = seen === undefined ? nothingSeen : contextOf(seen);
  const value = { kind: "opaque" as const, tombstone: false, contentType: "text/plain", body: utf8(text) };
  return { coverage, hintsFor: [], ...rest, value: { ...value, ...rest.value } };
}

export const remove = (seen?: Versioned): WriteEvent => put("", seen, { value: { tombstone: true } });
