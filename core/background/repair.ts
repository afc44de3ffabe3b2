/**
 * `repair`: makes the partitions of this node equal to those of their other owners now, and checks what lies on the disk
 * before (PROTOCOL 12). One partition after the other: look at every record, mend the damaged ones from the others;
 * then, again one after the other, compare and exchange with each co-owner until both are equal.
 * Invariant: everything goes through the one door, so it may run twice at once, beside requests, or end anywhere.
 */
import type { RepairOptions, RepairProgress } from "../api.ts";
import { dropStrays, fetchAgain } from "../cluster/unreadable.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId, PartitionIndex } from "../identity.ts";
import { keyOfRow, locate, type LocatedKey, rangeOfPartition } from "../placement/locate.ts";
import { reasonOf } from "../tasks.ts";
import { type AntiEntropyDeps, sharedWith } from "./anti-entropy-answers.ts";
import type { AntiEntropy } from "./anti-entropy.ts";

export interface RepairDeps extends AntiEntropyDeps {
  readonly antiEntropy: AntiEntropy;
  /** Mends a damaged record from the copies of the other owners. */
  readonly heal: (located: LocatedKey) => Promise<unknown>;
  /** Names files of the storage that are damaged, where it can tell. */
  readonly damagedFiles: () => Promise<readonly string[]>;
}

/** Writes go on meanwhile, so two copies may differ again as soon as they were equal. */
const triesMax = 20;
const pauseMs = 50;
/** Until a partition's tree was built anew: 1 M keys take 5 s. */
const buildMsMax = 60_000;
/** Of each step's answer; the others are counted. */
const problemsMax = 100;
const pageLimits = { limit: 1_000, maxBytes: 1_048_576 };

/** @throws StoreError `bad-request` for a partition that this node does not own */
export async function* repair(deps: RepairDeps, { partition, signal }: RepairOptions): AsyncGenerator<RepairProgress> {
  const partitions = partitionsOf(deps, partition);
  const run = new RepairRun(deps, partitions.length);
  await run.begin();
  yield run.progress;
  // Before trees are built anew: that mends what memory has, too, and nobody would be told here what had been damaged.
  for (const work of ["check", "makeEqual"] as const) {
    for (const each of partitions) {
      if (signal.aborted || deps.tasks.stopped) return;
      await run[work](each);
      yield run.progress;
    }
  }
}

function partitionsOf({ cluster }: RepairDeps, partition: number | undefined): readonly PartitionIndex[] {
  const owned = cluster.ring.ownedBy(cluster.self);
  if (partition === undefined) return owned;
  const { partitions } = cluster.ring;
  if (partition >= partitions) {
    throw new StoreError("bad-request", `there is no partition ${partition}: the cluster has 0 to ${partitions - 1}`);
  }
  const found = owned.filter((each) => each === partition);
  if (found.length > 0) return found;
  throw new StoreError("bad-request", `this host does not own partition ${partition}: ask one of its owners`);
}

class RepairRun {
  readonly #deps: RepairDeps;
  readonly #total: number;
  readonly #startedMs: number;
  readonly #problems: string[] = [];
  #problemsLeftOut = 0;
  /** Damaged keys: there may be as many as a disk has rows. */
  readonly #located = new Map<Key, LocatedKey>();
  #damagedFiles: readonly string[] = [];
  #checked = 0;
  #done = 0;
  readonly #unequal = new Set<PartitionIndex>();
  readonly #unread = new Set<PartitionIndex>();
  #moved = { keysPushed: 0, keysPulled: 0, bytes: 0 };
  #damaged = { found: 0, healed: 0 };
  /** How long a peer is waited for whose trees are not built, from its first refusal on. */
  readonly #waitsUntilMs = new Map<NodeId, number>();

  constructor(deps: RepairDeps, total: number) {
    this.#deps = deps;
    this.#total = total;
    this.#startedMs = deps.clock.now();
  }

