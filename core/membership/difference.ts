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
  const lacks = ({ id, ...their }: MemberVersion, of: "record" | "holdings"): boolean =>
    equalBytes(known.get(id)?.[of] ?? none, none) && !equalBytes(their[of], none);
  const lacking = comparison.versions.filter((version) => lacks(version, "record") || lacks(version, "holdings"));
  return {
    part: { ...recordsThatDiffer(roster, ours, theirs), ...sectionsThatDiffer(comparison.sections, roster) },
    lacking: lacking.map(({ id }) => id as NodeId),
  };
}

/**
 * The asker's side again: what the asked still lacks once the asker has merged its difference. `their` are the sections
 * of its summary: if they changed since, too much is sent, which merging sorts out.
 */
export function owedTo(their: RosterSummary["sections"], { part, lacking }: Difference, roster: Roster): RosterPart {
  const differing = (of: "members" | "holdings"): MemberVersion[] =>
    [...new Set([...lacking, ...(part[of]?.keys() ?? [])])].map((id) => versionOf(roster, id));
  const told = (of: "members" | "holdings"): Map<string, MemberVersion> =>
    new Map([...(part[of]?.keys() ?? [])].map((id) => [id, versionOf(part, id)]));
  const { members } = recordsThatDiffer(roster, differing("members"), told("members"));
  const { holdings } = recordsThatDiffer(roster, differing("holdings"), told("holdings"));
  return { members, holdings, ...sectionsThatDiffer(their, roster) };
}

function recordsThatDiffer(
  roster: Roster,
  ours: readonly MemberVersion[],
  theirs: ReadonlyMap<string, MemberVersion>,
): Required<Pick<RosterPart, "members" | "holdings">> {
  const differs = (own: MemberVersion, of: "record" | "holdings"): boolean =>
    !equalBytes(own[of], theirs.get(own.id)?.[of] ?? none);
  const pick = <V>(from: ReadonlyMap<NodeId, V>, of: "record" | "holdings"): Map<NodeId, V> =>
    new Map(
      ours.flatMap((own): (readonly [NodeId, V])[] => {
        const value = from.get(own.id as NodeId);
        return value !== undefined && differs(own, of) ? [[own.id as NodeId, value]] : [];
      }),
    );
  return { members: pick(roster.members, "record"), holdings: pick(roster.holdings, "holdings") };
}

function sectionsThatDiffer(theirs: RosterSummary["sections"], roster: Roster): RosterPart {
  const ours = sectionDigests(roster);
  const differing = sections.filter((section) => !equalBytes(ours[section], theirs[section]));
  return Object.fromEntries(differing.map((section) => [section, roster[section]]));
}
