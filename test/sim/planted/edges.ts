/** Planted bugs: what edges would get wrong about time, and about what is discarded. */
import type { Mutation } from "./mutations.ts";

export const edges: readonly Mutation[] = [
  {
    name: "an edge takes its own clock for the hosts'",
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
    file: "edge/edge-node.js",
    find: "known, { source, nowMs: this.#contact.wallMs });",
    replace: "known, { source, nowMs: this.#contact.time.clockMs });",
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
];
