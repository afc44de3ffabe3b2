/**
 * Prometheus metrics, derived from the node's events and, at each scrape, from its status.
 * Names end in their unit; buckets are dense enough that a p99.9 can be read off.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { NodeApi, NodeStatus } from "../core/api.ts";
import type { StoreEvent, Telemetry } from "../core/telemetry.ts";

type AntiEntropyCost = Pick<NodeStatus["antiEntropy"], "keysPushed" | "keysPulled" | "bytes">;

export interface Metrics {
  readonly telemetry: Telemetry;
  readonly registry: Registry;
  readonly contentType: string;
  /** The text of one scrape; gauges show the node as it is now. */
  scrape(node: Pick<NodeApi, "status">): Promise<string>;
}

// From half a millisecond (a read from memory) to the longest default timeout; steps of about 1.5 in the busy part.
const LATENCY_SECONDS = [
  0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5,
  0.75, 1, 2, 5, 10,
];
const VALUE_BYTES = [0, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
const SIBLINGS = [0, 1, 2, 3, 5, 10, 20, 50, 100];

export function metricsTelemetry(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, prefix: "everwrite_" });
  const count = eventCounters(registry);
  const setGauges = statusGauges(registry);
  return {
    telemetry: { event: count },
    registry,
    contentType: registry.contentType,
    async scrape(node) {
      setGauges(await node.status());
      return registry.metrics();
    },
  };
}

function eventCounters(registry: Registry): (event: StoreEvent) => void {
  const registers = [registry];
  const counter = (name: string, help: string, ...labelNames: string[]): Counter =>
    new Counter({ name: `everwrite_${name}`, help, labelNames, registers });
  const histogram = (name: string, help: string, buckets: number[], ...labelNames: string[]): Histogram =>
    new Histogram({ name: `everwrite_${name}`, help, buckets, labelNames, registers });

  const seconds = histogram("request_seconds", "Requests coordinated here", LATENCY_SECONDS, "verb", "outcome");
  const siblings = histogram("read_siblings", "Live values per read", SIBLINGS);
  const bytes = histogram("value_bytes", "Size of values read and written", VALUE_BYTES, "verb");
  const repairs = counter("read_repairs_total", "Replicas repaired after a read");
  const speculative = counter("speculative_reads_total", "Reads that asked one more owner because another was slow");
  const replicaFailures = counter("replica_failures_total", "Requests to a replica that failed");
  const hints = counter("hints_stored_total", "Writes that a stand-in took for an owner");
  const hintsDelivered = counter("hints_delivered_total", "Writes handed to the owners they were kept for");
  const reaped = counter("reaped_total", "Deleted keys that were forgotten here with the consent of all members");
  const reapsRefused = counter("reaps_refused_total", "Tries to forget that failed, here or at another member");
  const hintsRelieved = counter("hints_relieved_total", "Hints over their bounds that went to the other owners");
  const hintBytes = counter("hints_delivered_bytes_total", "Bytes of those writes");
  const largeValues = counter("values_large_total", "Values above the warning size");
  const manySiblings = counter("siblings_many_total", "Keys seen with more siblings than the warning level");
  const truncations = counter(
    "clock_truncations_total",
    "Entries that clocks lost; forced: without agreement",
    "forced",
  );
  const conflicts = counter("conflicts_discarded_total", "Values that a conflict rule threw away");
  const corrupt = counter("corrupt_records_total", "Damaged records found on the disk");
  const badFrames = counter("bad_frames_total", "Messages of peers that could not be decoded");
  const badRecords = counter("bad_records_total", "Member records that were refused for their signature");
  const peerProblems = counter(
    "peer_problems_total",
    "Peers that were cut off, overran, or cannot be reached",
    "problem",
  );
  const failedTasks = counter("tasks_failed_total", "Background work that failed", "task");
  const lost = counter("partitions_lost_total", "Partitions of which no complete copy was left");
  const filled = counter("partitions_filled_total", "Partitions synchronised after this host came to own them");
  const handedOff = counter("partitions_handed_off_total", "Partitions dropped after their owners confirmed them");
  const peers = counter("peer_changes_total", "Peers that came, went, were suspected or recovered", "state");
  const ringChanges = counter("ring_changes_total", "Changes of the ring");
  const rounds = counter(
    "anti_entropy_rounds_total",
    "Rounds of anti-entropy begun here; each repair of a partition is one",
    "found",
  );
  const repaired = counter(
    "anti_entropy_keys_total",
    "Keys that anti-entropy mended, here or at the peer",
    "direction",
  );
  const antiEntropyBytes = counter("anti_entropy_bytes_total", "Bytes of those rounds, both ways");

  const exchanged = ({ keysPushed, keysPulled, bytes: total }: AntiEntropyCost): void => {
    repaired.inc({ direction: "pushed" }, keysPushed);
    repaired.inc({ direction: "pulled" }, keysPulled);
    antiEntropyBytes.inc(total);
  };

  return (event) => {
    switch (event.kind) {
      case "request":
        seconds.observe({ verb: event.verb, outcome: event.outcome }, event.ms / 1_000);
        if (event.verb === "get" && event.siblings !== undefined) siblings.observe(event.siblings);
        if (event.bytes !== undefined) bytes.observe({ verb: event.verb }, event.bytes);
        return;
      case "read-repair":
        return repairs.inc(event.replicas);
      case "speculative-read":
        return speculative.inc();
      case "replica-failed":
        return replicaFailures.inc();
      case "hint-stored":
        return hints.inc();
      case "hints-delivered":
        hintsDelivered.inc(event.count);
        return hintBytes.inc(event.bytes);
      case "reaped":
        return reaped.inc(event.keys);
      case "reap-refused":
        return reapsRefused.inc();
      case "hints-relieved":
        return hintsRelieved.inc(event.count);
      case "value-large":
        return largeValues.inc();
      case "siblings-many":
        return manySiblings.inc();
      case "clock-truncated":
        truncations.inc({ forced: "false" }, event.dropped.length - event.forced);
        return truncations.inc({ forced: "true" }, event.forced);
      case "conflict":
        return conflicts.inc();
      case "corrupt-record":
        return corrupt.inc();
      case "bad-record":
        return badRecords.inc();
      case "bad-frame":
        return badFrames.inc();
      case "peer-problem":
        return peerProblems.inc({ problem: event.problem });
      case "task-failed":
        return failedTasks.inc({ task: event.task });
      case "partition-lost":
        return lost.inc(event.partitions);
      case "filled":
        return filled.inc(event.partitions);
      case "handed-off":
        return handedOff.inc(event.partitions);
      case "peer":
        return peers.inc({ state: event.state });
      case "ring-changed":
        return ringChanges.inc();
      case "anti-entropy":
        rounds.inc({ found: event.partitionsDifferent > 0 ? "differences" : "none" });
        return exchanged(event);
      case "anti-entropy-failed":
        rounds.inc({ found: "failed" });
        return exchanged(event);
      case "ready":
      case "cluster-created":
      case "waiting":
      case "joined":
      case "left":
      case "ring-planned":
      case "seed-silent":
      case "member-changed":
      case "storage":
      case "trees-built":
      case "old-data": // for the log; what they change shows in the gauges
    }
  };
}

