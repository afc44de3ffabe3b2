/**
 * The bytes in which a roster travels and is stored.
 */
import { checkPartitions } from "../placement/partition.ts";
import {
  bytes,
  choice,
  DecodeError,
  field,
  hex,
  type Infer,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../bytes/codec.ts";
import type { NodeId } from "../identity.ts";
import { decodeAssignment, encodeAssignment } from "./assignment-encoding.ts";
import { decodeForgettingMarks, encodeForgettingMarks } from "./forgetting-marks-encoding.ts";
import { emptyRoster, type HoldingsRecord, mergeRoster, type Roster, type RosterPart } from "./roster.ts";
import { recordOf, SignedMember, versionMax } from "./signed-member.ts";

/** Of one cluster, those included whose membership has ended: their records tell them so when they return. */
export const membersMax = 10_000;
/** From here on none joins: several may do so at once, and all hosts have to take in the same. */
export const joinsUntil: number = membersMax - 100;

const Cluster = message("Cluster", {
  name: field(1, text(128)),
  partitions: field(2, varint),
  n: field(3, varint),
  admission: field(4, choice({ open: 0 })),
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
  verb: field(3, choice({ create: 0, join: 1, leave: 2, remove: 3, rebalance: 4, lapse: 5 })),
  subject: field(4, text(128)),
  tokens: field(5, varint),
  life: optional(6, varint),
});

/** A roster, or a part of one. Number 2 was members without signatures. */
export const RosterMessage = message("Roster", {
  cluster: field(1, Cluster),
  assignment: optional(3, bytes(4_194_304)),
  holdings: repeated(4, Holdings, membersMax),
  secrets: repeated(5, hex(32), 1_000),
  changes: repeated(6, Change, 1_000),
  forgettingMarks: optional(7, bytes(2_097_152)),
  /** Beside secrets: see `replica/consents.ts`. */
  consents: optional(8, bytes(2_097_152)),
  members: repeated(20, SignedMember, membersMax),
  questions: repeated(21, SignedMember, membersMax),
});
export type RosterMessage = Infer<typeof RosterMessage>;

export function rosterMessage(roster: Roster, part: RosterPart = roster): RosterMessage {
  return {
    cluster: roster.cluster,
    members: [...(part.members?.values() ?? [])].toSorted(byId).map(({ proof }) => proof),
    ...(part.assignment ? { assignment: encodeAssignment(part.assignment) } : {}),
    holdings: [...(part.holdings?.values() ?? [])].toSorted(byId),
    secrets: part.secrets ?? [],
    changes: part.changes ?? [],
    questions: (part.questions ?? []).map(({ proof }) => proof),
    // None as in rosters of versions that know none, so that digests agree with theirs.
    ...(part.forgettingMarks === undefined || part.forgettingMarks.size === 0
      ? {}
      : { forgettingMarks: encodeForgettingMarks(part.forgettingMarks) }),
  };
}

/** What somebody sent. Sections are read when they are asked for: that can cost much, and they count from members only. */
export interface Told {
  readonly records: Pick<RosterPart, "members" | "questions" | "holdings">;
  /** @throws DecodeError when the assignment is damaged or of another Q, or a number is beyond all reason */
  sections(): Omit<RosterPart, keyof Told["records"]>;
}

/** Signatures are not verified here. @throws DecodeError when a number is beyond all reason */
export function toldIn(incoming: RosterMessage): Told {
  return { records: recordsOf(incoming), sections: () => sectionsOf(incoming) };
}

/** Both at once. @throws DecodeError */
export function rosterPartOf(incoming: RosterMessage): RosterPart {
  return { ...recordsOf(incoming), ...sectionsOf(incoming) };
}

function recordsOf(incoming: RosterMessage): Told["records"] {
  for (const { id, life, incarnation, sequence } of incoming.holdings) {
    if (Math.max(life, incarnation, sequence) > versionMax) {
      throw new DecodeError(
        `Roster: sequence ${sequence}, life ${life} and incarnation ${incarnation} of ${id} cannot be: at most ${versionMax}`,
      );
    }
  }
  const members = incoming.members.map(recordOf);
  const holdings = incoming.holdings.map((record) => ({ ...record, id: record.id as NodeId }));
  return {
    members: new Map(members.map((member) => [member.id, member])),
    holdings: new Map(holdings.map((record) => [record.id, record])),
    questions: incoming.questions.map(recordOf),
  };
}

function sectionsOf(incoming: RosterMessage): ReturnType<Told["sections"]> {
  return {
    secrets: incoming.secrets,
    changes: incoming.changes.map((change) => ({
      ...change,
      by: change.by as NodeId,
      subject: change.subject as NodeId,
    })),
    ...(incoming.assignment ? { assignment: decodeAssignment(incoming.assignment, incoming.cluster.partitions) } : {}),
    ...(incoming.forgettingMarks
      ? { forgettingMarks: decodeForgettingMarks(incoming.forgettingMarks, incoming.cluster.partitions) }
      : {}),
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

export function encodeHoldings(record: HoldingsRecord): Uint8Array {
  return Holdings.encode(record);
}

const byId = (a: { readonly id: string }, b: { readonly id: string }): number =>
  a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
