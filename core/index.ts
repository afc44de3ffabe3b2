/**
 * The public API of `everwrite`: a node over whatever ports it is given, and what it answers.
 */
export type {
  BeforeAfter,
  DeleteOptions,
  AntiEntropyView,
  Explanation,
  GetOptions,
  HintsView,
  HoldingState,
  ListAnswer,
  ListOptions,
  LocalAnswer,
  MemberView,
  NodeApi,
  NodeStatus,
  PeerExplanation,
  PlanView,
  PutOptions,
  ReadAnswer,
  Receipt,
  RepairOptions,
  RepairProgress,
  RingRequest,
  RingView,
  Sibling,
  TransferProgress,
  ValueKind,
  Watched,
  WatchEvent,
  WriteAnswer,
} from "./api.ts";
export type { RingChange } from "./membership/roster.ts";
export { type ClusterParameters, clusterDefaults, type NodeConfig, nodeDefaults, type QuorumSpec } from "./config.ts";
export type { EdgeConfig } from "./edge/config.ts";
export { EdgeNode, type EdgeOptions, type EdgePorts } from "./edge/edge-node.ts";
export type { DocumentLink, DocumentStatus } from "./documents/document-link.ts";
export type { LiveDocument } from "./documents/live-document.ts";
export { yjs } from "./documents/rule.ts";
export { StoreError, type StoreErrorCode, type StoreErrorDetail } from "./errors.ts";
export { foldsMax } from "./limits.ts";
export type { NodeId } from "./identity.ts";
export { repair } from "./background/repair.ts";
export { EverwriteNode } from "./node.ts";
export type { NodeOptions, NodePorts } from "./node-options.ts";
export {
  type CancelSignal,
  type Clock,
  type Durability,
  type KeyRange,
  type Namespace,
  type Page,
  type PageRequest,
  type PeerState,
  type Random,
  type RequestHandler,
  type Row,
  type Stop,
  type Storage,
  StorageError,
  type StorageErrorKind,
  type StorageOperation,
  type Transport,
  TransportError,
} from "./ports.ts";
export {
  Bucket,
  type BucketChange,
  type BucketDeleteOptions,
  type BucketEntry,
  type BucketOptions,
  type BucketPutOptions,
  type BucketReceipt,
  type EntriesOptions,
  type UpdateReceipt,
  type WatchOptions,
} from "./store/bucket.ts";
export { HostStoreNode } from "./store/host-node.ts";
export type { ConflictEvent, ErrorEvent, StoreEvents } from "./store/listeners.ts";
export type { BucketRead } from "./store/read.ts";
export { Conflicts } from "./store/conflicts.ts";
export { readyInTime } from "./store/ready-in-time.ts";
export { Store, type StoreStatus } from "./store/store.ts";
export { sessions } from "./store/sessions.ts";
export type { Snapshot } from "./store/subscriptions.ts";
export type { Change, UpdateOptions } from "./store/update.ts";
export { type AddWinsSet, addWinsSet } from "./values/add-wins-set.ts";
export { type Cart, cart } from "./values/cart.ts";
export { bytes, type Codec, json, text } from "./values/codecs.ts";
export { type Candidate, type ConflictRule, lww, merge, siblings } from "./values/conflict-rules.ts";
export { type Counter, counter } from "./values/counter.ts";
export { type Registers, registers } from "./values/registers.ts";
export type { StandardSchema, ValueIssue } from "./values/schema.ts";
export type {
  BrowserFacts,
  ChangeOrigin,
  LwwConflict,
  ImportResult,
  Inspection,
  ParkedWrite,
  ReadSource,
  StoreChange,
  StoreFacts,
  StoreGetOptions,
  StoreList,
  StoreNode,
  StoreRead,
  StoreWrite,
  WaitOptions,
  WriteLevel,
} from "./store-node.ts";
export { MemoryStorage } from "./storage/memory-storage.ts";
export type { StoreEvent, Telemetry } from "./telemetry.ts";
