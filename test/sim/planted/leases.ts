/** Planted bugs: what hosts would get wrong about browser hosts and their leases. */
import type { Mutation } from "./mutations.ts";

export const leases: readonly Mutation[] = [
  {
    name: "a minority ends leases",
    profile: "leases",
    file: "background/leases.js",
    find: "if (2 * present > members.length)",
    replace: "if (true)",
  },
  {
    name: "sleep counts as silence",
    profile: "leases",
    file: "background/leases.js",
    find: "Math.min(now - this.#tickedMs, tickMaxMs)",
    replace: "now - this.#tickedMs",
  },
  {
    name: "who has heard a member is not listened to",
    profile: "leases",
    file: "background/leases.js",
    find: "if (witness >= 0)",
    replace: "if (false)",
  },
  {
    name: "the only holder of a partition lapses too",
    profile: "leases",
    file: "background/leases.js",
    find: "if (alone > 0)",
    replace: "if (false)",
  },
  {
    name: "a lapse that two hosts carry out is two changes",
    profile: "leases",
    file: "membership/roster.js",
    find: 'change.verb === "lapse" ?',
    replace: "false ?",
  },
  {
    name: "who lapsed does not come back",
    profile: "leases",
    file: "run.js",
    find: 'if (cluster.ownRecord.status === "lapsed")',
    replace: "if (false)",
  },
  {
    name: "who lapsed asks its seeds alone",
    profile: "leases",
    file: "node.js",
    find: "this.#ports.transport.keep(addressesOf(stored, own.id));",
    replace: "{ }",
  },
  {
    name: "copies in browsers are enough",
    profile: "leases",
    file: "quorum/write-tally.js",
    find: "const isAnchored = anchors(this.#durable);",
    replace: "const isAnchored = true;",
  },
];
