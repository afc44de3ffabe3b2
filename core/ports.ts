/**
 * The outside world on one page. The core awaits nothing but these, so it runs unchanged
 * on Node, in a browser and in the simulator.
 */
import type { NodeId } from "./identity.ts";
import type { Hash64 } from "./merkle/hash.ts";

/** Takes back a subscription or a timer. Calling it twice is harmless. */
export type Stop = () => void;

/** The part of `AbortSignal` that the core uses; a real one satisfies it. */
export interface CancelSignal {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** Time, and waking at a time. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number;
  /** Milliseconds since 1970 as the machine believes; may jump either way. */
  wallTime(): number;
  /** Calls `run` once after `ms`, unless stopped before. */
  after(ms: number, run: () => void): Stop;
}

/** Chance. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Unpredictable bytes: actors and secrets are made of them. */
  bytes(count: number): Uint8Array;
}

/** Rows of one kind. A namespace is one letter on disk; see each owner for what its rows hold. */
export type Namespace = "objects" | "hints" | "meta" | "merkle";

/** One change of one row. */
export type StorageOperation =
  | { readonly kind: "put"; readonly ns: Namespace; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly kind: "delete"; readonly ns: Namespace; readonly key: Uint8Array };

/**
 * Where the storage keeps room free, a full disk still takes batches of these alone out of it: deletes of rows, which make room (a key's
 * delete is a put), and puts to `meta`. Without them its host could hear of no new member, hand no partition over, and not leave.
 * Rows of `meta` must therefore be few and small, or go in one batch with a put elsewhere.
 */
export function isEssential({ kind, ns }: StorageOperation): boolean {
  return kind === "delete" || ns === "meta";
}

/** Byte-wise ordered range: `gte` inclusive, `lt` exclusive. */
export interface KeyRange {
  readonly gte?: Uint8Array;
  readonly lt?: Uint8Array;
}

/** Which rows, and how many. */
export interface PageRequest extends KeyRange {
  readonly reverse?: boolean;
  /** Rows at most. */
  readonly limit: number;
  /** Stop after the row that reaches this many bytes of keys and values; at least one row is returned. */
  readonly maxBytes?: number;
  /** Values come back empty. */
  readonly keysOnly?: boolean;
}

/** A key and its value, as stored. */
export interface Row {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** Some rows in order, and where to go on. */
export interface Page {
  readonly rows: readonly Row[];
  /** Ask again with this as `gte` (or as `lt` when reverse); null at the end. */
  readonly next: Uint8Array | null;
  /** Rows of this stretch could not be read, not even their keys: the page lacks them, and the scan may go on. */
  readonly damaged?: boolean;
}

/** A row of `objects` as the Merkle trees need it. */
export interface HashedRow {
  readonly key: Uint8Array;
  /** Undefined: the row is damaged. */
  readonly hash: Hash64 | undefined;
}

/** As `Page`. */
export interface HashedPage {
  readonly rows: readonly HashedRow[];
  readonly next: Uint8Array | null;
  readonly damaged: boolean;
}

/** Threads beside this one that read pages of `objects` and hash them as `hashedPage` does. */
export interface HashThreads {
  /** Pages that they are to be asked for at once, so that none of them waits. */
  readonly lanes: number;
  /** Undefined: they could not, so the caller reads the page itself. Never rejects. */
  page(request: PageRequest): Promise<HashedPage | undefined>;
  /** Resolves when they are gone. Calling it twice is harmless. */
  end(): Promise<void>;
}

/** `synced`: resolves after the bytes are on the disk. `buffered`: after the engine has them (paper 6.1). */
export type Durability = "synced" | "buffered";

/**
 * An ordered key-value store, of one process at a time. Must:
 * - apply a batch wholly or not at all, also across a crash, in the order of the calls;
 * - resolve `batch` only when the batch is as durable as asked;
 * - order keys byte by byte, shorter first;
 * - reject with `StorageError`, and never resolve a write that failed;
 * - promise no snapshot across pages.
 * Proved by `test/conformance/storage.ts`.
 */
export interface Storage {
  get(ns: Namespace, key: Uint8Array): Promise<Uint8Array | undefined>;
  getMany(ns: Namespace, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  batch(operations: readonly StorageOperation[], durability: Durability): Promise<void>;
  page(ns: Namespace, request: PageRequest): Promise<Page>;
  /** Deletes a range in restartable steps; not atomic. */
  clear(ns: Namespace, range: KeyRange): Promise<void>;
  /** Approximate bytes used; `freeBytes` where the platform tells. */
  usage(): Promise<{ readonly bytes: number; readonly freeBytes?: number }>;
  close(): Promise<void>;
  /** Where the platform has threads. Undefined: not now, or not for so little data. Never rejects. */
  hashThreads?(): Promise<HashThreads | undefined>;
}

/** What a storage error means for its caller. */
export type StorageErrorKind = "locked" | "full" | "corrupt" | "closed" | "io" | "version";

/** What a storage rejects with. */
export class StorageError extends Error {
  override readonly name = "StorageError";
  readonly kind: StorageErrorKind;
  /** The batch was refused before the first byte of it. */
  readonly nothingWritten: boolean;

