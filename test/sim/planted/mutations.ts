/**
 * Bugs that stores of this family have had, or that a hand could slip into: each is one place of the built core, found
 * by its text and replaced. A simulator that does not find one is blind there.
 */

export interface Mutation {
  readonly name: string;
  /** In the built core. */
  readonly file: string;
  /** Occurs exactly once. */
  readonly find: string;
  readonly replace: string;
}

export const mutations: readonly Mutation[] = [
  {
    name: "an actor is used again after a restart (riak_kv#679)",
    file: "node.js",
    find: "new Holdings(roster.cluster.partitions, random)",
    replace:
      "new Holdings(roster.cluster.partitions, { ...random, bytes: () => new Uint8Array(8).fill(transport.self.charCodeAt(1)) })",
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
    name: "an ack does not wait for the batch",
    file: "replica/replica.js",
    find: "await this.#flush(located, batch, durability);",
    replace: "void this.#flush(located, batch, durability).catch(() => {});",
  },
  {
    name: "the coordinator's copy is only buffered",
    file: "replica/replica.js",
    find: 'after: role === "none" ? before : after, more }, "synced");',
    replace: 'after: role === "none" ? before : after, more }, "buffered");',
  },
  {
    name: "a group of commits is as durable as its least",
    file: "storage/commit-queue.js",
    find: 'group.some((commit) => commit.durability === "synced") ? "synced" : "buffered"',
    replace: '"buffered"',
  },
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
    name: "a filling host says that it is complete",
    file: "replica/replica.js",
    find: 'return holding === "complete" && !this.#deps.isConfirmed(partition) ? "filling" : holding;',
    replace: 'return holding === "none" ? "none" : "complete";',
  },
  {
    name: "a host believes its peers about what it holds",
    file: "node.js",
    find: 'if (origin === "returned" && ownHoldings !== undefined)',
    replace: "if (ownHoldings !== undefined)",
  },
  {
    name: "a new owner is complete from the start",
    file: "node.js",
    find: 'cluster.claimOwned(origin === "founded" ? "complete" : "filling");',
    replace: 'cluster.claimOwned("complete");',
  },
  {
    name: "filling ends after the first page",
    file: "background/fill.js",
    find: "after = page.next;",
    replace: "after = undefined;",
  },
  {
    name: "a partition counts as filled whoever failed",
    file: "background/fill.js",
    find: "if (missed > mayMissOne ||",
    replace: "if (",
  },
  {
    name: "a damaged record is served as whole",
    file: "replica/replica.js",
    find: 'return holding === "complete" && this.#damaged.has(located.key) ? "filling" : holding;',
    replace: "return holding;",
  },
  {
    name: "checksums are not compared",
    file: "storage/record.js",
    find: "=== stored ? value : undefined",
    replace: "=== stored || true ? value : undefined",
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
    name: "truncation takes entries of live values",
    file: "causality/truncation.js",
    find: "entry.actor !== ownActor && !live.has(entry.actor)",
    replace: "entry.actor !== ownActor",
  },
  {
    // Rare: an owner must refuse the copy, and then another one lose its own. A story tells of it.
    name: "a hint over its bounds is dropped whether or not the other owners have it",
    file: "background/relieve-hints.js",
    find: 'if (!roles.every((role) => role.status === "fulfilled" && role.value === "complete"))',
    replace: "if (false)",
  },
  {
    name: "a hint that W counts on is dropped over its bounds",
    file: "background/relieve-hints.js",
    find: "others.length === 0 || !hint.isSpare",
    replace: "others.length === 0",
  },
  {
    name: "truncation does not wait for agreement",
    file: "replica/truncator.js",
    find: "entry.timeMs < beforeMs && mayGo(entry)",
    replace: "mayGo(entry)",
  },
  {
    name: "truncation takes an agreement for older than what it knows",
    file: "replica/truncator.js",
    find: "return touch(known, after, this.#deps.ownTime.nowMs());",
    replace: "return after;",
  },
  {
    name: "truncation does not ask who keeps hints",
    file: "background/agreements.js",
    find: "return !beyond.some((bits) => hasBit(bits, partition));",
    replace: "return true;",
  },
  {
    name: "truncation forgets what is in flight",
    file: "background/agreements.js",
    find: "const limitMs = askedMs - inFlightMsMax;",
    replace: "const limitMs = askedMs;",
  },
  {
    name: "truncation takes the own actor",
    file: "causality/truncation.js",
    find: "entry.actor !== ownActor && !live.has(entry.actor)",
    replace: "!live.has(entry.actor)",
  },
  {
    name: "a forged context is believed",
    file: "causality/context.js",
    find: "if (!named.some((secret) => equalSecrets(sealed.seal, sealOf(sealed.coverage, keyDigest, secret)))) {",
    replace: "if (false) {",
  },
  {
    name: "memory is changed before the disk",
    file: "replica/replica.js",
    find: "const pending = this.index.changing(located, before, after);",
    replace:
      "const pending = this.index.changing(located, before, after);\n        this.#cache.set(located.key, after);",
  },
  {
    name: "work on one key is not serial",
    file: "replica/key-queue.js",
    find: "const done = before === undefined ? work() : before.then(work, work);",
    replace: "const done = work();",
  },
  {
    name: "a write id does not name the event",
    file: "replica/minter.js",
    find: "const named = event.writeId === undefined ?",
    replace: "const named = event.writeId !== null ?",
  },
  {
    name: "an ambiguous silence is taken for a refusal",
    file: "coordinate/forward.js",
    find: 'return error.kind === "not-sent";',
    replace: "return true;",
  },
  {
    name: "a write that met no quorum is acknowledged",
    file: "coordinate/write.js",
    find: 'if (replicated.outcome.kind === "failed")\n        throw notMet(deps, replicated, { intent, deadlineMs });',
    replace: "",
  },
  {
    name: "a full disk is taken for a success",
    file: "replica/commits.js",
    find: "throw error;\n        }\n        this.#turn(",
    replace: "if (!isFull) throw error;\n        }\n        this.#turn(",
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
    name: "a stand-in's new hint replaces the one it has",
    file: "replica/replica.js",
    find: "const merged = before?.state === undefined ? state : merge(decodeVersioned(before.state), state);",
    replace: "const merged = state;",
  },
  {
    name: "an old copy of the disk is not noticed",
    file: "cluster/own-record.js",
    find: "if (strange.length > 0)",
    replace: "if (false)",
  },
  {
    name: "views do not meet before data counts",
    file: "cluster/exchange.js",
    find: "if (!this.hasMet(from, view))",
    replace: "if (false)",
  },
  {
    name: "a reap goes on without the members that are away",
    file: "background/reap.js",
    find: "return this.#deps.cluster.ring.members.map(({ id }) => id);",
    replace:
      "return this.#deps.cluster.ring.members.map(({ id }) => id).filter((id) => this.#deps.cluster.health.isUp(id));",
  },
  {
    name: "a reap mark without a consent is ignored",
    file: "cluster/cluster.js",
    find: "if (!hasMetRing)\n            return this.#giveUp();",
    replace: "",
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
    name: "owners are reaped without asking who else holds the key",
    file: "replica/remains.js",
    find: 'return held.encoded !== undefined || isDamaged ? "held" : "agreed";',
    replace: 'return "agreed";',
  },
  {
    name: "a leader asks everybody about what it would not forget itself",
    file: "background/reap.js",
    find: 'if (!own.includes("agreed"))\n            return own;',
    replace: "",
  },
  {
    name: "an actor outlives the clock that named it (riak_kv#1094)",
    file: "replica/replica.js",
    find: "if (remains.held.state.vector.some((entry) => entry.actor === actor))",
    replace: "if (false)",
  },
  {
    name: "an actor outlives the hint that was handed on (riak_kv#679, hand-off)",
    file: "replica/replica.js",
    find: "if (delivered.state !== undefined)\n                this.#deps.holdings.dropActor(located.partition);",
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
    find: "this.index.failed(pending);",
    replace: "this.index.committed(pending);",
  },
  {
    name: "comparing two clocks finds no difference",
    file: "causality/clock.js",
    find: "if (aAddsNothing)",
    replace: "if (aAddsNothing || bAddsNothing)",
  },
  {
    name: "a hint is forgotten before its owner has it",
    file: "background/deliver-hints.js",
    find: "await Promise.all(receivers.map((node) => hand(deps, node, { key: located.key, state })));",
    replace:
      "void Promise.all(receivers.map((node) => hand(deps, node, { key: located.key, state }))).catch(() => {});",
  },
  {
    name: "hints are counted in memory only (riak_core#154)",
    file: "replica/replica.js",
    find: "await Promise.all([this.hints.open(), this.#damaged.open(), this.tombstones.open()]);",
    replace: "await Promise.all([this.#damaged.open(), this.tombstones.open()]);",
  },
  {
    name: "a hint that grew is deleted with what was delivered",
    file: "replica/hint-store.js",
    find: "if (stored === undefined || !isSame)",
    replace: "if (stored === undefined)",
  },
  {
    name: "nobody stands in for an owner that is away",
    file: "placement/preference-list.js",
    find: "const chosen = candidates.slice(0, count);",
    replace: "const chosen = [];",
  },
  {
    name: "the lower incarnation of a member wins (memberlist#311)",
    file: "membership/roster.js",
    find: "        return a.incarnation > b.incarnation ? a : b;\n    // One node never",
    replace: "        return a.incarnation < b.incarnation ? a : b;\n    // One node never",
  },
  {
    name: "what another directory says of the own holdings stands",
    file: "cluster/cluster.js",
    find: "if (said !== undefined)",
    replace: "if (false)",
  },
  {
    name: "a frame that cannot be read counts as a bug of who receives it",
    file: "rpc/rpc.js",
    find: "if (error instanceof DecodeError) {",
    replace: "if (false) {",
  },
  {
    name: "membership is exchanged with each peer once only",
    file: "cluster/exchange.js",
    find: "this.#running.delete(peer);",
    replace: "",
  },
  {
    name: "only a write finds out that there is space again",
    file: "background/anti-entropy.js",
    find: "await replica.probeStorage();",
    replace: "return;",
  },
  {
    name: "anti-entropy is never run",
    file: "background/anti-entropy.js",
    find: 'tasks.every("anti-entropy", this.#intervalMs, () => this.#turn());',
    replace: "",
  },
];
