/**
 * Messages with which an edge asks hosts: it is no member, so it neither meets views nor is told the cluster's secrets.
 *
 * Retired numbers (the list behind a message's fields) are refused. Contexts were text under 2, 4 or 6, then bytes under the
 * same; under 9 was what stays of a state, then what is gone. Without these an older release would take a state for one that
 * was never written, or a write for one that has seen nothing; so what it requires has moved as well, where nothing else does:
 * it refuses what is sent to it now.
 */
import {
  bool,
  bytes,
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
import { dot, liveValue } from "../causality/encoding.ts";
import { omittedMax } from "../causality/lean-state.ts";
import { foldsMax } from "../limits.ts";
import { RosterComparison, RosterSummary } from "../membership/comparison.ts";
import { RosterMessage } from "../membership/exchange.ts";
import { edgeContextsMax, Hinted, keyText, nodeText, sealedContext, stateBytesMax, View } from "./common-messages.ts";

/** Of one key, not covered by a context yet: an application that writes that often before hosts answer has seen its limit of siblings. */
export const edgeOwnEventsMax = 4_096;

/** Of what an edge watches, so much begins or ends in one request. */
export const filtersPerRequestMax = 10_000;
/** So much an edge watches at one time: it is to leave a host room for other edges. */
export const filtersPerEdgeMax = 2_000;

/** A node that is no member asks for membership, without what members alone need; twice: digest first, then what differs. */
export const MembershipRequest = message("MembershipRequest", {
  cluster: field(1, text(128)),
  digest: field(2, fixedBytes(16)),
  compare: optional(3, RosterComparison),
});
export const MembershipResponse = message("MembershipResponse", {
  same: field(1, bool),
  summary: optional(2, RosterSummary),
  part: optional(3, RosterMessage),
  /** The asked's grace period: how long a write may be repeated hangs on it (PROTOCOL 7). */
  graceMs: field(4, varint),
  /** What R is where a read does not say it; absent: the asked does not tell. */
  r: optional(6, text(16)),
  /** How long a message may be on its way at the asked's: after that a clock may be cut of what it has seen; absent: as above. */
  inFlightMs: optional(7, varint),
});

/** An edge measures what its clock is off: asked and answered at once, for the trip is part of the figure. */
export const TimeRequest = message("TimeRequest", {});
export const TimeResponse = message("TimeResponse", {
  /** The asked's wall clock, ms since 1970. */
  wallMs: field(1, varint),
});

/** Of a state that is told in part (`coordinate/told-states.ts`). */
const toldParts = {
  omitted: repeated(8, varint, omittedMax),
  /** Absent: the state that the asker has says nothing of this one. */
  rest: optional(11, message("ToldRest", { gone: repeated(1, varint, omittedMax) })),
};

/** What an edge needs for its copy of a key: the state, and a context that covers it. */
export const EdgeReadRequest = message("EdgeReadRequest", {
  key: field(1, keyText),
  r: optional(2, text(16)),
  timeoutMs: optional(3, varint),
  /** Digest of the state that the edge had of hosts: an equal one is not sent. */
  have: optional(4, fixedBytes(16)),
});
export const EdgeReadResponse = message(
  "EdgeReadResponse",
  {
    state: optional(1, bytes(stateBytesMax)),
    /** Absent: the key was never written. */
    context: optional(12, sealedContext),
    degraded: field(3, bool),
    /** Fingerprint of the answering host's ring: the edge's view may be stale. */
    ring: field(13, hex(8)),
    /** Hosts whose copies are in it, by their places among those of this ring. */
    answeredAt: repeated(5, varint, 64),
    ...toldParts,
  },
  [2, 4, 9],
);

/** The asked's own copy of a key, for an edge that asks R owners itself (`edge/owners-read.ts`). */
export const EdgeFetchRequest = message("EdgeFetchRequest", {
  key: field(1, keyText),
  /** As in `FetchRequest`. */
  have: optional(2, fixedBytes(16)),
  inlineBytesMax: optional(3, varint),
});
export const EdgeFetchResponse = message(
  "EdgeFetchResponse",
  {
    /** It owns the partition and is complete there, and by its view so is every other owner. Else a host has to coordinate. */
    counts: field(1, bool),
    digest: field(2, fixedBytes(16)),
    state: optional(3, bytes(stateBytesMax)),
    /** Covers this copy. Absent: nothing was ever written here. */
    context: optional(12, sealedContext),
    ring: field(13, hex(8)),
  },
  [4, 5],
);

/** An event of the writer's own: of an actor that derives from its node id and a nonce, or from a write id. */
export const OwnEvent = message("OwnEvent", {
  nonce: optional(1, hex(8)),
  writeId: optional(2, hex(8)),
  counter: field(3, varint),
});
export type OwnEvent = Infer<typeof OwnEvent>;

/** A write that an edge has minted (`coordinate/edge-writes.ts`). */
export const EdgeWriteRequest = message(
  "EdgeWriteRequest",
  {
    key: field(1, keyText),
    /** What proves that the value's dot is the edge's own; its counter is that of the dot. */
    event: field(18, OwnEvent),
    value: field(3, liveValue),
    /** What the write has seen: sealed contexts of hosts, and events of the edge's own. */
    contexts: repeated(17, sealedContext, edgeContextsMax),
    own: repeated(5, OwnEvent, edgeOwnEventsMax),
    w: optional(6, text(16)),
    pw: optional(7, text(16)),
    timeoutMs: optional(8, varint),
    have: optional(9, fixedBytes(16)),
    /** Sent before, too long ago: the event may have been forgotten since, so it counts only where hosts still cover it. */
    onlyCovered: optional(10, bool),
    /** Set by the host that forwards, with the edge that it had it from. */
    forwarded: optional(11, View),
    edge: optional(12, nodeText),
    /** Sent before, so long ago that a clock may have been cut since: where it may have been, as `onlyCovered`. */
    again: optional(13, bool),
    /** Of a document's update: others that are contained in it, and the event of its actor on the key that it follows. */
    folds: repeated(14, dot, foldsMax),
    previous: optional(15, varint),
    /** Fingerprint of the ring that the edge knows. */
    ring: optional(16, hex(8)),
  },
  [2, 4],
);
export const EdgeWriteResponse = message(
  "EdgeWriteResponse",
  {
    /** Ids; or, of who knows this ring, their places among its hosts. */
    durable: repeated(1, nodeText, 64),
    durableAt: repeated(10, varint, 64),
    hinted: repeated(2, Hinted, 64),
    needed: field(3, varint),
    got: field(4, varint),
    state: optional(5, bytes(stateBytesMax)),
    /** Covers the state. */
    context: field(12, sealedContext),
    /** Absent: the one that the edge has named. */
    ring: optional(7, hex(8)),
    ...toldParts,
  },
  [6, 9],
);

/** A page of a bucket's keys, as the answering host finds them at all hosts. */
export const EdgeListRequest = message("EdgeListRequest", {
  bucket: field(1, keyText),
  prefix: field(2, text(1_024)),
  after: optional(3, keyText),
  limit: optional(4, varint),
  timeoutMs: optional(5, varint),
});
export const EdgeListResponse = message("EdgeListResponse", {
  keys: repeated(1, keyText, 100_000),
  next: optional(2, keyText),
  ring: field(3, hex(8)),
});

const WatchedNews = message(
  "WatchedNews",
  {
    /** Of its key among `keys`. */
    place: field(1, varint),
    base: field(2, fixedBytes(16)),
    state: optional(5, bytes(stateBytesMax)),
    /** Covers the state. */
    context: field(12, sealedContext),
    ...toldParts,
  },
  [6, 9],
);
export type WatchedNews = Infer<typeof WatchedNews>;

/** Waits for changes on behalf of an edge (`coordinate/edge-watches.ts`): a session lasts as long as it is asked for. */
export const EdgeWatchRequest = message("EdgeWatchRequest", {
  session: field(1, hex(8)),
  /** The first request of a session; where it is not, and the host knows no such session, it says so. */
  begins: field(2, bool),
  /** What is watched from now on, and what no more. */
  add: repeated(3, message("WatchFilter", { prefix: field(1, keyText), exact: field(2, bool) }), filtersPerRequestMax),
  drop: repeated(
    4,
    message("DroppedFilter", { prefix: field(1, keyText), exact: field(2, bool) }),
    filtersPerRequestMax,
  ),
  waitMs: field(5, varint),
});
export const EdgeWatchResponse = message("EdgeWatchResponse", {
  /** Read these anew. Whatever is watched from now on is among them once. */
  keys: repeated(1, keyText, 100_000),
  /** Absent: as the session was told last. */
  ring: optional(2, hex(8)),
  /** For each key the digest of its state, of documents of a complete owner: who has that need not read. Else nothing. */
  digests: repeated(3, bytes(16), 100_000),
  /** Of some of these documents what is new in it: who has the state of the digest `base` need not read either. */
  news: repeated(4, WatchedNews, 100_000),
});
