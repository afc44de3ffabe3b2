/**
 * Every number with its unit, its default and the reason for it.
 * Fixed for a cluster: `ClusterParameters`. Free per host: `NodeConfig`.
 */

/** Fixed when the first host creates the cluster, carried in the membership state; a host started with others refuses. */
export interface ClusterParameters {
  readonly name: string;
  /** Q: equal partitions of the hash space; a power of two. Many more than hosts, so that load stays even (paper 6.2). */
  readonly partitions: number;
  /** N: replicas of each key. */
  readonly n: number;
  /** Who may talk to the cluster. `open`: anybody who can reach it. */
  readonly admission: "open";
}

/** What a founder takes where it is told nothing else. */
export const clusterDefaults = { name: "everwrite", partitions: 1024, n: 3, admission: "open" } as const;

/** How many replicas must answer: `one`, `quorum` (majority of min(N, members)), `all`, or a number. */
export type QuorumSpec = "one" | "quorum" | "all" | number;

/** Free per host. Names end in their unit; reasons stand at the defaults. */
export interface NodeConfig {
  readonly r: QuorumSpec;
  readonly w: QuorumSpec;
  /**
   * `buffered` (paper 6.1): only the coordinator's copy is on the disk before the ack; the others are in memory. What a host
   * hands on it forgets when the others have it on their disks.
   */
  readonly durability: "synced" | "buffered";

  // -- limits on what is stored
  readonly keyBytesMax: number;
  readonly valueBytesMax: number;
  readonly valueBytesWarn: number;
  readonly contentTypeBytesMax: number;
  readonly siblingsMax: number;
  readonly siblingsWarn: number;
  readonly siblingBytesMax: number;
  readonly clockEntriesMax: number;
  readonly clockDriftMaxMs: number;
  readonly inFlightMsMax: number;

  // -- requests
  readonly requestTimeoutMs: number;
  readonly requestTimeoutMaxMs: number;
  readonly replicaTimeoutMs: number;
  readonly speculativeDelayMinMs: number;
  readonly readRepairShare: number;
  readonly inlineValueBytesMax: number;
  readonly requestsMax: number;

  // -- replica
  readonly cacheBytesMax: number;
  readonly changeLogEntriesMax: number;

  // -- background
  readonly reconcileIntervalMs: number;
  readonly suspectAfterMs: number;
  readonly backgroundLatencyThresholdMs: number;
  readonly backgroundWindowMs: number;
  readonly backgroundWaitMaxMs: number;
  readonly hintBytesMax: number;
  readonly hintAgeMaxMs: number;
  readonly fillPageBytes: number;
  readonly transferBytesPerSecondMax: number;
  readonly antiEntropyIntervalMs: number;

  // -- deletes
  readonly graceMs: number;
  readonly reapIntervalMs: number;
  readonly reapKeysMax: number;
  readonly reapBytesMax: number;
  readonly reapTimeoutMs: number;
}

/** The defaults, each with its reason where it is not plain. */
export const nodeDefaults: NodeConfig = {
  r: "quorum",
  w: "quorum",
  durability: "synced",

  keyBytesMax: 1_024,
  valueBytesMax: 1_048_576, // the paper's target: "objects that are relatively small (usually less than 1 MB)"
  valueBytesWarn: 262_144,
  contentTypeBytesMax: 128,
  siblingsMax: 100, // Riak refuses at 100 too: more are a client that never reads
  siblingsWarn: 10,
  siblingBytesMax: 16_777_216, // one state must travel and be merged whole: keep it far below the 64 MiB message limit
  clockEntriesMax: 50, // the paper says "say 10"; entries are 20 bytes, and dropping one early can bring a value back
  clockDriftMaxMs: 60_000, // a stamp further ahead than this does not drag the clock along
  inFlightMsMax: 600_000, // no state read longer ago is still on its way: twice the longest request

  requestTimeoutMs: 5_000,
  requestTimeoutMaxMs: 300_000,
  replicaTimeoutMs: 2_000, // below the request's: a straggler becomes a hint while the client still waits
  speculativeDelayMinMs: 5, // below it a second request costs more than the wait
  readRepairShare: 0.1, // Dynamo repairs on read; a tenth of the reads checks all N
  inlineValueBytesMax: 4_096, // a digest and a second trip cost more than sending this much
  requestsMax: 4_096, // coordinated at once; above it clients get `overloaded` instead of a queue that grows

  cacheBytesMax: 67_108_864, // states read again soon: saves the disk read of each read-modify-write
  changeLogEntriesMax: 16_384, // watchers that fall further behind list anew

  reconcileIntervalMs: 1_000, // the paper gossips once a second (4.8.1)
  suspectAfterMs: 1_500, // of a peer that else answers at once; one that is often slow gets more (membership/phi.ts)
  backgroundLatencyThresholdMs: 50, // the paper's 6.5: near it, background work may add nothing to the p99 of requests
  backgroundWindowMs: 10_000, // the paper looks at 60 s; shorter reacts while it still helps
  backgroundWaitMaxMs: 60, // between two steps of 8 hints or 16 keys of anti-entropy: a host that is always busy moves 130 hints a second
  hintBytesMax: 268_435_456, // kept for one host that is away: a host must not fill up for another's outage
  hintAgeMaxMs: 86_400_000, // after a day away comparing trees is cheaper than hint by hint
  fillPageBytes: 262_144, // a page of a transfer without clients beside it; with them pages are smaller (copy-partitions.ts)
  transferBytesPerSecondMax: 33_554_432, // of transfers, of hints and of anti-entropy each: a quarter of what a gigabit network or a plain SSD can do
  antiEntropyIntervalMs: 1_000, // as gossip: an idle round is one digest, and 5 hosts have all met within 4 s of a heal

  // A tombstone outlives whatever may still be on its way, for which there is a third of this, and the repeats of a write
  // under its id, for which there is a half. A day is far longer than either.
  graceMs: 86_400_000,
  reapIntervalMs: 10_000, // a small part of the grace period; a pass that finds nothing old reads nothing
  reapKeysMax: 1_000, // consented to one by one: so many are a read of some 10 ms on each member
  reapBytesMax: 262_144, // of keys and clocks in one message to every member
  reapTimeoutMs: 10_000, // as anti-entropy: longer than a busy disk takes; a consent counts for twice as long
};
