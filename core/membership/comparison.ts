/**
 * How two nodes find out what each other lacks. Digest first: agreeing nodes exchange 16 bytes a second. Else the
 * digests of groups of members, then the versions in the groups that differ, then the differing records (PROTOCOL 9).
 * Of 1,000 members one of which changed, that is 2 KiB of digests and the versions and records of about 4 members.
 */
import { concatBytes } from "@noble/hashes/utils.js";
import { DecodeError, bytes, field, fixedBytes, type Infer, message, repeated, text, varint } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { sha256Of } from "../bytes/sha256.ts";
import type { NodeId } from "../identity.ts";
import { encodeHoldings, membersMax, RosterMessage, rosterMessage } from "./exchange.ts";
import type { Roster, RosterPart } from "./roster.ts";
import { recordDigest } from "./signed-member.ts";

const membersPerGroup = 4;
const groupsMax = 1_024;
const digestBytes = 8;

/** Everything of a roster that is not by member. */
export const sections = ["assignment", "secrets", "changes", "questions", "forgettingMarks"] as const;
const Sections = message("RosterSections", {
  assignment: field(1, fixedBytes(digestBytes)),
  secrets: field(2, fixedBytes(digestBytes)),
  changes: field(3, fixedBytes(digestBytes)),
  questions: field(4, fixedBytes(digestBytes)),
  forgettingMarks: field(5, fixedBytes(digestBytes)),
});

/** What a node has, in digests. */
export const RosterSummary = message("RosterSummary", {
  /** Of each group of members, 8 bytes; their number is a power of two. */
  groups: field(1, bytes(groupsMax * digestBytes)),
  sections: field(2, Sections),
});
export type RosterSummary = Infer<typeof RosterSummary>;

const MemberVersion = message("MemberVersion", {
  id: field(1, text(128)),
  /** Of the record and of the holdings; zeros where there is none. */
  record: field(2, fixedBytes(digestBytes)),
  holdings: field(3, fixedBytes(digestBytes)),
});
export type MemberVersion = Infer<typeof MemberVersion>;

/** What a node has in the groups in which it differs from another. */
export const RosterComparison = message("RosterComparison", {
  groupCount: field(1, varint),
  groups: repeated(2, varint, groupsMax),
  versions: repeated(3, MemberVersion, membersMax),
  sections: field(4, Sections),
});
export type RosterComparison = Infer<typeof RosterComparison>;

export const none = new Uint8Array(digestBytes);

/** A node that knows nothing asks for everything. */
export const nothingKnown: RosterComparison = {
  groupCount: 1,
  groups: [0],
  versions: [],
  sections: { assignment: none, secrets: none, changes: none, questions: none, forgettingMarks: none },
};

/** 16 bytes, equal on two nodes exactly when their rosters are. */
export function rosterDigest(roster: Roster): Uint8Array {
  const summary = RosterSummary.encode({ groups: groupDigests(roster, 1), sections: sectionDigests(roster) });
  return sha256Of(summary).slice(0, 16);
}

export function summarize(roster: Roster): RosterSummary {
  let count = 1;
  while (count * membersPerGroup < roster.members.size && count < groupsMax) count *= 2;
  return { groups: groupDigests(roster, count), sections: sectionDigests(roster) };
}

/** The asker's side: what it has where the other's summary differs. @throws DecodeError when that is no summary */
export function compareWith({ groups: theirs }: RosterSummary, roster: Roster): RosterComparison {
  const groupCount = theirs.length / digestBytes;
  checkGroupCount(groupCount);
  const ours = groupDigests(roster, groupCount);
  const at = (digests: Uint8Array, i: number): Uint8Array => digests.slice(i * digestBytes, (i + 1) * digestBytes);
  const groups = Array.from({ length: groupCount }, (_, i) => i).filter((i) => !equalBytes(at(ours, i), at(theirs, i)));
  const wanted = new Set(groups);
  const versions = versionsOf(roster).filter(({ id }) => wanted.has(groupOf(id, groupCount)));
  return { groupCount, groups, versions, sections: sectionDigests(roster) };
}

export function versionsOf(roster: Roster): readonly MemberVersion[] {
  return remembered(roster, () => {
    const ids = new Set([...roster.members.keys(), ...roster.holdings.keys()]);
    return [...ids].toSorted().map((id) => versionOf(roster, id));
  });
}

export function versionOf({ members, holdings }: RosterPart, id: NodeId): MemberVersion {
  const record = members?.get(id);
  const held = holdings?.get(id);
  return {
    id,
    record: record ? remembered(record, () => recordDigest(record)) : none,
    holdings: held ? remembered(held, () => digestOf(encodeHoldings(held))) : none,
  };
}

/** Each at its number of groups: of one roster many peers are told. */
function groupDigests(roster: Roster, count: number): Uint8Array {
  const known = remembered<Uint8Array[]>(versionsOf(roster), () => []);
  return (known[count] ??= digestGroups(roster, count));
}

function digestGroups(roster: Roster, count: number): Uint8Array {
  const members: Uint8Array[][] = Array.from({ length: count }, () => []);
  for (const { id, record, holdings } of versionsOf(roster)) {
    // Holdings name their host, and so do records.
    members[groupOf(id, count)]!.push(record, holdings);
  }
  return concatBytes(...members.map((each) => digestOf(concatBytes(...each))));
}

export function sectionDigests(roster: Roster): RosterSummary["sections"] {
  const of = (section: (typeof sections)[number]): Uint8Array =>
    remembered(roster[section], () =>
      digestOf(RosterMessage.encode(rosterMessage(roster, { [section]: roster[section] }))),
    );
  return {
    assignment: of("assignment"),
    secrets: of("secrets"),
    changes: of("changes"),
    questions: of("questions"),
    forgettingMarks: of("forgettingMarks"),
  };
}

/** FNV-1a: spreads ids; who chooses ids to meet in one group makes only its own exchanges longer. */
export function groupOf(id: string, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % count;
}

export function checkGroupCount(count: number): void {
  if (!Number.isInteger(count) || count < 1 || count > groupsMax) throw new DecodeError(`${count} groups`);
}

const made = new WeakMap<object, unknown>();

/** What is made of it, always the same. Rosters are immutable, and share what did not change. */
function remembered<V>(of: object, make: () => V): V {
  let known = made.get(of);
  if (known === undefined) made.set(of, (known = make()));
  return known as V;
}

function digestOf(encoded: Uint8Array): Uint8Array {
  return sha256Of(encoded).slice(0, digestBytes);
}
