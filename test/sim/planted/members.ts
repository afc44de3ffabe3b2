/** Planted bugs: what hosts would get wrong about each other. */
import type { Mutation } from "./mutations.ts";

export const members: readonly Mutation[] = [
  {
    name: "an old copy of the disk is not noticed",
    file: "cluster/own-record.js",
    find: "if (strange.length > 0)",
    replace: "if (false)",
  },
  {
    name: "views do not meet before data counts",
    file: "cluster/exchange.js",
    find: "async meet(from, view) {",
    replace: "async meet(from, view) {\n        return;",
  },
  {
    name: "the lower incarnation of a member wins (memberlist#311)",
    file: "membership/roster.js",
    find: "        return a.incarnation > b.incarnation ? a : b;\n    // One node never",
    replace: "        return a.incarnation < b.incarnation ? a : b;\n    // One node never",
  },
  {
    name: "what another directory says of the own holdings stands",
    profile: "members",
    file: "cluster/cluster.js",
    find: "if (said !== undefined)",
    replace: "if (false)",
  },
  {
    name: "membership is exchanged with each peer once only",
    file: "cluster/exchange.js",
    find: "this.#running.delete(peer);",
    replace: "",
  },
  {
    name: "a host that has started anew counts as met",
    profile: "deletes",
    file: "cluster/exchange.js",
    find: "view.mark !== undefined && met?.startsWith(view.mark) === true;",
    replace: "met !== undefined;",
  },
  {
    name: "a joiner waits for the secrets although it was removed",
    profile: "moves",
    file: "cluster/start.js",
    find: " || !isOnRing(cluster.ownRecord.status);",
    replace: ";",
  },
];
