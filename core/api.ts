/**
 * What a node offers: byte-level requests and answers, the same for HTTP, for the native protocol and for the library.
 * Everything that can fail rejects with `StoreError`.
 */
import type { QuorumSpec } from "./config.ts";
import type { CancelSignal } from "./ports.ts";
import type { NodeId } from "./identity.ts";
import type { MemberKind, MemberStatus } from "./membership/member.ts";
import type { RingChange } from "./membership/roster.ts";

/**
 * How versions of a value become one: `opaque` ones stay siblings, `lww` ones fold by time; `yjs` ones are updates of one
 * Yjs document, which is all of them together.
 */
export type ValueKind = "opaque" | "lww" | "yjs";

/** One of the values that are live at once. `body` must not be changed. */
export interface Sibling {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly kind: ValueKind;
  /** When it was written, by the clock of the node that accepted it; ms since 1970. */
  readonly timeMs: number;
  /** The event's name: `actor:counter`. One dot names one value for ever. */
  readonly dot: string;
  readonly expiresAtMs?: number;
}

/** `siblings` empty: absent, and enough complete holders agree. Not knowing is `quorum-not-met`, never `absent`. */
export interface ReadAnswer {
  readonly siblings: readonly Sibling[];
  /** A delete is concurrent with the siblings. */
  readonly deleted: boolean;
  /** Too few owners or complete holders answered: the values are real, but newer ones may exist. */
  readonly degraded: boolean;
  /** Opaque; give it back with the next put or delete. Null when the key was never written. */
  readonly context: string | null;
  /** Hosts whose copies are in it, owners and stand-ins. Absent where it is of one node's own copy, or nobody tells. */
  readonly answered?: readonly NodeId[];
}

/** What one replica holds of a key. `hint`: only on behalf of another; `none`: it is neither owner nor stand-in. */
export type HoldingState = "complete" | "filling" | "hint" | "none";

/** What this replica alone would answer. */
export interface LocalAnswer extends ReadAnswer {
  readonly holding: HoldingState;
}

/** `r`: replicas that must answer; the cluster's default where not given. */
export interface GetOptions {
  readonly r?: QuorumSpec;
  readonly timeoutMs?: number;
  readonly signal?: CancelSignal;
}

interface WriteOptions {
  readonly context?: string;
  readonly w?: QuorumSpec;
  /** How many of the acks must come from owners rather than fallbacks. */
  readonly pw?: QuorumSpec;
  readonly timeoutMs?: number;
  /** 16 hex digits chosen by the client: a repeat under the same id is the same event. */
  readonly writeId?: string;
  /**
   * It was asked for before under its write id: where that cannot be used (`Receipt.writeIdIgnored`) it is refused with
   * `outcome-unknown`, rather than become a second event.
   */
  readonly again?: boolean;
  /** Also return what is live now. */
  readonly returnSiblings?: boolean;
  readonly signal?: CancelSignal;
  /** `opaque` where not given; a write on lww values is lww whatever it says. */
  readonly kind?: ValueKind;
}

/** What a put may ask for beside its value. Without `context` it can only add a sibling. */
export interface PutOptions extends WriteOptions {
  readonly contentType?: string;
  /** Refuse (`precondition-failed`) when a quorum read finds a value. Best effort: two racing puts may both succeed. */
  readonly ifAbsent?: boolean;
  /** Refuse (`precondition-failed`) unless a quorum read's context covers exactly this. Best effort, as above. */
  readonly ifContext?: string;
  /**
   * Of kind `yjs`: updates, by their dots, that are contained in this one and go with it. It drops no other update, also none
   * that its context covers.
   */
  readonly folds?: readonly string[];
  /** The value reads as deleted this long after the write. */
  readonly ttlMs?: number;
  /** Writes what `context` has seen anew, to live on: of kind lww it loses to every write that has not been seen. */
  readonly renews?: boolean;
}

/** A delete is a write: of a tombstone. */
export type DeleteOptions = WriteOptions;

