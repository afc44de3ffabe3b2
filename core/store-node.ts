/**
 * What a Store runs over: a node as an application uses it. A host on the ring and an edge both are one, so that
 * `core/store/` knows neither. Byte-level, as `NodeApi`; everything that can fail rejects with `StoreError`.
 */
import type {
  DeleteOptions,
  Explanation,
  GetOptions,
  ListAnswer,
  ListOptions,
  NodeStatus,
  PutOptions,
  ReadAnswer,
  RingView,
  Watched,
  WriteAnswer,
} from "./api.ts";
import type { QuorumSpec } from "./config.ts";
import type { StoreError } from "./errors.ts";
import type { NodeId } from "./identity.ts";
import type { CancelSignal, Stop } from "./ports.ts";

/** Where an answer comes from: enough replicas, or this node's own copy (which an edge falls back to when it is offline). */
export type ReadSource = "quorum" | "local";

/** `r: "local"`: this node's own copy, no network, no repair. */
export interface StoreGetOptions extends Omit<GetOptions, "r"> {
  readonly r?: QuorumSpec | "local";
}

/** What a node knows of a key, its own unsent writes included. */
export interface StoreRead extends ReadAnswer {
  readonly source: ReadSource;
  /** A write in it is this node's own, and its quorum of hosts has not acknowledged it yet. Always false on a host. */
  readonly pending: boolean;
}

/** Names as in `ListAnswer`; from the own copies alone when `source` is `local`. */
export interface StoreList extends ListAnswer {
  readonly source: ReadSource;
}

/** How long a call may take, and what ends it before. */
export interface WaitOptions {
  readonly signal?: CancelSignal;
  readonly timeoutMs?: number;
}

/**
 * How safe a write is. `local`: durable on this node (of a host: at the hosts that its receipt names); `quorum`, or a
 * number: so many hosts have it durably, stand-ins included; `all`: every owner has it.
 */
export type WriteLevel = "local" | "quorum" | "all" | number;

/** How a document is put. */
export interface StorePutOptions extends PutOptions {
  /** An edge answers as soon as the write is durable there, connected or not. A host answers as always. */
  readonly until?: "local";
}

/** An accepted write. On an edge that is offline `receipt.localOnly` is true and `receipt.durable` names the edge itself. */
export interface StoreWrite extends WriteAnswer {
  /**
   * Resolves with how many hosts are known to have it, once it is as safe as asked; a successor that has seen it counts for it.
   * @throws StoreError `aborted`; `quorum-not-met`: not within `timeoutMs` (without one it waits as long as it takes);
   *   `bad-request`: such a level can never be met; on an edge also that with which the hosts refused the write for good
   */
  until(level: WriteLevel, options?: WaitOptions): Promise<number>;
}

/** Who made a change: this node's application, or anybody else; `storage`: it was there when the watch began. */
export type ChangeOrigin = "local" | "remote" | "storage";

/** The state of one key now, and whose change it tells of. */
export interface StoreChange extends StoreRead {
  readonly bucket: string;
  readonly name: string;
  readonly origin: ChangeOrigin;
}

/** What is known of a node at a moment. Three separate facts: none follows from another. */
export interface StoreFacts {
  /** Its own storage is open: local reads and writes are answered. */
  readonly loaded: boolean;
  /** It is in contact with the cluster: quorum reads and writes are worth a try. */
  readonly connected: boolean;
  /** Nothing that was written here waits for hosts, and what is watched has been compared with them since it connected. */
  readonly settled: boolean;
  /** Writes accepted here that hosts have yet to acknowledge, without the parked ones. */
  readonly pending: number;
  /** Those of them that hosts were asked to take and could not, for they are too few, say; they are asked again. A host has none. */
  readonly delayed?: number;
  /** Since when the oldest of them waits, by this node's own clock, ms since 1970; null when there is none. */
  readonly pendingSinceMs: number | null;
  /** Writes that need the application: see `parked`. */
  readonly parked: number;
  /** It answers nothing any more: it was closed, or has ended by itself, for its data was deleted, say. */
  readonly ended?: boolean;
  /** Of a node in a browser. */
  readonly browser?: BrowserFacts;
}

/** What a node in a browser tells beside. */
export interface BrowserFacts {
  /**
   * How its data is kept. `persistent`: until the user deletes it; `evictable`: the browser may delete it when room is short
   * or the user stays away (Safari: seven days); `memory`: this browser keeps nothing, it is gone with the page. A private
   * window whose browser gives it IndexedDB without a word (Chromium) is `evictable`: it is gone with the window.
   */
  readonly storage: "persistent" | "evictable" | "memory";
  /** What keeps it from being all that it could be, in words. */
  readonly notices: readonly string[];
}

/** A write of this node that it sends no more: the hosts refused it, or what became of it cannot be known (PROTOCOL 7). */
export interface ParkedWrite {
  readonly bucket: string;
  readonly name: string;
  readonly dot: string;
  /** Undefined: it is a delete. */
  readonly body?: Uint8Array;
  readonly contentType: string;
  /** Why: the hosts' refusal, or `outcome-unknown`. */
  readonly error: StoreError;
}

