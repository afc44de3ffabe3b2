/**
 * Finds and mends what replicas missed, without anybody reading it (paper 4.7, PROTOCOL 8). One round with one peer:
 *
 *   1  digest of all partitions that both hold     <- the same: done. Otherwise its groups of partitions
 *   2  the partitions of the groups that differ    <- the leaves of those that differ
 *   3  the keys of the leaves that differ          <- the clocks of the keys that it has otherwise
 *   4  states that it lacks, keys that we lack     <- their states
 *
 * So a difference of one key takes 4 round trips, and an idle round a digest. What is pulled or pushed is a merge through
 * the one door, so a round that is cut off anywhere, or that races with writes, has done no harm.
 * Invariants: nothing is compared with a peer that sees another ring; a round moves at most so many keys and bytes.
 */
import { toHex } from "../bytes/hex.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { StoreError } from "../errors.ts";
import { SharedTrees } from "../merkle/shared-trees.ts";
import { partitionDiff, treeDiff } from "../merkle/tree-diff.ts";
import { locateRow } from "../placement/locate.ts";
import type { Stop } from "../ports.ts";
import { reasonOf } from "../tasks.ts";
import type { StoreEvent } from "../telemetry.ts";
import { type AntiEntropyDeps, atRest, serveAntiEntropy, sharedWith } from "./anti-entropy-answers.ts";
import { type Cost, PeerRound } from "./anti-entropy-round.ts";
import { Retries } from "./retries.ts";
import { Steps } from "./steps.ts";

/** What one round, or the repair of one partition, did. */
export type Round = Omit<Extract<StoreEvent, { kind: "anti-entropy" }>, "kind" | "peer">;

const limits = {
  /** Their leaves are 512 bytes each: 512 KiB an answer. All partitions, at Q = 1024; 20 ms of work on both sides. */
  partitionsMax: 1_024,
  /** Beside clients: a millisecond. */
  partitionsBesideClients: 64,
  /** Each is a read of the disk on both sides. */
  leavesMax: 2_048,
};

/** A node that has much to mend goes on at once, but after so many rounds somebody else has a turn. */
const roundsInARow = 16;

/** How soon a partition that has to be scanned anew is. */
const buildIntervalMs = 250;
/** Of one that the disk did not let be read: most often it never will, and each try reads it up to there. */
const unreadRetryMs = { first: buildIntervalMs, max: 60_000 };
/** Of a step: a page of a scan. Requests go between two of them. */
const pageShare = 1 / 6;

type Outcome = "equal" | "repaired" | "cut" | "failed";

/** Since the start. */
export interface Totals {
  readonly rounds: number;
  readonly failed: number;
  readonly keysPushed: number;
  readonly keysPulled: number;
  readonly bytes: number;
  /** `atMs` by `clock.now()`. */
  readonly last: { readonly peer: NodeId; readonly atMs: number; readonly outcome: Outcome } | undefined;
}

export class AntiEntropy {
  #totals: Totals = { rounds: 0, failed: 0, keysPushed: 0, keysPulled: 0, bytes: 0, last: undefined };
  readonly #deps: AntiEntropyDeps;
  readonly #intervalMs: number;
  /** `clock.now()` of the last round with each peer. */
  readonly #asked = new Map<NodeId, number>();
  readonly #scanAgain: Retries<PartitionIndex>;

  constructor(deps: AntiEntropyDeps, options: { readonly antiEntropyIntervalMs: number }) {
    this.#deps = deps;
    this.#intervalMs = options.antiEntropyIntervalMs;
    this.#scanAgain = new Retries(deps.clock, unreadRetryMs);
    serveAntiEntropy(deps);
  }

