/**
 * The log, derived from the node's events: one JSON object a line, or sentences for people.
 */
import { pino, type Logger } from "pino";
import pretty from "pino-pretty";
import type { StoreEvent, Telemetry } from "../core/telemetry.ts";
import type { LogOptions } from "./log-options.ts";

type Level = "debug" | "info" | "warn" | "error";

/** Writes to standard error: standard output says what runs where, and nothing else. */
export function createLog({ format, level }: LogOptions): Logger {
  const stderr = 2;
  if (format === "json") return pino({ level, base: null }, pino.destination({ dest: stderr, sync: false }));
  return pino(
    { level, base: null },
    pretty({ destination: stderr, hideObject: true, translateTime: "SYS:HH:MM:ss.l" }),
  );
}

export function logTelemetry(log: Logger): Telemetry {
  return {
    event(event) {
      const level = levelOf(event);
      if (!log.isLevelEnabled(level)) return;
      const { kind, ...fields } = event;
      log[level]({ event: kind, ...fields }, describe(event));
    },
  };
}

/** Requests are for the metrics: a line for each would cost more than the request. */
function levelOf(event: StoreEvent): Level {
  switch (event.kind) {
    case "request":
    case "read-repair":
    case "speculative-read":
    case "replica-failed":
    case "anti-entropy-failed":
    case "hint-stored":
    case "reap-refused":
      return "debug";
    case "reaped":
      return event.keys > 0 ? "info" : "debug";
    case "anti-entropy":
      return event.keysPushed + event.keysPulled > 0 ? "info" : "debug";
    case "peer-problem":
      return event.problem === "unreachable" ? "info" : "warn";
    case "conflict":
      return "debug"; // each write without a context discards the value before it
    case "clock-truncated":
      return event.forced > 0 ? "warn" : "debug";
    case "value-large":
    case "siblings-many":
    case "old-data":
    case "bad-record":
    case "bad-frame":
      return "warn";
    case "partition-lost":
    case "corrupt-record":
    case "task-failed":
      return "error";
    case "storage":
      return event.state === "ok" ? "info" : "error";
    case "ready":
    case "cluster-created":
    case "waiting":
    case "joined":
    case "member-changed":
    case "ring-changed":
    case "peer":
    case "filled":
    case "hints-relieved":
    case "hints-delivered":
    case "handed-off":
    case "ring-planned":
    case "left":
    case "trees-built":
      return "info";
    case "seed-silent":
      return "debug";
  }
}

/** One sentence of what happened; exported for the tests. */
export function describe(event: StoreEvent): string {
  switch (event.kind) {
    case "ready":
      return `ready as ${event.id}`;
    case "cluster-created":
      return `created the cluster "${event.cluster}"`;
    case "waiting":
      return `waiting for ${event.for}`;
    case "joined":
      return `joined with ${event.tokens} tokens`;
    case "member-changed":
      return `member ${event.id} is ${event.status}`;
    case "ring-changed":
      return `ring ${event.fingerprint} with ${event.members} members`;
    case "peer":
      return `peer ${event.id} ${event.state}`;
    case "filled":
      return `filled ${event.partitions} partitions, ${event.keys} keys, in ${Math.round(event.ms)} ms`;
    case "handed-off":
      return `handed off ${event.partitions} partitions, ${event.keys} keys pushed, in ${Math.round(event.ms)} ms`;
    case "ring-planned":
      return `${event.change} ${event.host}: ${event.tokens} tokens change hands`;
    case "left":
      return "left the cluster: everything is held by the others";
    case "seed-silent":
      return `the seed ${event.address} did not answer: ${event.reason}`;
    case "trees-built":
      return `built the trees of ${event.partitions} partitions, ${event.keys} keys in all, in ${Math.round(event.ms)} ms`;
    case "anti-entropy":
      return (
        `compared ${event.partitions} partitions with ${event.peer}, ${event.partitionsDifferent} differed: ` +
        `${event.keysPushed} keys pushed, ${event.keysPulled} pulled, ${event.bytes} bytes`
      );
    case "partition-lost":
      return `${event.partitions} partitions have no complete copy left: their owners go on with what they hold`;
    case "request":
      return `${event.verb} ${event.outcome} in ${event.ms.toFixed(1)} ms`;
    case "read-repair":
      return `repaired ${event.replicas} replicas after a read`;
    case "speculative-read":
      return "asked one more owner, as another was slow";
    case "peer-problem":
      return `${event.problem} peer ${event.id}: ${event.reason}`;
    case "anti-entropy-failed":
      return `anti-entropy with ${event.peer} failed: ${event.reason}`;
    case "replica-failed":
      return `${event.id} did not answer as a replica: ${event.reason}`;
    case "hints-delivered":
      return `delivered ${event.count} hints to ${event.to} in ${Math.round(event.ms)} ms`;
    case "hints-relieved":
      return `${event.count} hints for ${event.for} were over their bounds: the other owners have them`;
    case "hint-stored":
      return `${event.at} took a write for ${event.for}`;
    case "reaped":
      return `forgot ${event.keys} deleted keys of partition ${event.partition}`;
    case "reap-refused":
      return `no reap of partition ${event.partition} now: ${event.reason}`;
    case "value-large":
      return `${event.key} has a value of ${event.bytes} bytes`;
    case "siblings-many":
      return `${event.key} has ${event.siblings} siblings: does a writer never read?`;
    case "clock-truncated":
      return `the clock of ${event.key} lost ${event.dropped.length} entries, ${event.forced} of them by force`;
    case "conflict":
      return `${event.key}: a conflict rule discarded the value ${event.discardedDot}`;
    case "corrupt-record":
      return `damaged record: ${event.where}`;
    case "storage":
      return `storage is ${event.state}: ${event.reason}`;
    case "old-data":
      return event.reason;
    case "bad-record":
      return `refused a member record of ${event.about} that ${event.from} sent: ${event.reason}`;
    case "bad-frame":
      return `undecodable message of ${event.from}: ${event.reason}`;
    case "task-failed":
      return `${event.task} failed: ${event.reason}`;
  }
}