  constructor(kind: StorageErrorKind, message: string, options?: { cause?: unknown; nothingWritten?: boolean }) {
    super(message, options);
    this.kind = kind;
    this.nothingWritten = options?.nothingWritten === true;
  }
}

/**
 * Why a request has no answer. `not-sent`: the peer certainly did not see it, so trying another is safe.
 * `lost`: the connection died or the answer did not come in time, so the peer may have acted on it.
 */
export class TransportError extends Error {
  override readonly name = "TransportError";
  readonly kind: "not-sent" | "lost";

  constructor(kind: "not-sent" | "lost", message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** What a transport knows of one peer. */
export interface PeerState {
  readonly id: NodeId;
  /** A request would be sent at once. */
  readonly connected: boolean;
  /** `clock.now()` when the last frame of it arrived; undefined before the first. */
  readonly lastHeardMs?: number;
  /** `clock.now()` when the oldest request without an answer was sent; undefined when none waits. */
  readonly waitingSinceMs?: number;
  /** Smoothed and 95th-percentile round trip of recent requests, ms; undefined before the first answer. */
  readonly rttMs?: number;
  readonly rttP95Ms?: number;
  /** Addresses of the live connections, for `explainPeer`. */
  readonly addresses: readonly string[];
}

/** Answers one request. `deadlineMs` is in this node's `clock.now()`: work not begun by then is dropped. */
export type RequestHandler = (from: NodeId, body: Uint8Array, deadlineMs: number) => Promise<Uint8Array>;

/**
 * Requests to authenticated peers. Must:
 * - name the peer truly: `from` in a handler and `to` in a request are authenticated identities;
 * - reject with `TransportError` and tell `not-sent` from `lost` honestly;
 * - bound every queue: above the bound a request rejects as `not-sent`, and a peer that sends too much is slowed down;
 * - keep the peers of `keep` connected by itself, redialling with backoff;
 * - hand a request to `self` to the own handler.
 * Proved by `test/conformance/transport.ts`.
 */
export interface Transport {
  readonly self: NodeId;
  request(to: NodeId, body: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /** To the handler of the peer, whose answer goes nowhere. May be lost; one that would have to wait long is. */
  tell(to: NodeId, body: Uint8Array): void;
  serve(handler: RequestHandler): Stop;
  /** Dials an address that may lack the peer's id (a seed); resolves with who answered. */
  meet(address: string): Promise<NodeId>;
  /** The peers to stay connected with, and where they listen; replaces the former set. */
  keep(peers: ReadonlyMap<NodeId, readonly string[]>): void;
  peers(): Iterable<PeerState>;
  /** Tells each change of `connected`. */
  onPeerChange(listener: (id: NodeId, connected: boolean) => void): Stop;
}

/** Longest body that is told rather than asked, bytes: it is one frame. */
export const toldBytesMax = 32_768;

/** Longest body of gossip: membership of thousands of tokens; what is longer goes by other ways, bytes. */
export const gossipBytesMax = 131_072;

/** Whether a body that was heard is sound: one that is not is passed on to nobody. */
export type Hear = (from: NodeId, body: Uint8Array) => Promise<boolean>;

/**
 * Tells all hosts of the cluster something small, fast. May lose, repeat and reorder, so nothing may depend on it.
 * `from` is who published the body, authenticated, whoever passed it on.
 */
export interface Gossip {
  publish(body: Uint8Array): Promise<void>;
  subscribe(hear: Hear): Stop;
}

/** Keys of nodes. Signatures of equal bytes by one key are equal. */
export interface Identity {
  /** With the key of this node. */
  sign(input: Uint8Array): Promise<Uint8Array>;
  /** False also for an id that holds no key. Never rejects. */
  verify(who: NodeId, input: Uint8Array, signature: Uint8Array): Promise<boolean>;
}
