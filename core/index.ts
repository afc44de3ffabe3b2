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
  WatchEvent,
  WriteAnswer,
} from "./api.ts";
export { type ClusterParameters, clusterDefaults, type NodeConfig, nodeDefaults, type QuorumSpec } from "./config.ts";
export { StoreError, type StoreErrorCode, type StoreErrorDetail } from "./errors.ts";
export type { NodeId } from "./identity.ts";
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
export type {
  ChangeOrigin,
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