  get progress(): RepairProgress {
    const ms = this.#deps.clock.now() - this.#startedMs;
    const steps = this.#checked + this.#done;
    return {
      checked: this.#checked,
      done: this.#done,
      total: this.#total,
      ...this.#moved,
      damagedFound: this.#damaged.found,
      damagedHealed: this.#damaged.healed,
      damagedFiles: this.#damagedFiles,
      unequal: this.#unequal.size,
      problems: [...this.#problems, ...(this.#problemsLeftOut === 0 ? [] : [`and ${this.#problemsLeftOut} more`])],
      ms,
      msLeft: steps === 0 ? null : Math.round((ms / steps) * (2 * this.#total - steps)),
    };
  }

  async begin(): Promise<void> {
    this.#damagedFiles = await this.#deps.damagedFiles();
    if (this.#damagedFiles.length > 0) this.#deps.replica.forgetCached();
  }

  /** Mends what is damaged; then the tree is built anew from the disk: it may have drifted. */
  async check(partition: PartitionIndex): Promise<void> {
    try {
      await this.#checkRecords(partition);
    } catch (error: unknown) {
      // The others are checked, and made equal, all the same.
      this.#unread.add(partition);
      this.#found(partition, `it could not be read to its end: ${reasonOf(error)}`);
    }
    this.#deps.replica.index.distrust(partition);
    this.#checked += 1;
  }

  async makeEqual(partition: PartitionIndex): Promise<void> {
    const others = this.#deps.cluster.ring.owners(partition).filter((owner) => owner !== this.#deps.cluster.self);
    // Without all of its rows it has no tree to be compared.
    for (const peer of this.#unread.has(partition) ? [] : others) {
      const problem = await this.#makeEqual(partition, peer);
      if (problem !== undefined) this.#found(partition, problem);
    }
    this.#done += 1;
  }

  #found(partition: PartitionIndex, problem: string): void {
    this.#unequal.add(partition);
    if (this.#problems.length < problemsMax) this.#problems.push(`partition ${partition}: ${problem}`);
    else this.#problemsLeftOut += 1;
  }

  async #checkRecords(partition: PartitionIndex): Promise<void> {
    const { cluster, replica, throttle } = this.#deps;
    const { partitions } = cluster.ring;
    const range = rangeOfPartition(partition, partitions);
    for (let gte: Uint8Array | null = range.gte; gte !== null;) {
      await throttle();
      const page = await replica.page({ ...range, gte, ...pageLimits });
      for (const row of page.rows) {
        if (!("corrupt" in row)) continue;
        this.#damaged.found += 1;
        const located = locate(keyOfRow(row.key), partitions);
        if (await replica.noteDamaged(located, `record of ${located.key}`)) this.#damaged.healed += 1;
      }
      // Not even the keys of what is missing are known: the whole partition is copied from the others again.
      this.#damaged.found += page.strays.length;
      const isMended = page.strays.length === 0 || (await dropStrays(this.#deps, page.strays));
      if (page.damaged) fetchAgain(this.#deps, partition);
      if (!isMended) this.#found(partition, "keys in it are damaged, and no other host has copies");
      else if (page.damaged || page.strays.length > 0)
        this.#found(partition, "a part of it cannot be read: it is filled anew");
      gte = page.next;
    }
    const damaged = replica.damaged.keys().map((key) => this.#locate(key));
    for (const located of damaged.filter((each) => each.partition === partition)) {
      await throttle();
      await this.#deps.heal(located);
      if (!replica.damaged.has(located.key)) this.#damaged.healed += 1;
      else this.#found(partition, `too few owners have ${located.key} whole: it stays damaged`);
    }
  }

  #locate(key: Key): LocatedKey {
    const located = this.#located.get(key) ?? locate(key, this.#deps.cluster.ring.partitions);
    this.#located.set(key, located);
    return located;
  }

  /** Undefined: it is. */
  async #makeEqual(partition: PartitionIndex, peer: NodeId): Promise<string | undefined> {
    const { tasks, cluster } = this.#deps;
    if (!cluster.health.isUp(peer)) return `${peer} does not answer`;
    if (!(await this.#isBuilt(partition))) return "its tree could not be built in time";
    if (!sharedWith(this.#deps, peer).partitions.includes(partition)) {
      return `it is being filled, here or at ${peer}, and copied from the other owners thereby`;
    }
    try {
      for (let tries = 1; tries <= triesMax && !tasks.stopped; tries++) {
        const { partitionsDifferent, keysPushed, keysPulled, bytes } = await this.#repairWith(peer, partition);
        const moved = this.#moved;
        this.#moved = {
          keysPushed: moved.keysPushed + keysPushed,
          keysPulled: moved.keysPulled + keysPulled,
          bytes: moved.bytes + bytes,
        };
        if (partitionsDifferent === 0) return undefined;
        if (keysPushed + keysPulled === 0) await tasks.sleep(pauseMs);
      }
      return `it still differs from that of ${peer}: it is being written, or states were refused`;
    } catch (error: unknown) {
      return `${peer}: ${reasonOf(error)}`;
    }
  }

  /** A peer may be building its trees just now: it has begun a repair, too, or has just started. */
  async #repairWith(peer: NodeId, partition: PartitionIndex): ReturnType<AntiEntropy["repairWith"]> {
    const { antiEntropy, tasks, clock } = this.#deps;
    for (;;) {
      try {
        return await antiEntropy.repairWith(peer, partition);
      } catch (error: unknown) {
        const untilMs = this.#waitsUntilMs.get(peer) ?? clock.now() + buildMsMax;
        this.#waitsUntilMs.set(peer, untilMs);
        const mayBeBuilding = error instanceof StoreError && error.code === "not-ready";
        if (!mayBeBuilding || tasks.stopped || clock.now() >= untilMs) throw error;
        await tasks.sleep(pauseMs);
      }
    }
  }

  async #isBuilt(partition: PartitionIndex): Promise<boolean> {
    const { replica, tasks, clock } = this.#deps;
    const deadlineMs = clock.now() + buildMsMax;
    while (!replica.index.isSound(partition)) {
      if (tasks.stopped || clock.now() > deadlineMs) return false;
      await tasks.sleep(pauseMs);
    }
    return true;
  }
}
