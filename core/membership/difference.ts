/**
 * What two nodes owe each other once they have compared (`comparison.ts`): the asked's side, and the asker's last word. Apart
 * from it, for only members of the ring need this.
 */
import { equalBytes } from "../bytes/compare.ts";
import type { NodeId } from "../identity.ts";
import {
  checkGroupCount,
  groupOf,
  type MemberVersion,
  none,
  type RosterComparison,
  type RosterSummary,
  sectionDigests,
  sections,
  versionOf,
  versionsOf,
} from "./comparison.ts";
import type { Roster, RosterPart } from "./roster.ts";

type Kind = "record" | "holdings";

/** What the asked answers to a comparison. */
export interface Difference {
  /** Its records that differ from the asker's, losers too: a mark in one may be news to its host. */
  readonly part: RosterPart;
  /** Members of whom the asker has a record or holdings, and it none. */
  readonly lacking: readonly NodeId[];
}

/** The asked's side. @throws DecodeError when that is no comparison */
export function differenceTo(comparison: RosterComparison, roster: Roster): Difference {
  checkGroupCount(comparison.groupCount);
  const wanted = new Set(comparison.groups);
  const theirs = new Map(comparison.versions.map((version) => [version.id, version]));
  const ours = versionsOf(roster).filter(({ id }) => wanted.has(groupOf(id, comparison.groupCount)));
  const known = new Map(ours.map((version) => [version.id, version]));
  const lacks = ({ id, ...their }: MemberVersion, of: Kind): boolean =>
    equalBytes(known.get(id)?.[of] ?? none, none) && !equalBytes(their[of], none);
  const lacking = comparison.versions.filter((version) => lacks(version, "record") || lacks(version, "holdings"));
  return {
    part: {
      members: recordsThatDiffer(roster.members, "record", ours, theirs),
      holdings: recordsThatDiffer(roster.holdings, "holdings", ours, theirs),
      ...sectionsThatDiffer(comparison.sections, roster),
    },
    lacking: lacking.map(({ id }) => id as NodeId),
  };
}

/**
 * The asker's side again: what the asked still lacks once the asker has merged its difference. `their` are the sections
 * of its summary: if they changed since, too much is sent, which merging sorts out.
 */
export function owedTo(their: RosterSummary["sections"], { part, lacking }: Difference, roster: Roster): RosterPart {
  const owed = <V>(
    ours: ReadonlyMap<NodeId, V>,
    told: ReadonlyMap<NodeId, V> = new Map(),
    of: Kind,
  ): Map<NodeId, V> => {
    const ids = new Set([...lacking, ...told.keys()]);
    const versionsIn = (of: RosterPart): MemberVersion[] => [...ids].map((id) => versionOf(of, id));
    const theirs = new Map(versionsIn(part).map((version) => [version.id, version]));
    return recordsThatDiffer(ours, of, versionsIn(roster), theirs);
  };
  return {
    members: owed(roster.members, part.members, "record"),
    holdings: owed(roster.holdings, part.holdings, "holdings"),
    ...sectionsThatDiffer(their, roster),
  };
}

function recordsThatDiffer<V>(
  from: ReadonlyMap<NodeId, V>,
  of: Kind,
  ours: readonly MemberVersion[],
  theirs: ReadonlyMap<string, MemberVersion>,
): Map<NodeId, V> {
  const found = new Map<NodeId, V>();
  for (const own of ours) {
    const id = own.id as NodeId;
    const value = from.get(id);
    if (value !== undefined && !equalBytes(own[of], theirs.get(id)?.[of] ?? none)) found.set(id, value);
  }
  return found;
}

function sectionsThatDiffer(theirs: RosterSummary["sections"], roster: Roster): RosterPart {
  const ours = sectionDigests(roster);
  const differing = sections.filter((section) => !equalBytes(ours[section], theirs[section]));
  return Object.fromEntries(differing.map((section) => [section, roster[section]]));
}