function statusGauges(registry: Registry): (status: NodeStatus) => void {
  const gauge = (name: string, help: string, ...labelNames: string[]): Gauge =>
    new Gauge({ name: `everwrite_${name}`, help, labelNames, registers: [registry] });

  const ready = gauge("ready", "1 while serving and in contact with the cluster");
  const members = gauge("members", "Members by status, and whether this node can reach them", "status", "alive");
  const tokens = gauge("tokens", "Tokens of this node");
  const partitions = gauge("partitions", "Partitions here by state", "state");
  const transferShare = gauge(
    "transfer_progress_ratio",
    "How far a transfer of partitions is; absent when none is",
    "kind",
  );
  const transferBytes = gauge("transfer_bytes", "Moved by the transfer under way", "kind");
  const keys = gauge("keys", "Keys held here, tombstones included");
  const tombstones = gauge("tombstones_waiting", "Deleted and expiring keys held here until all may forget them");
  const hints = gauge("hints", "Undelivered hints held here");
  const oldestHint = gauge("hints_oldest_seconds", "Age of the oldest undelivered hint");
  const hintsFor = gauge("hints_for", "Undelivered hints held here, by the host they are for", "host");
  const hintBytes = gauge("hints_for_bytes", "Bytes of those hints", "host");
  const hintAge = gauge("hints_for_oldest_seconds", "Since when that host misses one of them", "host");
  const agreed = gauge("partitions_agreed", "Owned partitions that all owners were known to agree on since the start");
  const agreementAge = gauge(
    "full_agreement_seconds",
    "Age of the oldest last full agreement; NaN: some have none yet",
  );
  const storageBytes = gauge("storage_bytes", "Bytes used by the data");
  const freeBytes = gauge("storage_free_bytes", "Bytes free on the disk");
  const storageOk = gauge("storage_ok", "0 when the disk is full or failed");
  const corrupt = gauge("storage_corrupt_records", "Damaged records not yet repaired");
  const uptime = gauge("uptime_seconds", "Since the node started");

  return (status) => {
    ready.set(Number(status.ready));
    members.reset(); // a member that changed its status leaves its old label
    for (const { status: state, alive } of status.members) members.inc({ status: state, alive: String(alive) });
    tokens.set(status.members.find(({ id }) => id === status.id)?.tokens ?? 0);
    partitions.set({ state: "owned" }, status.partitions.owned);
    partitions.set({ state: "filling" }, status.partitions.filling);
    partitions.set({ state: "handing-off" }, status.partitions.handingOff);
    transferShare.reset();
    transferBytes.reset();
    for (const [kind, { percent, bytes }] of Object.entries(status.transfers)) {
      transferShare.set({ kind }, percent / 100);
      transferBytes.set({ kind }, bytes);
    }
    keys.set(status.keys);
    tombstones.set(status.tombstones.waiting);
    hints.set(status.hints);
    oldestHint.set(status.oldestHintMs / 1_000);
    hintsFor.reset(); // hosts whose hints are gone
    hintBytes.reset();
    hintAge.reset();
    for (const { for: host, count, bytes, oldestMs } of status.hintsFor) {
      hintsFor.set({ host }, count);
      hintBytes.set({ host }, bytes);
      hintAge.set({ host }, oldestMs / 1_000);
    }
    const { partitionsAgreed, fullAgreementAgoMs } = status.antiEntropy;
    agreed.set(partitionsAgreed);
    agreementAge.set(fullAgreementAgoMs === null ? Number.NaN : fullAgreementAgoMs / 1_000);
    storageBytes.set(status.storage.bytes);
    if (status.storage.freeBytes !== undefined) freeBytes.set(status.storage.freeBytes);
    storageOk.set(Number(status.storage.state === "ok"));
    corrupt.set(status.storage.corruptRecords);
    uptime.set(status.uptimeMs / 1_000);
  };
}
