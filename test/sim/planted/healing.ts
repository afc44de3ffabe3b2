/** Planted bugs: what hints, anti-entropy and reaping would get wrong. */
import type { Mutation } from "./mutations.ts";

export const healing: readonly Mutation[] = [
  {
    name: "a hint is acknowledged and not stored",
    file: "coordinate/serve.js",
    find: "await replica.keepHint(located, hintFor, request.state, request.spare);",
    replace: "",
  },
  {
    name: "a repair writes an older state over a newer one",
    file: "replica/truncator.js",
    find: "const merged = merge(held, state);\n        if (merged === held)\n            return before;",
    replace: "return new CachedState(state, encoded);\n        const merged = held;",
  },
  {
    // A theme draws what it takes: an owner refuses the copy, and then another one loses its own.
    name: "a hint over its bounds is dropped whether or not the other owners have it",
    profile: "moves",
    file: "background/relieve-hints.js",
    find: 'if (!roles.every((role) => role.status === "fulfilled" && role.value === "complete"))',
    replace: "if (false)",
  },
  {
    name: "a hint that W counts on is dropped over its bounds",
    file: "background/relieve-hints.js",
    find: "!hint.isSpare",
    replace: "false",
  },
  {
    name: "a stand-in's new hint replaces the one it has",
    file: "replica/replica.js",
    find: "const merged = owed === undefined ? state : merge(owed, state);",
    replace: "const merged = state;",
  },
  {
    name: "a reap goes on without the members that are away",
    file: "background/reap.js",
    find: "return this.#deps.cluster.ring.members.map(({ id }) => id);",
    replace:
      "return this.#deps.cluster.ring.members.map(({ id }) => id).filter((id) => this.#deps.cluster.health.isUp(id));",
  },
  {
    name: "a forgetting mark without a consent is ignored",
    profile: "deletes",
    file: "cluster/cluster.js",
    find: 'telemetry.event({ kind: "old-data", reason });\n        this.#giveUp();',
    replace: "",
  },
  {
    // A theme draws what it takes: who slept is asked just before its membership ends, and answers within the asker's patience.
    profile: "members",
    name: "what a peer answers is taken in although its membership has ended",
    file: "cluster/still-member.js",
    find: "if (life !== undefined && lifeOnRing(cluster.roster, peer) === life)",
    replace: "if (true)",
  },
  {
    name: "a reap does not compare clocks",
    file: "replica/remains.js",
    find: 'if (!equalBytes(held.digest, digest))\n        return "other-clock";\n    if (logged === undefined || !equalBytes(logged.digest, digest))\n        return "other-clock";',
    replace: 'if (logged === undefined) return "agreed";',
  },
  {
    name: "a reap is carried out whatever has changed since (riak_kv#1777)",
    file: "replica/replica.js",
    find: 'if (verdictOfOwner(remains, digest, { nowMs, graceMs: this.#config.graceMs }) !== "agreed")\n                return false;',
    replace: "",
  },
  {
    name: "a member consents to a reap that was planned on another ring",
    isOnlyTold: true,
    file: "background/reap-answers.js",
    find: "if (view.ring !== cluster.ring.fingerprint)",
    replace: "if (false)",
  },
  {
    name: "a reap is carried out whatever has become of the ring",
    isOnlyTold: true,
    file: "background/reap-answers.js",
    find: "if (!isValid || prepared.ring !== cluster.ring.fingerprint)",
    replace: "if (!isValid)",
  },
  {
    name: "owners are reaped without asking who else holds the key",
    profile: "members",
    file: "replica/remains.js",
    find: 'return held.encoded !== undefined || isDamaged ? "held" : "agreed";',
    replace: 'return "agreed";',
  },
  {
    name: "a leader asks again and again about what was refused",
    profile: "deletes",
    file: "background/reap.js",
    find: "const laterMs = isSame ? 2 * before.waitMs :",
    replace: "const laterMs = isSame ? before.waitMs :",
  },
  {
    name: "a leader asks everybody about what it would not forget itself",
    profile: "deletes",
    file: "background/reap.js",
    find: 'if (!own.includes("agreed"))\n            return own;',
    replace: "",
  },
  {
    name: "a write does not reach the hash tree (riak_kv#473)",
    file: "replica/replica.js",
    find: "this.index.committed(pending);",
    replace: "",
  },
  {
    name: "the hash tree is changed before the disk",
    file: "replica/replica.js",
    find: "this.index.failed(pending, isRefused(error));",
    replace: "this.index.committed(pending);",
  },
  {
    name: "comparing two clocks finds no difference",
    file: "causality/clock.js",
    find: 'if (aAddsNothing)\n        return bAddsNothing ? "equal" : "before";',
    replace: 'if (aAddsNothing || bAddsNothing)\n        return "equal";',
  },
  {
    name: "a hint is forgotten before its owner has it",
    file: "background/deliver-hints.js",
    find: "await hand(deps, target, { key: located.key, state });",
    replace: "void hand(deps, target, { key: located.key, state }).catch(() => {});",
  },
  {
    name: "hints are counted in memory only (riak_core#154)",
    file: "replica/replica.js",
    find: "await Promise.all([this.damaged.open(), this.hints.open(), this.tombstones.open()]);",
    replace: "await Promise.all([this.damaged.open(), this.tombstones.open()]);",
  },
  {
    name: "a hint that grew is deleted with what was delivered",
    file: "replica/hint-store.js",
    find: "if (stored === undefined || !isSame)",
    replace: "if (stored === undefined)",
  },
  {
    name: "anti-entropy is never run",
    file: "background/anti-entropy.js",
    find: 'tasks.every("anti-entropy", this.#intervalMs, () => this.#turn());',
    replace: "",
  },
];
