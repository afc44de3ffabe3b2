/**
 * Numbers of an edge, each with its unit and reason.
 */
import { nodeDefaults, type NodeConfig } from "../config.ts";

/** Those of a host that apply to an edge, and its own. */
export interface EdgeConfig extends Pick<
  NodeConfig,
  | "valueBytesMax"
  | "contentTypeBytesMax"
  | "clockEntriesMax"
  | "siblingsMax"
  | "clockDriftMaxMs"
  | "requestTimeoutMs"
  | "requestTimeoutMaxMs"
  | "replicaTimeoutMs"
  | "speculativeDelayMinMs"
  | "readRepairShare"
  | "inlineValueBytesMax"
  | "suspectAfterMs"
> {
  /** Of the copies of hosts' states on the disk. */
  readonly copyBytesMax: number;
  /** Of the copies that are kept decoded. */
  readonly cacheBytesMax: number;
  readonly outboxBytesMax: number;
  readonly refreshIntervalMs: number;
  readonly hostsMax: number;
  readonly deliveriesMax: number;
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
}

export const edgeDefaults: EdgeConfig = {
  valueBytesMax: nodeDefaults.valueBytesMax,
  contentTypeBytesMax: nodeDefaults.contentTypeBytesMax,
  clockEntriesMax: nodeDefaults.clockEntriesMax,
  siblingsMax: nodeDefaults.siblingsMax,
  clockDriftMaxMs: nodeDefaults.clockDriftMaxMs,
  requestTimeoutMs: nodeDefaults.requestTimeoutMs,
  requestTimeoutMaxMs: nodeDefaults.requestTimeoutMaxMs,
  replicaTimeoutMs: nodeDefaults.replicaTimeoutMs,
  speculativeDelayMinMs: nodeDefaults.speculativeDelayMinMs,
  readRepairShare: nodeDefaults.readRepairShare,
  inlineValueBytesMax: nodeDefaults.inlineValueBytesMax,
  suspectAfterMs: nodeDefaults.suspectAfterMs,
  copyBytesMax: 67_108_864, // browsers grant an origin far more, but evict one that takes much
  cacheBytesMax: 16_777_216,
  outboxBytesMax: 67_108_864, // unsent writes are kept in memory too, so that one scan at the start finds them all
  refreshIntervalMs: 10_000, // PROTOCOL 6
  hostsMax: 16, // connections; of a larger ring an edge knows some hosts directly, and these forward
  deliveriesMax: 32, // keys under way at once: a host's group commit is full with fewer
  retryFirstMs: 200,
  retryMaxMs: 30_000,
};
