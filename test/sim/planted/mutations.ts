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
    find: "await this.#flush(located, { operations, committed: more.committed }, durability);",
    replace: "void this.#flush(located, { operations, committed: more.committed }, durability).catch(() => {});",
  },
  {
    name: "the coordinator's copy is only buffered",
    file: "replica/replica.js",
    find: 'after: role === "none" ? before : after, more: hints }, "synced");',
    replace: 'after: role === "none" ? before : after, more: hints }, "buffered");',
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
    find: "await replica.keepHint(located, hintFor, request.state);",
    replace: "",
  },
  {
    name: "a repair writes an older state over a newer one",
    file: "replica/replica.js",
    find: "const merged = merge(before.state, incoming);\n        if (merged === before.state)\n            return before;",
    replace: "return new CachedState(incoming, encoded);\n        const merged = before.state;",
  },
  {
    name: "the write tally counts a stand-in for each owner it stands for",
    file: "quorum/write-tally.js",
    find: "this.#hinted.push({ for: ack.for, at: from });\n            this.#durable.add(from);",
    replace: "this.#hinted.push({ for: ack.for, at: from });\n            this.#durable.add(from).add(ack.for);",
  },
  {
    name: "the read tally takes stand-ins for owners",
    file: "quorum/read-tally.js",
    find: "this.#met ||= this.#ownersReplied.size >= this.#r &&",
    replace: "this.#met ||= this.#replied.size >= this.#r &&",
  },
  {
    name: "one reply less is enough for a read",
    file: "quorum/read-tally.js",
    find: "this.#met ||= this.#ownersReplied.size >= this.#r &&",
    replace: "this.#met ||= this.#ownersReplied.size >= Math.max(1, this.#r - 1) &&",
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
    find: "const operations = [...more.operations];",
    replace: "const operations = [...more.operations];\n        this.#cache.set(located.key, after);",
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
    find: 'if (replicated.outcome.kind === "failed")\n        throw notMet(replicated, intent);',
    replace: "",
  },
  {
    name: "a full disk is taken for a success",
    file: "replica/replica.js",
    find: "throw storeErrorOf(error);\n        }\n        this.#storageIs(",
    replace: "if (!isFull) throw storeErrorOf(error);\n        }\n        this.#storageIs(",
  },
  {
    name: "the last reply of a read wins",
    file: "coordinate/read.js",
    find: "const merged = merge(this.#state, state);",
    replace: "const merged = state;",
  },
  {
    name: "a degraded read is not called so",
    file: "coordinate/read.js",
    find: "degraded: true, completeOthers",
    replace: "degraded: false, completeOthers",
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
    file: "cluster/cluster.js",
    find: "if (foreign)",
    replace: "if (false)",
  },
  {
    name: "views do not meet before data counts",
    file: "cluster/exchange.js",
    find: "if (!agrees())",
    replace: "if (false)",
  },
];
