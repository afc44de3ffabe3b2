/**
 * Finds the leaves in which two hosts differ. The other side is a function, so that a test can be it.
 * Invariant: `equal` names only partitions whose hash the other side compared with ours and found equal; nonsense from
 * the other side can hide or invent a difference, but nothing else.
 */
import type { PartitionIndex } from "../identity.ts";
import { hashBytes } from "./hash.ts";
import { differing, type Section, type SharedTrees } from "./shared-trees.ts";
import { type LeafIndex, partitionOfLeaf } from "./trees.ts";

/** What the other host answers, each one round trip. */
export interface RemoteTrees {
  /** Its groups (`SharedTrees.groups`), or undefined when its digest is the same. */
  groups(digest: Uint8Array): Promise<Uint8Array | undefined>;
  /** `SharedTrees.answerGroups` */
  leaves(groups: readonly Section[]): Promise<readonly Section[]>;
}

export interface DiffLimits {
  /** Partitions whose leaves may be asked for. */
  readonly partitionsMax: number;
  /** Leaves that are named. */
  readonly leavesMax: number;
}

export interface TreeDifference {
  readonly equal: readonly PartitionIndex[];
  readonly different: readonly PartitionIndex[];
  readonly leaves: readonly LeafIndex[];
  /** There is more than the limits allowed to look at. */
  readonly cut: boolean;
}

/** `shuffle` decides what comes first when not all fits: what fails again and again must not keep the rest waiting. */
export async function treeDiff(
  local: SharedTrees,
  remote: RemoteTrees,
  limits: DiffLimits,
  shuffle: <T>(items: readonly T[]) => readonly T[],
): Promise<TreeDifference> {
  const theirs = await remote.groups(local.digest());
  if (theirs === undefined) return { equal: local.partitions, different: [], leaves: [], cut: false };
  const own = local.groups();
  const unequal = differing(own, theirs.subarray(0, own.length));
  const sections = takeSections(local, shuffle(unequal), limits.partitionsMax);
  const answered = onlyAsked(local, sections, sections.length === 0 ? [] : await remote.leaves(sections));

  const notAsked = new Set(unequal);
  for (const { index } of sections) notAsked.delete(index);
  const equal = groupIndexes(own)
    .filter((group) => !notAsked.has(group))
    .flatMap((group) => local.partitionsOf(group).filter((partition) => !answered.has(partition)));
  const leaves = shuffle([...answered.values()].flatMap((section) => local.leavesDiffering(section)));
  const named = leaves.slice(0, limits.leavesMax);
  return {
    equal,
    different: [...new Set(leaves.map(partitionOfLeaf))],
    leaves: named,
    cut: notAsked.size > 0 || named.length < leaves.length,
  };
}

/** The leaves of one partition that differ; the tree of nothing but this partition asks for them. One round trip. */
export async function partitionDiff(
  local: SharedTrees,
  partition: PartitionIndex,
  remote: Pick<RemoteTrees, "leaves">,
): Promise<readonly LeafIndex[] | "not-shared"> {
  const group = local.groupOf(partition);
  const [answer] = onlyAsked(local, [group], await remote.leaves([group])).values();
  if (answer === undefined) return [];
  return answer.hashes.length === 0 ? "not-shared" : local.leavesDiffering(answer);
}

/** Of at least one group, then of as many as the limit allows. */
function takeSections(local: SharedTrees, groups: readonly number[], partitionsMax: number): Section[] {
  const taken: Section[] = [];
  let partitions = 0;
  for (const group of groups) {
    const section = local.group(group);
    if (section === undefined) continue;
    partitions += section.hashes.length / hashBytes;
    if (taken.length > 0 && partitions > partitionsMax) break;
    taken.push(section);
  }
  return taken;
}

/** Only shared partitions of the groups that were asked for. */
function onlyAsked(
  local: SharedTrees,
  asked: readonly Section[],
  answer: readonly Section[],
): Map<PartitionIndex, Section> {
  const wanted = new Set<number>(asked.flatMap(({ index }) => local.partitionsOf(index)));
  return new Map(
    answer.flatMap((section) => (wanted.has(section.index) ? [[section.index as PartitionIndex, section]] : [])),
  );
}

function groupIndexes(hashes: Uint8Array): number[] {
  return Array.from({ length: hashes.length / hashBytes }, (_, index) => index);
}
