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
    name: "an edge accepts a write that a power cut takes back",
    profile: "edges",
    file: "edge/outbox.js",
    find: "...this.#marks.adding(write.sequence)]);",
    replace: '...this.#marks.adding(write.sequence)], { durability: "buffered" });',
  },
  {
    name: "an edge lets a write go whose answer was lost",
    profile: "edges",
    file: "edge/delivery.js",
    find: "if (error instanceof TransportError || this.#passes(error, write)) {",
    replace:
      "if (error instanceof TransportError) { this.#deps.outbox.removed([write, ...stoodFor]); return true; }\n            if (this.#passes(error, write)) {",
  },
  {
    name: "an edge takes its own clock for the hosts'",
    profile: "edges",
    file: "edge/host-time.js",
    find: "const offsetMs = hostMs + tripMs / 2 - this.#clock.wallTime();",
    replace: "const offsetMs = 0;",
  },
  {
    name: "an edge sends what it minted by a wrong clock",
    file: "edge/local.js",
    find: "const row = mintedAnew(write, known, time);",
    replace: "const { row } = write;",
  },
  {
    name: "an edge does not tell what hosts have discarded",
    profile: "edges",
    file: "edge/local.js",
    find: "tellLwwLosers(this.#deps.telemetry, located.key, [known.state, told], merge(known.state, state));",
    replace: "",
  },
  {
    name: "an edge judges expiry by its own clock",
    profile: "edges",
    file: "edge/reads.js",
    find: "known, { source, nowMs: contact.wallMs });",
    replace: "known, { source, nowMs: contact.time.clockMs });",
  },
  {
    name: "a watch at an edge does not look at expiry",
    profile: "edges",
    file: "edge/watching.js",
    find: "expiries.shown(key, read.siblings);",
    replace: "",
  },
  {
    name: "a renewal wins over what it has not seen",
    profile: "edges",
    file: "edge/own-actor.js",
    find: "const stamp = renews",
    replace: "const stamp = renews === undefined",
  },
  {
    name: "an unsent update grows under its dot",
    profile: "documents",
    file: "edge/new-dots.js",
    find: "        ...next,\n        ...seen,",
    replace: "        ...next,\n        event: row.event,\n        value: { ...next.value, dot },\n        ...seen,",
  },
];
