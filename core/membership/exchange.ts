/**
 * How two nodes find out what each other lacks, and the bytes in which it travels and is stored.
 * Digest first: agreeing nodes exchange 16 bytes a second. Else a summary, then only what differs (PROTOCOL 9).
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { checkPartitions } from "../placement/partition.ts";
import {
  bytes,
  choice,
  DecodeError,
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
import { toHex } from "../bytes/hex.ts";
import type { NodeId } from "../identity.ts";
import type { Assignment } from "../placement/assignment.ts";
import { decodeAssignment, encodeAssignment } from "./assignment-encoding.ts";
import { emptyRoster, type HoldingsRecord, mergeRoster, type Roster, type RosterPart } from "./roster.ts";

const membersMax = 10_000;
/** A host that starts every second for 30,000 years. Above it a number could not be raised any more. */
const versionMax = 2 ** 40;

const Cluster = message("Cluster", {
  name: field(1, text(128)),
  partitions: field(2, varint),
  n: field(3, varint),
  admission: field(4, choice({ open: 0 })),
});

const Member = message("Member", {
  id: field(1, text(128)),
  life: field(2, varint),
  incarnation: field(3, varint),
  status: field(4, choice({ up: 0, leaving: 1, left: 2, removed: 3, lapsed: 4 })),
  kind: field(5, choice({ host: 0, "browser-host": 1 })),
  capacity: field(6, varint),
  zone: field(7, text(128)),
  deviceGroup: field(8, text(128)),
  addresses: repeated(9, text(512), 64),
  http: field(10, text(512)),
  mark: field(11, hex(16)),
});

const Holdings = message("Holdings", {
  id: field(1, text(128)),
  life: field(2, varint),
  incarnation: field(3, varint),
  sequence: field(4, varint),
  complete: field(5, bytes(8_192)),
  filling: field(6, bytes(8_192)),
  former: field(7, bytes(8_192)),
  hints: field(8, bytes(8_192)),
});

const Change = message("RingChange", {
  by: field(1, text(128)),
  atMs: field(2, varint),
  verb: field(3, choice({ create: 0, join: 1, leave: 2, remove: 3, rebalance: 4 })),
  subject: field(4, text(128)),
  tokens: field(5, varint),
});

/** A roster, or a part of one. */
export const RosterMessage = message("Roster", {
  cluster: field(1, Cluster),
  members: repeated(2, Member, membersMax),
  assignment: optional(3, bytes(4_194_304)),
  holdings: repeated(4, Holdings, membersMax),
  secrets: repeated(5, hex(32), 1_000),
  changes: repeated(6, Change, 1_000),
});
export type RosterMessage = Infer<typeof RosterMessage>;

const MemberVersion = message("MemberVersion", {
  id: field(1, text(128)),
  life: field(2, varint),
  incarnation: field(3, varint),
  status: field(4, varint),
  /** Two records of one incarnation may differ: one of two directories with the same identity wrote each. */
  mark: field(8, hex(16)),
  /** Of what it holds, for the same reason; zeros where nothing is known. */
  holdings: field(9, fixedBytes(8)),
});

/** What a node has, without the contents. */
export const RosterSummary = message("RosterSummary", {
  members: repeated(1, MemberVersion, membersMax),
  assignment: field(2, fixedBytes(16)),
  secrets: field(3, fixedBytes(16)),
  changes: field(4, fixedBytes(16)),
});
export type RosterSummary = Infer<typeof RosterSummary>;

const statusNumbers = { up: 0, leaving: 1, left: 2, removed: 3, lapsed: 4 } as const;

export function rosterMessage(roster: Roster, part: RosterPart = roster): RosterMessage {
  return {
    cluster: roster.cluster,
    members: [...(part.members?.values() ?? [])].toSorted(byId),
    ...(part.assignment ? { assignment: encodeAssignment(part.assignment) } : {}),
    holdings: [...(part.holdings?.values() ?? [])].toSorted(byId),
    secrets: part.secrets ?? [],
    changes: part.changes ?? [],
  };
}

