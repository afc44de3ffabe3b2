/**
 * The messages among hosts, and of their clients: one definition is the reader, the writer and the type (bytes/codec.ts).
 * Fields are only ever added, with new numbers; a number is never used again for something else (mixed versions).
 * The README's chapter "On the wire" tells how a message becomes frames.
 */
import {
  bool,
  bytes,
  choice,
  field,
  fixedBytes,
  hex,
  type Infer,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../bytes/codec.ts";
import { RosterComparison, RosterSummary } from "../membership/comparison.ts";
import { omittedMax } from "../causality/lean-state.ts";
import { foldsMax } from "../limits.ts";
import { foundingBytes, foundingsMax } from "../membership/forgetting-marks.ts";
import { membersMax, RosterMessage } from "../membership/exchange.ts";
import { contextText, Hinted, keyText, nodeText, stateBytesMax, View } from "./common-messages.ts";

/** `held` states travel encoded (causality/encoding.ts), so that they are stored as they came. */
export const ReplicateRequest = message("ReplicateRequest", {
  view: field(1, View),
  key: field(2, keyText),
  state: field(3, bytes(stateBytesMax)),
  /** The owner that the receiver is to keep it for. */
  hintFor: optional(4, nodeText),
  /** A merge of enough complete copies: it also mends a record that was found damaged. */
  heals: optional(5, bool),
  /** From its coordinator, at once: the receiver may cut its clock as well (PROTOCOL 3, *Truncation*). */
  minted: optional(6, bool),
  /** With `hintFor`: W holds without this copy once all other owners have the state. */
  spare: optional(7, bool),
  /** Values of the state that come without their bodies, by place: the receiver is thought to have those. */
  omitted: optional(8, message("Omitted", { places: repeated(1, varint, omittedMax) })),
});
export const ReplicateResponse = message("ReplicateResponse", {
  role: field(1, choice({ complete: 0, filling: 1, hint: 2 })),
  /** Nothing was done: the receiver does not have what was left out. */
  lacks: optional(2, bool),
});

/** Hashes of 8 bytes under one node of the Merkle trees: a group of partitions, a partition, a leaf of whatever size. */
const hashesMax = 67_108_864;
const Section = message("Section", { index: field(1, varint), hashes: field(2, bytes(hashesMax)) });

export const FetchRequest = message("FetchRequest", {
  view: field(1, View),
  key: field(2, keyText),
  /** Digest of what the asker has: an equal state is not sent. */
  have: optional(3, fixedBytes(16)),
  /** Larger states are answered by their digest. Absent: send it whatever its size. */
  inlineBytesMax: optional(4, varint),
});
export const FetchResponse = message("FetchResponse", {
  role: field(1, choice({ complete: 0, filling: 1, hint: 2, none: 3 })),
  digest: field(2, fixedBytes(16)),
  state: optional(3, bytes(stateBytesMax)),
});

/** Pages of partitions in row order, for a host that fills them. Fields 2 and 3 were one partition. */
export const ScanRequest = message("ScanRequest", {
  view: field(1, View),
  bytesMax: field(4, varint),
  parts: repeated(
    5,
    message("ScanPart", {
      partition: field(1, varint),
      /** From this row on; absent: from the first. */
      after: optional(2, bytes(2_048)),
      /** Hashes of the asker's leaves: what is in equal ones is not sent. */
      leaves: optional(3, bytes(1_024)),
    }),
    1_024,
  ),
});
const ScanRow = message("ScanRow", { key: field(1, keyText), state: field(2, bytes(stateBytesMax)) });
/** Fields 1 to 3 were one partition. */
export const ScanResponse = message("ScanResponse", {
  /** As many of the parts asked for as fit, in their order. */
  parts: repeated(
    4,
    message("ScannedPart", {
      partition: field(1, varint),
      state: field(2, choice({ complete: 0, filling: 1, none: 2 })),
      rows: repeated(3, ScanRow, 100_000),
      /** Ask again from this row on; absent at the end. */
      next: optional(4, bytes(2_048)),
    }),
    1_024,
  ),
});

const KeyClock = message("KeyClock", { key: field(1, keyText), clock: field(2, bytes(stateBytesMax)) });

/** A former owner asks an owner whether it holds all of these partitions, so that it may drop them (PROTOCOL 9). */
export const HandOffRequest = message("HandOffRequest", {
  view: field(1, View),
  /** Those that are not answered are to be asked again. */
  partitions: repeated(
    2,
    message("HandOffSection", {
      index: field(1, varint),
      /** Of the asker's leaves. */
      hashes: field(2, bytes(hashesMax)),
      /** With `toDrop`: the asked has read the rows before this one already; absent: none. */
      readFrom: optional(3, bytes(2_048)),
    }),
    1_024,
  ),
  /** What is confirmed is dropped: the answer is of the disk as it is now, not of what was written to it. */
  toDrop: optional(3, bool),
});
export const HandOffResponse = message("HandOffResponse", {
  partitions: repeated(
    1,
    message("HandOffPartition", {
      partition: field(1, varint),
      /** `none`: it is no owner of it. `reading`: more of the disk than one answer's worth; ask again from `next` on. */
      state: field(2, choice({ complete: 0, filling: 1, none: 2, reading: 3 })),
      /** A bit for each leaf that is not equal. */
      differing: field(3, bytes(128)),
      next: optional(4, bytes(2_048)),
    }),
    1_024,
  ),
});
/** And then, of the leaves that differ, which keys it covers: its state adds to these clocks, or equals them. */
export const CoversRequest = message("CoversRequest", { view: field(1, View), keys: repeated(2, KeyClock, 10_000) });
export const CoversResponse = message("CoversResponse", {
  /** A bit for each key that it does not cover. */
  uncovered: field(1, bytes(2_048)),
});

/** An exchange of membership; see `cluster/exchange.ts` for its three trips, and `membership/comparison.ts`. */
export const ExchangeRequest = message("ExchangeRequest", {
  cluster: field(1, text(128)),
  digest: field(2, fixedBytes(16)),
  /** Third trip: what the asked lacks. */
  part: optional(4, RosterMessage),
  /** Second trip: what the asker has where the digests differ. */
  compare: optional(5, RosterComparison),
  view: optional(6, View),
  /** Second and third trip: the mark in the asked's first answer. */
  run: optional(7, hex(8)),
});
export const ExchangeResponse = message("ExchangeResponse", {
  same: field(1, bool),
  part: optional(3, RosterMessage),
  summary: optional(4, RosterSummary),
  /** Members of whom the asker has something, and the asked nothing. */
  lacking: repeated(5, nodeText, membersMax),
  view: optional(6, View),
});

/** Whether the asked has heard of a browser host in this life, and how long ago, by its own waking time. */
export const HeardRequest = message("HeardRequest", {
  view: field(1, View),
  id: field(2, text(128)),
  life: field(3, varint),
});
export const HeardResponse = message("HeardResponse", {
  /** Absent: not since it started. */
  silentMs: optional(1, varint),
});

/** Step 1 of a round of anti-entropy: are the partitions that both hold equal? */
export const CompareRequest = message("CompareRequest", { view: field(1, View), digest: field(2, fixedBytes(8)) });
export const CompareResponse = message("CompareResponse", {
  /** Of all groups of partitions; absent: the digests are equal. */
  groups: optional(1, bytes(65_536)),
});

/** Step 2: the asker's partitions, against the leaves of those that differ. */
export const CompareLeavesRequest = message("CompareLeavesRequest", {
  view: field(1, View),
  groups: repeated(2, Section, 1_024),
});
export const CompareLeavesResponse = message("CompareLeavesResponse", { partitions: repeated(1, Section, 65_536) });

/** Step 3: the asker's keys of leaves that differ, against the clocks of those that the other has otherwise. */
export const CompareKeysRequest = message("CompareKeysRequest", {
  view: field(1, View),
  leaves: repeated(2, Section, 1_024),
});
export const CompareKeysResponse = message("CompareKeysResponse", {
  keys: repeated(1, KeyClock, 100_000),
  /** Hashes of the asker's that the other has not, 8 bytes each. */
  lacking: field(2, bytes(hashesMax)),
});

/** Step 4: states for states. */
export const SwapRequest = message("SwapRequest", {
  view: field(1, View),
  push: repeated(2, ScanRow, 100_000),
  wanted: repeated(3, keyText, 100_000),
  bytesMax: field(4, varint),
});
export const SwapResponse = message("SwapResponse", {
  states: repeated(1, ScanRow, 100_000),
  /** How many of the wanted were looked at, in their order: at most as much as `bytesMax` is sent. */
  done: field(2, varint),
  /** How many of the pushed were taken in. */
  applied: field(3, varint),
});

/** Phase 1 of a reap: may these keys be forgotten, with these clocks? The view's ring tells the owners. Of no keys: the mark alone. */
export const PrepareReapRequest = message("PrepareReapRequest", {
  view: field(1, View),
  partition: field(2, varint),
  /** The partition's forgetting mark as the leader knows it, and the one that this reap would raise it to. */
  markBefore: field(3, varint),
  mark: field(4, varint),
  keys: repeated(5, message("ReapKey", { key: field(1, keyText), digest: field(2, fixedBytes(16)) }), 10_000),
  /** Of the ring that the mark is to name (`membership/forgetting-marks.ts`). */
  foundings: repeated(6, hex(foundingBytes), foundingsMax),
});
export const PrepareReapResponse = message("PrepareReapResponse", {
  /** For each key, in order: the number of a verdict (replica/remains.ts). Where no key was named, one. */
  verdicts: field(1, bytes(10_000)),
});

/** Phase 2: every member agreed on these. */
export const CommitReapRequest = message("CommitReapRequest", {
  view: field(1, View),
  partition: field(2, varint),
  mark: field(3, varint),
  /** Which of the keys that were prepared: a bit for each, in order. */
  chosen: field(4, bytes(1_250)),
});
export const CommitReapResponse = message("CommitReapResponse", { forgotten: field(1, varint) });

const kind = choice({ opaque: 0, lww: 1, yjs: 2 }, "opaque");

const SiblingMessage = message("Sibling", {
  body: field(1, bytes(stateBytesMax)),
  contentType: field(2, text(1_024)),
  kind: field(3, kind),
  timeMs: field(4, varint),
  dot: field(5, text(64)),
  expiresAtMs: optional(6, varint),
});

/** A put or a delete as a client asks it, or as one host forwards it to an owner. */
export const WriteRequest = message("WriteRequest", {
  key: field(1, keyText),
  /** Absent: a delete. */
  body: optional(2, bytes(stateBytesMax)),
  contentType: optional(3, text(1_024)),
  kind: optional(4, kind),
  context: optional(5, contextText),
  w: optional(6, text(16)),
  pw: optional(7, text(16)),
  timeoutMs: optional(8, varint),
  writeId: optional(9, hex(8)),
  ifAbsent: optional(10, bool),
  ifContext: optional(11, contextText),
  ttlMs: optional(12, varint),
  returnSiblings: optional(13, bool),
  /** Set by the host that forwards: coordinate it yourself, a request is forwarded once. */
  forwarded: optional(14, View),
  renews: optional(15, bool),
  /** Of a document's update: dots of others that are contained in it. */
  folds: repeated(16, text(64), foldsMax),
  again: optional(17, bool),
});
export const WriteResponse = message("WriteResponse", {
  context: optional(1, contextText),
  durable: repeated(2, nodeText, 64),
  hinted: repeated(3, Hinted, 64),
  needed: field(4, varint),
  got: field(5, varint),
  writeIdIgnored: optional(6, bool),
  siblings: repeated(7, SiblingMessage, 10_000),
  /** Tells "not asked for" from "none". */
  siblingsReturned: optional(8, bool),
  dot: field(9, text(64)),
});
export type WriteResponse = Infer<typeof WriteResponse>;

export const ReadRequest = message("ReadRequest", {
  key: field(1, keyText),
  r: optional(2, text(16)),
  timeoutMs: optional(3, varint),
});
export const ReadResponse = message("ReadResponse", {
  siblings: repeated(1, SiblingMessage, 10_000),
  deleted: field(2, bool),
  degraded: field(3, bool),
  context: optional(4, contextText),
});

/** Live keys of a bucket that the answering host holds, in the order of their rows. */
export const ListRequest = message("ListRequest", {
  bucket: field(1, keyText),
  prefix: field(2, text(1_024)),
  after: optional(3, bytes(2_048)),
  limit: field(4, varint),
  view: field(5, View),
});
const ListedKey = message("ListedKey", {
  row: field(1, bytes(2_048)),
  live: field(2, bool),
  digest: field(3, fixedBytes(16)),
});
export const ListResponse = message("ListResponse", {
  keys: repeated(1, ListedKey, 100_000),
  /** Rows up to here were looked at; absent: all. */
  through: optional(2, bytes(2_048)),
  complete: field(3, bytes(8_192)),
});

const ChangeFilter = message("ChangeFilter", {
  prefix: field(1, keyText),
  /** `prefix` is one whole key. */
  exact: field(2, bool),
  /** Where the last answer ended; absent: only tell where the log ends now. */
  after: optional(3, message("ChangePosition", { epoch: field(1, hex(8)), sequence: field(2, varint) })),
});
/** What one host follows of another's changes. */
export const changeFiltersMax = 10_000;
/** Waits for changes that any of the filters lets through: all watchers of a host share one such request. */
export const ChangesRequest = message("ChangesRequest", {
  filters: repeated(1, ChangeFilter, changeFiltersMax),
  waitMs: field(2, varint),
  view: field(3, View),
});
const FilteredChanges = message("FilteredChanges", {
  keys: repeated(1, keyText, 100_000),
  /** Some changes are no longer known: read everything anew. */
  missed: field(2, bool),
});
export const ChangesResponse = message("ChangesResponse", {
  /** One for each filter, in order. */
  results: repeated(1, FilteredChanges, changeFiltersMax),
  epoch: field(2, hex(8)),
  sequence: field(3, varint),
});