/** Where a write is. */
export interface Receipt {
  /** Hosts that hold it durably: owners and stand-ins. */
  readonly durable: readonly NodeId[];
  /** Stand-ins and whom they stand for. */
  readonly hinted: readonly { readonly for: NodeId; readonly at: NodeId }[];
  readonly needed: number;
  readonly got: number;
  /** True only on an edge that is offline. */
  readonly localOnly: boolean;
  /** The write id could not be used (lww value, or a clock above its limit): a repeat would be a second event. */
  readonly writeIdIgnored?: boolean;
}

/** A write that met its quorum. */
export interface WriteAnswer {
  /** The name of the event that it became, as in `Sibling`. */
  readonly dot: string;
  /** Null when other values are live beside this one and were not returned: read before writing again. */
  readonly context: string | null;
  readonly receipt: Receipt;
  readonly siblings?: readonly Sibling[];
}

/** Which page of a bucket's keys. */
export interface ListOptions {
  readonly prefix?: string;
  readonly limit?: number;
  /** The `next` of the page before. */
  readonly after?: string;
  readonly timeoutMs?: number;
  readonly signal?: CancelSignal;
}

/** Names (without the bucket) by ring position; not all as long as there is a `next`, however few there are. */
export interface ListAnswer {
  readonly keys: readonly string[];
  readonly next: string | null;
}

/**
 * One key, or all under a prefix. `shown`: names that an earlier watch has shown with values; if they have none any more, that
 * is told first, so that a watch which is begun again misses no delete.
 */
export type Watched = { readonly name: string } | { readonly prefix: string; readonly shown?: Iterable<string> };

/** The state of one key at the time of the event. */
export interface WatchEvent extends ReadAnswer {
  readonly bucket: string;
  readonly name: string;
}

/** A member as this node sees it. */
export interface MemberView {
  readonly id: NodeId;
  readonly status: MemberStatus;
  readonly kind: MemberKind;
  /** Of a browser host on the ring: how long it may be silent, and how much of that is left by what this node heard, ms. */
  readonly lease?: { readonly ms: number; readonly leftMs: number };
  /** This node can send requests to it now. */
  readonly alive: boolean;
  readonly zone: string;
  readonly deviceGroup: string;
  readonly capacity: number;
  readonly tokens: number;
  readonly life: number;
  readonly incarnation: number;
  readonly addresses: readonly string[];
  readonly http: string;
}

/** What is kept here for one host that was away. */
export interface HintsView {
  readonly for: NodeId;
  readonly count: number;
  readonly bytes: number;
  /** Since when it misses something. */
  readonly oldestMs: number;
}

/** Rounds of anti-entropy that this node began since its start, and how equal its partitions are to those of their other owners. */
export interface AntiEntropyView {
  readonly rounds: number;
  /** Rounds that a peer did not answer to the end, or refused. */
  readonly failed: number;
  readonly keysPushed: number;
  readonly keysPulled: number;
  /** Of requests and answers, both ways. */
  readonly bytes: number;
  readonly lastRound?: {
    readonly peer: NodeId;
    readonly agoMs: number;
    /** `repaired`: it found differences and mended them; `cut`: there is more to mend than one round may. */
    readonly outcome: "equal" | "repaired" | "cut" | "failed";
  };
  /** Owned partitions of which all other owners have agreed with this node since its start. */
  readonly partitionsAgreed: number;
  /** Age of the oldest last full agreement of the owned partitions; null: some have none since the start. */
  readonly fullAgreementAgoMs: number | null;
}

/** How far a transfer of partitions is. */
export interface TransferProgress {
  readonly percent: number;
  /** Moved since it began. */
  readonly keys: number;
  readonly bytes: number;
  /** An estimate; null before there is anything to tell it from. */
  readonly leftMs: number | null;
}