/** @throws DecodeError when the assignment is damaged or of another Q, or a number is beyond all reason. */
export function rosterPartOf(incoming: RosterMessage): RosterPart {
  for (const { id, life, incarnation } of [...incoming.members, ...incoming.holdings]) {
    if (life > versionMax || incarnation > versionMax) {
      throw new DecodeError(
        `Roster: life ${life} and incarnation ${incarnation} of ${id} cannot be: at most ${versionMax}`,
      );
    }
  }
  const members = incoming.members.map((member) => ({ ...member, id: member.id as NodeId }));
  const holdings = incoming.holdings.map((record) => ({ ...record, id: record.id as NodeId }));
  return {
    members: new Map(members.map((member) => [member.id, member])),
    holdings: new Map(holdings.map((record) => [record.id, record])),
    secrets: incoming.secrets,
    changes: incoming.changes.map((change) => ({
      ...change,
      by: change.by as NodeId,
      subject: change.subject as NodeId,
    })),
    ...(incoming.assignment ? { assignment: decodeAssignment(incoming.assignment, incoming.cluster.partitions) } : {}),
  };
}

/** A whole roster as a node stores it. */
export function rosterFrom(incoming: RosterMessage): Roster {
  checkPartitions(incoming.cluster.partitions);
  return mergeRoster(emptyRoster(incoming.cluster), rosterPartOf(incoming));
}

export function encodeRoster(roster: Roster): Uint8Array {
  return RosterMessage.encode(rosterMessage(roster));
}

/** Equal on two nodes exactly when their rosters are. */
export function rosterDigest(roster: Roster): Uint8Array {
  return sha256(encodeRoster(roster)).subarray(0, 16);
}

export function summarize(roster: Roster): RosterSummary {
  return {
    members: [...roster.members.values()].toSorted(byId).map((member) => ({
      id: member.id,
      life: member.life,
      incarnation: member.incarnation,
      status: statusNumbers[member.status],
      mark: member.mark,
      holdings: holdingsDigest(roster, member.id),
    })),
    assignment: assignmentDigest(roster.assignment),
    secrets: digestOf(roster, { secrets: roster.secrets }),
    changes: digestOf(roster, { changes: roster.changes }),
  };
}

/** What the node with this summary may lack. A superset is fine, merging sorts it out; a subset is not. */
export function lackingIn(summary: RosterSummary, roster: Roster): RosterPart {
  const theirs = new Map(summary.members.map((version) => [version.id as NodeId, version]));
  const ours = summarize(roster);
  const members = new Map(roster.members);
  const holdings = new Map<NodeId, HoldingsRecord>(roster.holdings);
  for (const own of ours.members) {
    const their = theirs.get(own.id as NodeId);
    if (!their) continue;
    const sameRecord =
      their.life === own.life &&
      their.incarnation === own.incarnation &&
      their.status === own.status &&
      their.mark === own.mark;
    if (sameRecord) members.delete(own.id as NodeId);
    if (same(their.holdings, own.holdings)) holdings.delete(own.id as NodeId);
  }
  return {
    members,
    holdings,
    ...(same(summary.assignment, ours.assignment) ? {} : { assignment: roster.assignment }),
    ...(same(summary.secrets, ours.secrets) ? {} : { secrets: roster.secrets }),
    ...(same(summary.changes, ours.changes) ? {} : { changes: roster.changes }),
  };
}

/** A record of oneself that one did not write: another directory was used with this identity (PROTOCOL 9, *Data gone*). */
export function foreignRecordOf(self: NodeId, roster: Roster, part: RosterPart): boolean {
  const theirs = part.members?.get(self);
  const ours = roster.members.get(self);
  if (theirs === undefined || ours === undefined || theirs.mark === ours.mark) return false;
  return theirs.life > ours.life || (theirs.life === ours.life && theirs.incarnation >= ours.incarnation);
}

const byId = (a: { readonly id: string }, b: { readonly id: string }): number =>
  a.id < b.id ? -1 : a.id > b.id ? 1 : 0;

function assignmentDigest(assignment: Assignment): Uint8Array {
  return sha256(encodeAssignment(assignment)).subarray(0, 16);
}

function holdingsDigest(roster: Roster, id: NodeId): Uint8Array {
  const record = roster.holdings.get(id);
  if (record === undefined) return new Uint8Array(8);
  return digestOf(roster, { holdings: new Map([[id, record]]) }).subarray(0, 8);
}

function digestOf(roster: Roster, part: RosterPart): Uint8Array {
  return sha256(RosterMessage.encode(rosterMessage(roster, part))).subarray(0, 16);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => toHex(a) === toHex(b);
