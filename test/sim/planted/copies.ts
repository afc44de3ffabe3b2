/** Planted bugs: what a host's own copies would get wrong: the disk, damage, holdings, filling. */
import type { Mutation } from "./mutations.ts";

export const copies: readonly Mutation[] = [
  {
    name: "an ack does not wait for the batch",
    file: "replica/replica.js",
    find: "await this.#flush(located, batch, options);",
    replace: "void this.#flush(located, batch, options).catch(() => {});",
  },
  {
    name: "the coordinator's copy is only buffered",
    file: "replica/replica.js",
    find: 'after: role === "none" ? before : after, more }, synced);',
    replace: 'after: role === "none" ? before : after, more }, buffered);',
  },
  {
    name: "a group of commits is as durable as its least",
    file: "storage/commit-queue.js",
    find: 'group.some((commit) => commit.durability === "synced") ? "synced" : "buffered"',
    replace: '"buffered"',
  },
  {
    name: "a filling host says that it is complete",
    file: "replica/replica.js",
    find: 'return holding === "complete" && !this.#deps.isConfirmed(partition) ? "filling" : holding;',
    replace: 'return holding === "none" ? "none" : "complete";',
  },
  {
    name: "a host believes its peers about what it holds",
    file: "run.js",
    find: 'if (origin.kind === "joined")\n        holdings.retireAll();',
    replace: "const told = roster.holdings.get(self);\n    if (told !== undefined) holdings.restore(told);",
  },
  {
    name: "a new owner is complete from the start",
    file: "run.js",
    find: 'cluster.claimOwned(origin.kind === "founded" ? "complete" : "filling");',
    replace: 'cluster.claimOwned("complete");',
  },
  {
    name: "filling ends after the first page",
    profile: "moves",
    file: "background/copy-partitions.js",
    find: "...(part.next === undefined ? {} : { next: part.next }),",
    replace: "",
  },
  {
    name: "what is filled is told at the end",
    profile: "moves",
    file: "background/fill.js",
    find: '"tell what is filled", publishIntervalMs',
    replace: '"tell what is filled", 1e9',
  },
  {
    name: "a partition counts as filled whoever failed",
    profile: "moves",
    file: "background/fill.js",
    find: "new Set([...missed, ...partial]).size <= mayMiss &&",
    replace: "",
  },
  {
    name: "a former owner drops what the owners have not confirmed",
    file: "background/hand-off.js",
    find: "isConfirmed(round, each) &&",
    replace: "",
  },
  {
    name: "a former owner does not push what an owner lacks",
    file: "background/cover.js",
    find: "if (await push(deps, owner, lacking))",
    replace: "if (true)",
  },
  {
    name: "a damaged record is served as whole",
    file: "replica/replica.js",
    find: 'return holding === "complete" && this.damaged.has(located.key) ? "filling" : holding;',
    replace: "return holding;",
  },
  {
    name: "checksums are not compared",
    file: "storage/record.js",
    find: "=== stored ? value : undefined",
    replace: "=== stored || true ? value : undefined",
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
    name: "a full disk is taken for a success",
    file: "replica/commits.js",
    find: "this.#doubtful.add(partition);\n            throw error;",
    replace: "this.#doubtful.add(partition);\n            if (!isFull) throw error;",
  },
  {
    name: "nobody stands in for an owner that is away",
    file: "placement/preference-list.js",
    find: "const chosen = candidates.slice(0, count);",
    replace: "const chosen = [];",
  },
  {
    name: "only a write finds out that there is space again",
    profile: "moves",
    file: "background/anti-entropy.js",
    find: "await replica.commits.probe();",
    replace: "return;",
  },
  {
    // A theme draws what it takes: the host learns of it in the middle of a write.
    name: "what was under way on data that is set aside counts as done",
    profile: "moves",
    file: "node.js",
    find: "if (this.#running === running || this.#stopped)",
    replace: "if (true)",
  },
];