  /** Keeps the trees sound and holds rounds, until the node stops. */
  start(): Stop {
    const { tasks, transport } = this.#deps;
    tasks.every("build Merkle trees", buildIntervalMs, () => (this.#isAtRest ? undefined : this.#build()));
    tasks.every("anti-entropy", this.#intervalMs, () => this.#turn());
    // Who was away has missed the most.
    return transport.onPeerChange((peer, connected) => {
      if (connected) this.#asked.delete(peer);
    });
  }

  get totals(): Totals {
    return this.#totals;
  }

  /** Compares with one peer and mends the differences, as far as one round goes. */
  async round(peer: NodeId): Promise<Round> {
    const exchange = new PeerRound(this.#deps, peer);
    return this.#told(peer, exchange, () => this.#hold(exchange, peer));
  }

  /** Compares one partition, and mends what differs in it: a round of its own. */
  async repairWith(peer: NodeId, partition: PartitionIndex): Promise<Round> {
    const { replica, ownTime, agreements } = this.#deps;
    const exchange = new PeerRound(this.#deps, peer);
    const atMs = ownTime.nowMs();
    const [quiet] = atRest(this.#deps, [partition]);
    const leaves = await partitionDiff(new SharedTrees(replica.index.trees, [partition]), partition, exchange);
    if (leaves === "not-shared") throw new StoreError("not-ready", "the peer does not hold it completely now");
    if (leaves.length === 0 && quiet !== undefined) agreements.note(peer, [quiet], atMs);
    return this.#told(peer, exchange, async () => ({
      partitions: 1,
      partitionsDifferent: Math.min(leaves.length, 1),
      cut: await exchange.mend(leaves),
    }));
  }

  /** However it ends, what it took is in the totals and in an event, so that status and metrics cannot disagree. */
  async #told(peer: NodeId, exchange: PeerRound, work: () => Promise<Omit<Round, keyof Cost>>): Promise<Round> {
    const { clock, telemetry } = this.#deps;
    let outcome: Outcome = "failed";
    try {
      const found = await work();
      outcome = found.cut ? "cut" : found.partitionsDifferent > 0 ? "repaired" : "equal";
      const round = { ...exchange.counts, ...found };
      telemetry.event({ kind: "anti-entropy", peer, ...round });
      return round;
    } catch (error: unknown) {
      telemetry.event({ kind: "anti-entropy-failed", peer, reason: reasonOf(error), ...exchange.counts });
      throw error;
    } finally {
      const { rounds, failed, keysPushed, keysPulled, bytes } = this.#totals;
      const { counts } = exchange;
      this.#totals = {
        rounds: rounds + 1,
        failed: failed + Number(outcome === "failed"),
        keysPushed: keysPushed + counts.keysPushed,
        keysPulled: keysPulled + counts.keysPulled,
        bytes: bytes + counts.bytes,
        last: { peer, atMs: clock.now(), outcome },
      };
    }
  }

  async #hold(exchange: PeerRound, peer: NodeId): Promise<Omit<Round, keyof Cost>> {
    const { clock, ownTime, agreements, cluster } = this.#deps;
    const atMs = ownTime.nowMs();
    this.#asked.set(peer, clock.now());
    const shared = sharedWith(this.#deps, peer);
    const ring = cluster.ring.fingerprint;
    const quiet = new Set(atRest(this.#deps, shared.partitions));
    const { leavesMax, partitionsBesideClients } = limits;
    const partitionsMax = this.#deps.servesClients() ? partitionsBesideClients : limits.partitionsMax;
    const found = await treeDiff(shared, exchange, { partitionsMax, leavesMax }, (items) => this.#shuffled(items));
    // The peer refuses another ring, and if ours changed since, what is shared was another question.
    if (cluster.ring.fingerprint === ring) {
      const equal = found.equal.filter((partition) => quiet.has(partition));
      agreements.note(peer, equal, atMs);
    }
    const isCut = await exchange.mend(found.leaves);
    return {
      partitions: shared.partitions.length,
      partitionsDifferent: found.different.length,
      cut: found.cut || isCut,
    };
  }

  /** All is built, and the disk takes writes. */
  get #isAtRest(): boolean {
    const { commits, index } = this.#deps.replica;
    return index.isBuilt && commits.state === "ok";
  }

  async #build(): Promise<void> {
    const { replica, tasks, clock, telemetry, throttle } = this.#deps;
    // While writes fail, each spoils a tree again, and what it left behind may not show yet. (Refused ones leave nothing.)
    const isStopped = (): boolean => tasks.stopped || replica.commits.doubtful.size > 0;
    if (tasks.stopped) return;
    // Where nothing else is written, only this finds out that the disk takes writes again.
    if (replica.commits.state !== "ok") await replica.commits.probe();
    const { index } = replica;
    const isDue = (each: PartitionIndex): boolean => this.#scanAgain.isDue(each, replica.holdingOf(each));
    if (!index.unsound.some(isDue) || isStopped()) return;
    const startedMs = clock.now();
    const steps = new Steps({ turn: throttle });
    const ofStep = async (): Promise<void> => {
      await steps.turn();
      steps.did(pageShare);
    };
    const met = (row: Uint8Array): Promise<void> => this.#mend(row);
    const partitions = await index.build({ isStopped, throttle: ofStep, met, isDue });
    const ms = clock.now() - startedMs;
    if (partitions > 0) telemetry.event({ kind: "trees-built", partitions, keys: index.keys, ms });
    this.#noteUnread();
  }

  #noteUnread(): void {
    const { replica, telemetry } = this.#deps;
    const { unsound, unread } = replica.index;
    this.#scanAgain.keepOnly(unsound);
    for (const each of unread.keys()) this.#scanAgain.failed(each, replica.holdingOf(each), { gotOn: false });
    const [first] = unread;
    if (first === undefined) return;
    const reason = `${unread.size} partitions cannot be read to their end, as ${first[0]}: ${reasonOf(first[1])}`;
    telemetry.event({ kind: "task-failed", task: "build Merkle trees", reason });
  }

  /** What memory has of a row that rotted hides the damage: nothing that is read from there, or pushed here, would show it. */
  async #mend(row: Uint8Array): Promise<void> {
    const { replica } = this.#deps;
    const located = locateRow(row, replica.index.trees.partitions);
    if (located === undefined || replica.readInMemory(located) === undefined) return;
    await replica.noteDamaged(located, `row ${toHex(row)} met as its tree was built`);
  }

  async #turn(): Promise<void> {
    const peer = this.#choose();
    if (peer === undefined) return;
    for (let i = 0; i < roundsInARow && !this.#deps.tasks.stopped; i++) {
      const round = await this.round(peer).catch(() => undefined);
      if (!round?.cut || round.keysPushed + round.keysPulled === 0) break;
    }
  }

  /** The peer whose turn it is: a random one of those that waited longest, so that all are met in bounded time. */
  #choose(): NodeId | undefined {
    const { cluster, sendsHintsTo } = this.#deps;
    if (!cluster.isMember(cluster.self)) return undefined;
    const candidates = cluster.ring.members
      .map(({ id }) => id)
      .filter((id) => id !== cluster.self && cluster.isMember(id) && cluster.health.isUp(id) && !sendsHintsTo(id));
    const inTurn = this.#shuffled(candidates).toSorted((a, b) => this.#askedMs(a) - this.#askedMs(b));
    return inTurn.find((id) => sharedWith(this.#deps, id).partitions.length > 0);
  }

  #askedMs(peer: NodeId): number {
    return this.#asked.get(peer) ?? -Infinity;
  }

  /** Fisher and Yates. */
  #shuffled<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = Math.floor(this.#deps.random.next() * (i + 1));
      [shuffled[i], shuffled[j]] = [shuffled[j]!, shuffled[i]!];
    }
    return shuffled;
  }
}
