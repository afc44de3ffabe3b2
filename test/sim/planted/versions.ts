/** Planted bugs: what versions, contexts, actors and truncation would get wrong. */
import type { Mutation } from "./mutations.ts";

export const versions: readonly Mutation[] = [
  {
    name: "an actor is used again after a restart (riak_kv#679)",
    file: "run.js",
    find: "new Holdings(roster.cluster.partitions, random)",
    replace:
      "new Holdings(roster.cluster.partitions, { ...random, bytes: () => new Uint8Array(8).fill(transport.self.charCodeAt(1)) })",
  },
  {
    name: "what is delivered twice counts twice",
    file: "causality/version-set.js",
    find: "merged.push(greaterRecord(left, right));",
    replace: "merged.push(left, right);",
  },
  {
    name: "merging takes the other side's values",
    file: "causality/version-set.js",
    find: "const values = mergeValues(a, b);",
    replace: "const values = b.values;",
  },
  {
    name: "a value survives although the other side has seen it",
    file: "causality/version-set.js",
    find: 'return value.kind === "lww" || !covers(otherVector, value.dot);',
    replace: "return true;",
  },
  {
    name: "a receipt's context covers siblings that were not returned",
    file: "coordinate/write.js",
    find: "listed !== undefined || isOnlyValue(state, written)",
    replace: "true",
  },
  {
    name: "a time to live is forgotten",
    file: "coordinate/write.js",
    find: "...(intent.ttlMs === undefined ? {} : { expiresAtMs: deps.clock.wallTime() + intent.ttlMs }),",
    replace: "",
  },
  {
    name: "an expired value is shown",
    file: "causality/version-set.js",
    find: "return value.tombstone || (value.expiresAtMs !== undefined && value.expiresAtMs <= nowMs);",
    replace: "return value.tombstone;",
  },
  {
    name: "a value is forgotten before it has expired",
    profile: "deletes",
    file: "replica/remains.js",
    find: "return Math.max(sinceMs, expiresAtMs) + graceMs;",
    replace: "return sinceMs + graceMs;",
  },
  {
    name: "an expiry is lost in a merge",
    file: "causality/version-set.js",
    find: "merged.push(greaterRecord(left, right));",
    replace: "merged.push((({ expiresAtMs: _lost, ...rest }) => rest)(greaterRecord(left, right)));",
  },
  {
    name: "an expiry is lost where states are stored and sent",
    file: "causality/encoding.js",
    find: "    expiresAtMs: optional(6, varint),\n",
    replace: "",
  },
  {
    name: "truncation takes entries of live values",
    file: "causality/truncation.js",
    find: "entry.actor !== ownActor && !live.has(entry.actor)",
    replace: "entry.actor !== ownActor",
  },
  {
    // Seed clocks-432, no earlier one. A reap ends the actor that the key's clock names: where the clock has lost it, it lives
    // on, and its next event on the key claims those of before. Else the cut is harmless, since the counter goes on; were it
    // the vector's, as in other stores, it would begin anew, and dots would name other values: six seeds show that.
    name: "truncation takes the entry of the own actor",
    profile: "clocks",
    file: "causality/truncation.js",
    find: "entry.actor !== ownActor && !live.has(entry.actor)",
    replace: "!live.has(entry.actor)",
  },
  {
    name: "truncation does not wait for agreement",
    file: "replica/truncator.js",
    find: "entry.timeMs < beforeMs && mayGo(entry)",
    replace: "mayGo(entry)",
  },
  {
    name: "truncation takes an agreement for older than what it knows",
    profile: "clocks",
    file: "replica/truncator.js",
    find: "return touch(known, after, this.#deps.ownTime.nowMs());",
    replace: "return after;",
  },
  {
    name: "truncation does not ask who keeps hints",
    profile: "clocks",
    file: "background/forgetting.js",
    find: "return !beyond.some((bits) => hasBit(bits, partition));",
    replace: "return true;",
  },
  {
    name: "truncation forgets what is in flight",
    profile: "clocks",
    file: "background/forgetting.js",
    find: "const arrivedMs = raised.agreedMs + this.#inFlightMsMax;",
    replace: "const arrivedMs = raised.agreedMs;",
  },
  {
    name: "a forged context is believed",
    file: "causality/context.js",
    find: "if (!named.some((secret) => equalSecrets(sealed.seal, sealOf(sealed.coverage, keyDigest, secret)))) {",
    replace: "if (false) {",
  },
  {
    name: "a write id does not name the event",
    file: "replica/minter.js",
    find: "const named = event.writeId === undefined ?",
    replace: "const named = event.writeId !== null ?",
  },
  {
    name: "an lww write may be earlier than what it has seen",
    file: "replica/minter.js",
    find: "this.#deps.clock.wallTime(), coverage.stamp, highestStamp(held));",
    replace: "this.#deps.clock.wallTime());",
  },
  {
    name: "the greatest lww value loses",
    file: "causality/version-set.js",
    find: "(lwwOrder(value, best) > 0 ? value : best)",
    replace: "(lwwOrder(value, best) < 0 ? value : best)",
  },
  {
    name: "an actor outlives the clock that named it (riak_kv#1094)",
    file: "replica/replica.js",
    find: "if (remains.held.state.vector.some((entry) => entry.actor === actor))",
    replace: "if (false)",
  },
  {
    name: "an actor outlives the hint that was handed on (riak_kv#679, hand-off)",
    profile: "moves",
    file: "replica/replica.js",
    find: "if (delivered.state !== undefined || delivered.isDamaged)\n                this.#deps.holdings.dropActor(located.partition);",
    replace: "",
  },
];
