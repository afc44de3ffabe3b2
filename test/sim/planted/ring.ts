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
    profile: "moves",
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
    name: "two hosts take one token, and each yields it to the other",
    profile: "moves",
    file: "placement/assignment.js",
    find: "return holder.host === null || challenger.host > holder.host;",
    replace: "return challenger.host !== holder.host;",
  },
  {
    name: "a former owner drops without asking",
    file: "background/hand-off.js",
    find: "const isAnswered = await askAbout(round, owner, { leaving, toDrop: true });",
    replace:
      "const isAnswered = true;\n            for (const each of leaving)\n                each.confirmedBy.add(owner);",
  },
  {
    name: "what the disk shows anew stays where it is",
    profile: "moves",
    file: "background/hand-off.js",
    find: "if (claimRemains(deps.holdings, deps.replica.index))",
    replace: "if (false)",
  },
  {
    name: "only marks of the whole ring as it is now count",
    profile: "deletes",
    file: "replica/consents.js",
    find: "(each.ring === unnamedRing ? isAlone : this.#isAskedBy(each.ring))",
    replace: "(each.ring === ringName(secrets) && this.#isAskedBy(each.ring))",
  },
  {
    // A theme draws what it takes: an acknowledged write lives on that host alone.
    name: "a host misses the marks of a ring founded apart",
    profile: "deletes",
    file: "replica/consents.js",
    find: "return sharesFounding(ring, this.#home);",
    replace: "return true;",
  },
  {
    name: "a former owner drops what it was not asked about",
    isOnlyTold: true,
    file: "background/hand-off.js",
    find: " && isUnchanged(round, each)",
    replace: "",
  },
  {
    name: "one owner's word is enough to drop",
    profile: "members",
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
    profile: "deletes",
    file: "cluster/start.js",
    find: "const partitions = consents.takeUncovered(known).filter(isKept);",
    replace: "const partitions = [];",
  },
  {
    name: "a host that returns sets all aside for one partition",
    profile: "deletes",
    file: "node.js",
    find: "const kept = outdated.isWhole ? undefined :",
    replace: "const kept = true ? undefined :",
  },
  {
    name: "a consent does not count",
    profile: "clocks",
    file: "replica/consents.js",
    find: "!consented.includes(each.mark) &&",
    replace: "",
  },
  {
    // The owners forget under a mark of which nobody else hears.
    name: "a cut raises no mark",
    profile: "clocks",
    file: "background/reap-answers.js",
    find: "await cluster.commit({ forgettingMarks: new Map([[partition, [prepared.mark]]]) });",
    replace:
      "const { forgettingMarks } = cluster.roster;\n        const raised = new Map([...forgettingMarks, [partition, [prepared.mark]]]);\n        if (prepared.keys.length > 0)\n            await cluster.commit({ forgettingMarks: raised });\n        else {\n            cluster.roster.forgettingMarks = raised;\n            this.#deps.forgetting.heard();\n            cluster.roster.forgettingMarks = forgettingMarks;\n        }",
  },
  {
    // A theme draws what it takes: somebody joins through a host that was removed meanwhile.
    name: "a new member does not care what was reaped without it",
    profile: "deletes",
    file: "run.js",
    find: "cluster.doubt(consents.takeUncovered(cluster.roster));",
    replace: 'if (origin.kind !== "joined")\n            cluster.doubt(consents.takeUncovered(cluster.roster));',
  },
  {
    name: "a host that was removed while it filled offers nothing",
    profile: "deletes",
    file: "cluster/start.js",
    find: "holdings.restore(held);",
    replace:
      "holdings.restore(held);\n    if (held.filling.some((bits) => bits !== 0))\n        return { isWhole: true, partitions: [], hintTargets: [], held };",
  },
  {
    name: "an owner forgets a key of which it keeps a hint",
    profile: "deletes",
    file: "replica/remains.js",
    find: 'return "incomplete";\n    if (isHinted)',
    replace: 'return "incomplete";\n    if (false)',
  },
  {
    name: "who was removed is a member again when it states something",
    profile: "deletes",
    file: "membership/roster.js",
    find: "if (finalA !== finalB)",
    replace: "if (false)",
  },
  {
    name: "rings that meet fill nothing from each other",
    profile: "moves",
    file: "cluster/cluster.js",
    find: "if (isOtherRing(this.#roster, part))",
    replace: "if (false)",
  },
  {
    name: "hosts of one zone, or machine, are taken for apart",
    file: "placement/domains.js",
    find: 'if (label !== "")',
    replace: "if (false)",
  },
  {
    name: "hosts are taken for equally large",
    file: "placement/shares.js",
    find: "host.capacity",
    replace: "100",
  },
  {
    name: "a new owner does without the only copy, for its holder is away",
    file: "background/fill.js",
    find: "complete.length > Math.max(1, cluster.ring.n - 1) ? 1 : 0",
    replace: "complete.length > cluster.ring.n - 1 ? 1 : 0",
    isOnlyTold: true,
  },
  {
    name: "who returns offers nothing",
    profile: "moves",
    file: "background/hand-off.js",
    find: "return allPartitions(ring.partitions).filter(",
    replace: "return [].filter(",
  },
];