/** What a node tells of itself. */
export interface NodeStatus {
  readonly id: NodeId;
  readonly cluster: string;
  /** Serving, and in contact with the cluster it was told to join. */
  readonly ready: boolean;
  /** What it waits for while not ready, and warnings such as fewer hosts than N; for people. */
  readonly notices: readonly string[];
  readonly n: number;
  readonly r: QuorumSpec;
  readonly w: QuorumSpec;
  readonly members: readonly MemberView[];
  /** Fingerprint of the placement-relevant state: equal on all hosts when they agree. */
  readonly ring: string;
  /** Undelivered hints held here for others. */
  readonly hints: number;
  readonly oldestHintMs: number;
  readonly hintsFor: readonly HintsView[];
  readonly antiEntropy: AntiEntropyView;
  readonly partitions: {
    readonly owned: number;
    readonly filling: number;
    /** Held beyond ownership, until the owners confirm that they hold all of it. */
    readonly handingOff: number;
    /** As the members have published it: of those that this node reaches, and what each of the others is still to fill. */
    readonly everywhere: { readonly filling: number; readonly handingOff: number; readonly away: readonly AwayFill[] };
  };
  /** Transfers of this node that are under way. */
  readonly transfers: { readonly filling?: TransferProgress; readonly handingOff?: TransferProgress };
  /** Keys held here, tombstones included. */
  readonly keys: number;
  /** Deleted and expiring keys held here until every member may forget them, and what those led from here wait for. */
  readonly tombstones: { readonly waiting: number; readonly why: readonly string[] };
  readonly storage: {
    readonly state: "ok" | "full" | "failed";
    readonly bytes: number;
    readonly freeBytes?: number;
    /** Keys whose records were found damaged here, and are not mended yet. */
    readonly corruptRecords: number;
    /** Directories with damaged data that were set aside. */
    readonly setAside: readonly string[];
  };
  readonly uptimeMs: number;
}

/** A change of the ring that an operator asks for. `host`: a node id. */
export type RingRequest =
  | { readonly kind: "join" | "leave"; readonly host: string }
  /** `force`: although it answers. */
  | { readonly kind: "remove"; readonly host: string; readonly force?: boolean }
  | { readonly kind: "rebalance" };

/** A figure before and after a change. */
export interface BeforeAfter {
  readonly before: number;
  readonly after: number;
}

/** What a change of the ring moves. */
export interface PlanView {
  readonly change: "join" | "leave" | "remove" | "rebalance";
  /** Whom it is for; null for a rebalance. */
  readonly host: NodeId | null;
  /** Fingerprint of the ring that it was planned on. */
  readonly ring: string;
  readonly tokens: number;
  /** Tokens that cannot change hands yet: partitions of theirs are filling, or nobody to give them to is reachable. */
  readonly withheld: number;
  /** Partitions whose owners change, and copies to be made of them. */
  readonly partitionsChanged: number;
  readonly partitionsCopied: number;
  /** To be copied, estimated from what this node holds. */
  readonly keys: number;
  readonly bytes: number;
  /** mean / max per capacity, as in `RingView`. */
  readonly balance: { readonly tokens: BeforeAfter; readonly replicas: BeforeAfter };
  readonly hosts: readonly { readonly id: NodeId; readonly tokens: BeforeAfter; readonly replicas: BeforeAfter }[];
}

/** Who has which token, how even that is, and how it came about: the latest changes (500 at most), the newest last. */
export interface RingView {
  readonly fingerprint: string;
  readonly partitions: number;
  readonly n: number;
  /** Token -> host, by partition index; null: never assigned. */
  readonly tokens: readonly (NodeId | null)[];
  /** By partition: how long ago all other owners were last known to equal this node; null: not its own, or not since the start. */
  readonly agreedAgoMs: readonly (number | null)[];
  /** mean / max of tokens and of partitions owned, per capacity (paper 6.2). */
  readonly efficiency: { readonly primary: number; readonly replica: number };
  readonly changes: readonly RingChange[];
}

