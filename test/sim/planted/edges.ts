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
    find: "({ ...mintedAnew(write, known, time), sentMs: time.wallMs })",
    replace: "({ ...write.row, sentMs: time.wallMs })",
  },
  {
    name: "an edge does not tell what hosts have discarded",
    file: "edge/local.js",
    find: "tellLwwLosers(this.#deps.telemetry, located.key, [known.state, told], merge(known.state, state));",
    replace: "",
  },
  {
    name: "an edge judges expiry by its own clock",
    file: "edge/reads.js",
    find: "known, { source, nowMs: contact.wallMs });",
    replace: "known, { source, nowMs: contact.time.clockMs });",
  },
  {
    name: "a watch at an edge does not look at expiry",
    file: "edge/watching.js",
    find: "expiries.shown(key, read.siblings);",
    replace: "",
  },
  {
    name: "a renewal wins over what it has not seen",
    file: "edge/own-actor.js",
    find: "const stamp = renews",
    replace: "const stamp = renews === undefined",
  },
  {
    name: "an unsent update grows under its dot",
    file: "edge/new-dots.js",
    find: "        ...next,\n        ...seen,",
    replace: "        ...next,\n        event: row.event,\n        value: { ...next.value, dot },\n        ...seen,",
  },
  {
    name: "an edge refreshes its membership only when it is told that it is stale",
    file: "edge/contact.js",
    find: "wasStale || clock.now() - this.#refreshedMs >= this.#config.refreshIntervalMs",
    replace: "wasStale",
    isOnlyTold: true,
  },
  {
    name: "an edge does not heed what ring a host is on",
    file: "edge/contact.js",
    find: "if (answer.ring !== undefined && answer.ring !== this.#ring?.fingerprint) {",
    replace: "if (false) {",
    isOnlyTold: true,
  },
  {
    name: "an edge never lets go of what hosts have forgotten",
    file: "edge/local.js",
    find: "if (!isQuorum || isOvertaken)",
    replace: "if (true)",
    isOnlyTold: true,
  },
  {
    name: "an edge repeats a write however long ago it was sent",
    file: "edge/delivery.js",
    find: "return mayBeOut && (ageMs > contact.periods.graceMs / 2 || ageMs < -this.#config.clockDriftMaxMs);",
    replace: "return false;",
    isOnlyTold: true,
  },
];