/** What became of an import. Whatever is not in `failed` is done; the rest is, by importing again. */
export interface ImportResult {
  /** Keys whose states are merged. */
  readonly keys: number;
  /** Unsent writes of an edge that were taken over, or parked; see `StoreNode.import`. */
  readonly writes: number;
  /** Keys left out, for something of their partition has been deleted and forgotten since: they might bring it back. */
  readonly outdated: number;
  /** Keys that did not reach all their owners, and records that were damaged when they were exported. */
  readonly failed: number;
  /** Of the first that failed. */
  readonly reason?: string;
}

/** A value of kind lww that lost to one that was written without having seen it, as this node found out. */
export interface LwwConflict {
  readonly bucket: string;
  readonly name: string;
  readonly discardedDot: string;
  /** When it was written, ms since 1970. */
  readonly timeMs: number;
}

/** What a caller names a write, of which it may not hear: 16 hex digits. */
export interface RequestName {
  /**
   * The write happens once, however often it is asked for under this name, also of a later node on the same storage: while it
   * is among the thousand latest that were acknowledged. Unlike a write id it costs no entry in the key's clock.
   */
  readonly request?: string;
  /** It was asked of an earlier node, too. A host's repeats are one event only as far as write ids go, and else refused: see `PutOptions`. */
  readonly again?: boolean;
}

/** What a host knows of itself, of the ring, and of one key. */
export interface Inspection {
  readonly status: NodeStatus;
  readonly ring: RingView;
  readonly explanation: Explanation;
}

/** Part in what is said about a key, which is stored nowhere. */
export interface Channel {
  /** To the others who take part now; may be lost. @throws StoreError `value-too-large` above 16 KiB */
  send(message: Uint8Array): void;
  leave(): void;
}

/**
 * A call whose signal is aborted before it begins does nothing, and rejects with `aborted`, as does one that is aborted later:
 * of a write it is not known then whether it happened. `close` stops the node; what it holds stays, and so do unsent writes.
 */
export interface StoreNode {
  readonly id: NodeId;
  /** From a quorum where the cluster answers; an edge that is offline answers from its own copy, and says so. */
  get(bucket: string, name: string, options?: StoreGetOptions): Promise<StoreRead>;
  /** Resolves when W hosts have it; on an edge that is offline when it is durable here. */
  put(bucket: string, name: string, body: Uint8Array, options?: StorePutOptions): Promise<StoreWrite>;
  delete(bucket: string, name: string, options?: DeleteOptions): Promise<StoreWrite>;
  list(bucket: string, options?: ListOptions): Promise<StoreList>;
  /** The current state first, then each change, none missed; ends when `signal` aborts. */
  watch(bucket: string, what: Watched, signal: CancelSignal): AsyncIterable<StoreChange>;
  /**
   * Resolves when everything written before the call is acknowledged by its quorum, or parked.
   * @throws StoreError `aborted`; `quorum-not-met`: not within `timeoutMs` (without one it waits as long as it takes)
   */
  flush(options?: WaitOptions): Promise<void>;
  /** Takes part in the channel of a key: hears what the others say there from now on. A node need not have channels. */
  join?(bucket: string, name: string, hear: (message: Uint8Array) => void): Channel;
  /** An edge knows nothing of the kind: it has no such method, or answers undefined. */
  inspect?(bucket: string, name: string): Promise<Inspection | undefined>;
  facts(): StoreFacts;
  /** Calls back after each change of the facts. */
  onFacts(listener: () => void): Stop;
  /** Tells lww values that were discarded in copies held here. */
  onConflict(listener: (conflict: LwwConflict) => void): Stop;
  parked(): Promise<readonly ParkedWrite[]>;
  /** Forgets a parked write, after the application has kept what it needs of it (by a write of its own, say). */
  discard(write: Pick<ParkedWrite, "bucket" | "name" | "dot">): Promise<void>;
  /**
   * All that this node holds, siblings, clocks and unsent writes with it, as a stream of bytes for `import`
   * (`storage/export-stream.ts`). An edge holds the keys that it uses, a host those that it owns.
   */
  export(): AsyncIterable<Uint8Array>;
  /**
   * Merges an export into what is here: never loses anything, changes nothing the second time, and never brings back what was
   * deleted since. At an edge it makes copies, and takes over the unsent writes of the same node; those of another node are
   * parked. At a host it goes to the owners.
   * @throws StoreError `bad-request`: no export, of another cluster, damaged, or cut short; what came before that stays
   */
  import(source: AsyncIterable<Uint8Array>): Promise<ImportResult>;
  close(): Promise<void>;
}

/** A node behind several callers that outlive it: the tabs of a browser, of which one at a time runs the node. */
export interface SharedNode extends StoreNode {
  put(bucket: string, name: string, body: Uint8Array, options?: StorePutOptions & RequestName): Promise<StoreWrite>;
  delete(bucket: string, name: string, options?: DeleteOptions & RequestName): Promise<StoreWrite>;
  /**
   * `until` of a write that this node, or one before it on the same storage, has answered.
   * @throws StoreError as `until`; `outcome-unknown`: it is too long ago
   */
  until(write: AnsweredWrite, level: WriteLevel, options?: WaitOptions): Promise<number>;
}

/** A write as its asker knows it. */
export interface AnsweredWrite {
  readonly bucket: string;
  readonly name: string;
  /** Undefined: it is a delete. */
  readonly body?: Uint8Array;
  readonly request: string;
  readonly answer: WriteAnswer;
}