/** Where a key lives, and what is there. */
export interface Explanation {
  readonly key: string;
  /** MD5 of the key, 32 hex digits. */
  readonly position: string;
  readonly partition: number;
  /** How long ago all other owners were last known to equal this node in the partition; null: not its own, or not since the start. */
  readonly agreedAgoMs: number | null;
  /** Every live value that answered, and the hosts that hold it. */
  readonly siblings: readonly { readonly dot: string; readonly deleted: boolean; readonly at: readonly NodeId[] }[];
  /** The walk: owners first, then fallbacks, with what each holds of the key. */
  readonly preferenceList: readonly {
    readonly id: NodeId;
    readonly role: "owner" | "fallback";
    readonly alive: boolean;
    readonly zone: string;
    /** Absent when it did not answer. */
    readonly holding?: HoldingState;
    /** Dots of the values live there. */
    readonly dots?: readonly string[];
    readonly clock?: readonly { readonly actor: string; readonly counter: number; readonly timeMs: number }[];
    /** Its state equals the merge of all that answered. */
    readonly upToDate?: boolean;
    /** How long ago it was last known to equal this node in the partition. */
    readonly agreedAgoMs?: number;
  }[];
}

/** Why a peer is, or is not, used. */
export interface PeerExplanation {
  readonly id: NodeId;
  readonly member: boolean;
  readonly connected: boolean;
  readonly addresses: readonly string[];
  readonly rttMs?: number;
  readonly rttP95Ms?: number;
  readonly lastHeardAgoMs?: number;
  readonly lastExchangeAgoMs?: number;
  /** Its ring fingerprint at the last exchange, and whether it equals ours. */
  readonly ring?: string;
  readonly agrees?: boolean;
  /** In words: what, if anything, keeps it from being used. */
  readonly verdict: string;
}

/** A member that does not answer and owns partitions that it does not hold completely: it fills them when it is back. */
export interface AwayFill {
  readonly id: NodeId;
  readonly filling: number;
}

/** How far a repair is: of `total` partitions the records are `checked`; then one after the other is `done`. */
export interface RepairProgress {
  readonly checked: number;
  readonly done: number;
  readonly total: number;
  readonly keysPushed: number;
  readonly keysPulled: number;
  readonly bytes: number;
  readonly damagedFound: number;
  readonly damagedHealed: number;
  /** Files of the storage with wrong checksums: what they held is checked and mended row by row. */
  readonly damagedFiles: readonly string[];
  /** Partitions that could not be made equal with all other owners; `problems` says why. */
  readonly unequal: number;
  readonly problems: readonly string[];
  readonly ms: number;
  /** Null before the first partition. */
  readonly msLeft: number | null;
}

/** What to repair, and until when. */
export interface RepairOptions {
  /** Absent: all that the node owns. */
  readonly partition?: number;
  readonly signal: CancelSignal;
}

/** A running node. `bucket` and `name` are checked (`bad-request`); limits are in `config.ts`. */
export interface NodeApi {
  get(bucket: string, name: string, options?: GetOptions): Promise<ReadAnswer>;
  /** This replica only: no network, no repair. */
  getLocal(bucket: string, name: string): Promise<LocalAnswer>;
  put(bucket: string, name: string, body: Uint8Array, options?: PutOptions): Promise<WriteAnswer>;
  delete(bucket: string, name: string, options?: DeleteOptions): Promise<WriteAnswer>;
  list(bucket: string, options?: ListOptions): Promise<ListAnswer>;
  /** Makes the own partitions equal to those of their other owners, and mends damaged records; after each partition it tells how far it is. */
  repair(options: RepairOptions): AsyncIterable<RepairProgress>;
  /** The current state first, then each change; ends when `signal` aborts. */
  watch(bucket: string, what: Watched, signal: CancelSignal): AsyncIterable<WatchEvent>;
  status(): Promise<NodeStatus>;
  ring(): RingView;
  explain(bucket: string, name: string): Promise<Explanation>;
  explainPeer(id: string): PeerExplanation;
  /** What a change of the ring would move. */
  plan(request: RingRequest): Promise<PlanView>;
  /** Makes it, if the ring still is `ring`; `leave` only of this node. Copying begins then: see `status().transfers`. */
  changeRing(request: RingRequest, options?: { readonly ring?: string }): Promise<PlanView>;
}
