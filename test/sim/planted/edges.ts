/** Planted bugs: what edges would get wrong, and hosts about them. */
import type { Mutation } from "./mutations.ts";

export const edges: readonly Mutation[] = [
  {
    name: "an edge counts one owner's copy as every owner's",
    profile: "edges",
    file: "edge/owners-read.js",
    find: 'this.#tally.reply(owner, "complete");',
    replace: 'for (const each of this.#deps.contact.ownersOf(this.#located.key)) this.#tally.reply(each, "complete");',
  },
  {
    name: "an edge counts what its own stale membership calls an owner, complete or not",
    profile: "edges",
    file: "edge/owners-read.js",
    find: "if (!counts || ring !== this.#ring || ring !== this.#deps.contact.ring)",
    replace: "if (false)",
  },
  {
    name: "the copy of an owner that fills counts for edges",
    profile: "edges",
    file: "coordinate/edge-reads.js",
    find: 'isAtRest && role === "complete" && owners.includes(cluster.self)',
    replace: "owners.includes(cluster.self)",
  },
  {
    name: "an edge takes one of the copies that owners tell",
    profile: "edges",
    file: "edge/owners-read.js",
    find: "merge(all, each.state ?? nothing)",
    replace: "each.state ?? all",
  },
  {
    name: "an edge's actor outlives the memory that backs it",
    profile: "edges",
    file: "edge/own-actor.js",
    find: "toHex(this.#random.bytes(ACTOR_BYTES))",
    replace: '"00".repeat(ACTOR_BYTES)',
  },
  {
    name: "an edge's actor outlives a copy that was evicted",
    profile: "edges",
    file: "edge/copies.js",
    find: "this.#deps.actor.forget(copy.state);\n        this.#forget(key);",
    replace: "this.#forget(key);",
  },
  {
    name: "an edge accepts a write before its disk has it",
    profile: "edges",
    file: "edge/outbox.js",
    find: "await this.#deps.records.commit([this.#saving(write)]);\n        }\n        finally {",
    replace: "this.#deps.records.commit([this.#saving(write)]).catch(() => {});\n        }\n        finally {",
  },
  {
    name: "an edge repeats a write at any age",
    profile: "edges",
    file: "edge/delivery.js",
    find: "...(this.#isTooOld(write) ? { onlyCovered: true } : {}),",
    replace: "",
  },
  {
    name: "an edge lets a write go whose answer was lost",
    profile: "edges",
    file: "edge/delivery.js",
    find: "if (error instanceof TransportError || this.#passes(error, write)) {",
    replace:
      "if (error instanceof TransportError) { this.#deps.outbox.removed([write, ...stoodFor]); return true; }\n            if (this.#passes(error, write)) {",
  },
];
