/** Planted bugs: what hosts would get wrong as the ring changes: transfers, hand-off, departure, return. */
import type { Mutation } from "./mutations.ts";

export const ring: readonly Mutation[] = [
  {
    name: "a record of a page is lost in a transfer",
    file: "background/copy-partitions.js",
    find: "for (let at = 0; at < rows.length; at += rowsPerCommit) {",
    replace: "for (let at = 1; at < rows.length; at += rowsPerCommit) {",
  },
  {
    name: "a filling host is counted in R",
    file: "quorum/read-tally.js",
    find: 'if (role === "complete")',
    replace: "if (true)",
  },
  {
    name: "two hosts take one token, and each keeps it",
    file: "placement/assignment.js",
    find: "return holder.host === null || challenger.host > holder.host;",
    replace: "return holder.host === null;",
  },
  {
    name: "a former owner drops without asking",
    file: "background/hand-off.js",
    find: "await askAbout(deps, owner, { leaving: toDrop, toDrop: true });",
    replace: "for (const each of toDrop)\n                each.confirmedBy.add(owner);",
  },
  {
    name: "what the disk shows anew stays where it is",
    file: "background/hand-off.js",
    find: "if (claimRemains(deps.holdings, deps.replica.index))",
    replace: "if (false)",
  },
  {
    name: "one owner's word is enough to drop",
    file: "background/hand-off.js",
    find: "confirmedBy.size >= confirmationsFor(owners)",
    replace: "confirmedBy.size >= 1",
  },
  {
    name: "an owner confirms what it does not cover",
    file: "background/hand-off-answers.js",
    find: 'if (role !== "complete" || (relation !== "equal" && relation !== "after"))',
    replace: "if (false)",
  },
  {
    name: "a host that returns offers what was reaped without it",
    file: "cluster/start.js",
    find: "return consents.takeUncovered(known.reapMarks).some(isKept);",
    replace: "return false;",
  },
  {
    // Rare: only who joins through a host that was removed meanwhile holds such a thing. A story tells of it.
    name: "a new member does not care what was reaped without it",
    file: "run.js",
    find: "cluster.onChange(() => cluster.doubt(consents.takeUncovered(cluster.roster.reapMarks)));",
    replace:
      'if (origin.kind !== "joined")\n        cluster.onChange(() => cluster.doubt(consents.takeUncovered(cluster.roster.reapMarks)));',
  },
  {
    name: "a host that was removed while it filled offers nothing",
    file: "cluster/start.js",
    find: "if (held === undefined)\n        return false;",
    replace:
      "if (held === undefined)\n        return false;\n    if (held.filling.some((bits) => bits !== 0))\n        return true;",
  },
  {
    name: "an owner forgets a key of which it keeps a hint",
    file: "replica/remains.js",
    find: 'return "incomplete";\n    if (isHinted)',
    replace: 'return "incomplete";\n    if (false)',
  },
  {
    name: "who was removed is a member again when it states something",
    file: "membership/roster.js",
    find: "if (finalA !== finalB)",
    replace: "if (false)",
  },
  {
    name: "rings that meet fill nothing from each other",
    file: "cluster/cluster.js",
    find: "if (isOtherRing(before, part))",
    replace: "if (false)",
  },
];
