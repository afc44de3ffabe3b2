/** Planted bugs: what coordinators would get wrong: tallies, stand-ins, receipts. */
import type { Mutation } from "./mutations.ts";

export const requests: readonly Mutation[] = [
  {
    name: "the write tally counts a stand-in for each owner it stands for",
    file: "quorum/write-tally.js",
    find: "this.#hinted.push({ for: ack.for, at: from });\n",
    replace: "this.#hinted.push({ for: ack.for, at: from });\n            addOnce(this.#durable, ack.for);\n",
  },
  {
    name: "the read tally takes stand-ins for owners",
    file: "quorum/read-tally.js",
    find: "this.#met ||= this.#ownersReplied.length >= this.#r &&",
    replace: "this.#met ||= this.#replied.length >= this.#r &&",
  },
  {
    name: "one reply less is enough for a read",
    file: "quorum/read-tally.js",
    find: "this.#met ||= this.#ownersReplied.length >= this.#r &&",
    replace: "this.#met ||= this.#ownersReplied.length >= Math.max(1, this.#r - 1) &&",
  },
  {
    name: "a read asks no more holders where there are more than N",
    isOnlyTold: true,
    file: "quorum/read-tally.js",
    find: "Math.min(this.#r + Math.max(0, complete - this.#n), complete)",
    replace: "Math.min(this.#r, complete)",
  },
  {
    name: "an ambiguous silence is taken for a refusal",
    file: "coordinate/forward.js",
    find: 'return error.kind === "not-sent";',
    replace: "return true;",
  },
  {
    // A theme draws what it takes: the owner learns in the middle of the write that its data is an old copy.
    name: "a host that starts anew calls what was under way not begun",
    profile: "moves",
    file: "rpc/call.js",
    find: "throw begunBefore(method);",
    replace: "throw notServed(body[0]);",
  },
  {
    name: "a write that met no quorum is acknowledged",
    file: "coordinate/write.js",
    find: 'if (replicated.outcome.kind === "failed")\n        throw notMet(deps, replicated, { intent, deadlineMs });',
    replace: "",
  },
  {
    name: "the last reply of a read wins",
    file: "coordinate/read.js",
    find: "const state = merge(ours, theirs);",
    replace: "const state = theirs;",
  },
  {
    name: "a degraded read is not called so",
    file: "coordinate/read.js",
    find: 'if (outcome.kind === "degraded" && isAnswer)\n            return { held, degraded: true,',
    replace: 'if (outcome.kind === "degraded" && isAnswer)\n            return { held, degraded: false,',
  },
  {
    name: "a frame that cannot be read counts as a bug of who receives it",
    file: "rpc/call.js",
    find: "if (error instanceof DecodeError) {",
    replace: "if (false) {",
  },
];
