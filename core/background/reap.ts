/**
 * Forgets deleted keys, with the consent of every member (PROTOCOL 10). The first owner of a partition leads:
 *
 *   1  its keys that are deleted long enough, with their clocks, to every member,    <- a verdict on each, durably
 *      itself first
 *   2  those on which all agreed, to every owner                                    <- how many were forgotten
 *
 * Whoever is away has not agreed, so nothing is forgotten meanwhile. Nothing is undone either: what was prepared and not
 * committed lapses by itself. Two leaders, which rings that differ may give, hold each other up and do no harm.
 */
import { bitmapOf } from "../bytes/bitmap.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { Key, NodeId, PartitionIndex } from "../identity.ts";
import { foundingsOf, latestMark, ringName } from "../membership/forgetting-marks.ts";
import { forgettingMarkMax } from "../membership/forgetting-marks-encoding.ts";
import type { Random, Transport } from "../ports.ts";
import { forgettableAtMs, type Verdict, verdicts } from "../replica/remains.ts";
import { inFlightMs } from "../replica/stillness.ts";
import type { Forgettable } from "../replica/tombstone-log.ts";
import { call, methods, type RpcServer } from "../rpc/rpc.ts";
import { inLanes, reasonOf, type Tasks } from "../tasks.ts";
import type { Admission } from "./admission.ts";
import { type PrepareReap, type ReapAnswerDeps, ReapAnswers } from "./reap-answers.ts";

export interface ReapDeps extends ReapAnswerDeps {
  readonly admission: Admission;
  readonly server: RpcServer;
  readonly transport: Transport;
  readonly random: Random;
  readonly tasks: Tasks;
}

/** Partitions at once: a reap is a few round trips and flushes one after the other, and what waits at once is flushed at once. */
const lanes = 4;

/** Marks that are wanted for long clocks are looked after so often. */
const raiseIntervalMs = 1_000;

/**
 * A partition of which nothing was refused is gone through again after this part of the grace period at the earliest: where
 * keys expire all the time, its log is not read for each of them, and many go in one reap. (With a tenth, a million sessions
 * of which a thousand a second expire, and a grace period of 30 s, reading the log took most of two processors.)
 */
const pauseShare = 0.5;

/** Attempts that begin with the same mark draw their own from so many: a consent to one is not one to another. */
const marksPerAttempt = 2 ** 20;

/**
 * Keys that not all agreed on are asked about again when nothing from before a start can be on its way any more, then ever
 * more seldom, up to this (or the grace period, where that is longer): an owner whose clock is wrong, or a record that nobody
 * can mend, lasts.
 */
const againMsMax = 3_600_000;

/** The last answer about a key with this clock, and by `clock.now()` when it is asked about again. */
interface Refused {
  readonly verdict: Verdict;
  readonly digest: Uint8Array;
  readonly waitMs: number;
  readonly untilMs: number;
}

/** What a pass over a partition found in the way. */
interface Waiting {
  /** By `clock.now()`: before this there is nothing to do. */
  readonly untilMs: number;
  /** In words, and of how many. */
  readonly why: ReadonlyMap<string, number>;
  readonly refused: ReadonlyMap<Key, Refused>;
  /** Digest of the roster: once it changes, so may every answer. */
  readonly under: Uint8Array;
}

export class Reaper {
  readonly #deps: ReapDeps;
  readonly #answers: ReapAnswers;
  readonly #intervalMs: number;
  readonly #waiting = new Map<PartitionIndex, Waiting>();

  constructor(deps: ReapDeps) {
    this.#deps = deps;
    this.#answers = new ReapAnswers(deps);
    this.#answers.serve(deps.server);
    // Grace periods of seconds, as in tests, want passes of less.
    this.#intervalMs = Math.min(deps.config.reapIntervalMs, deps.config.graceMs / 20);
  }

  start(): void {
    const { config, tasks, replica } = this.#deps;
    tasks.every("notice pauses", Math.min(this.#intervalMs, inFlightMs(config) / 4), () => replica.stillness.sweep());
    tasks.every("reap", this.#intervalMs, () => (this.#due().next().done ? undefined : this.#pass()));
    tasks.every("raise forgetting marks", raiseIntervalMs, () => {
      const due = this.#deps.forgetting.due();
      return due.length === 0 ? undefined : this.#raiseMarks(due);
    });
  }

  /** Tombstones and expiring values held here, and in words what those led from here wait for. */
  status(): { readonly waiting: number; readonly why: readonly string[] } {
    const waiting = this.#deps.replica.tombstones.size;
    if (waiting === 0) return { waiting, why: [] };
    const away = this.#away();
    const sums = new Map<string, number>();
    for (const { why } of this.#waiting.values()) for (const [words, count] of why) add(sums, words, count);
    return {
      waiting,
      why: [
        ...(away.length === 0 ? [] : [`a member is away, and all must agree: ${away.join(", ")}`]),
        ...[...sums].map(([words, count]) => `${count} ${words}`),
      ],
    };
  }

  async #pass(): Promise<void> {
    const { tasks } = this.#deps;
    const due = this.#due();
    const lane = async (isFailed: () => boolean): Promise<void> => {
      for (const partition of due) {
        if (isFailed() || tasks.stopped || this.#away().length > 0) return;
        this.#waiting.set(partition, await this.#reapPartition(partition));
      }
    };
    await inLanes(Array.from({ length: lanes }, () => lane));
  }

  /** Partitions led from here in which there may be something to forget. */
  *#due(): Generator<PartitionIndex> {
    const { cluster, replica, clock } = this.#deps;
    for (const partition of cluster.ring.ownedBy(cluster.self)) {
      if (cluster.ring.owners(partition)[0] !== cluster.self || replica.tombstones.countIn(partition) === 0) {
        this.#waiting.delete(partition);
      } else if ((this.#waiting.get(partition)?.untilMs ?? 0) <= clock.now()) yield partition;
    }
  }

  /** Reaps of no keys, where clocks are too long: what is cut from these is forgotten under a mark as well. */
  async #raiseMarks(due: readonly PartitionIndex[]): Promise<void> {
    const { admission, cluster, forgetting, tasks } = this.#deps;
    for (const partition of due) {
      if (cluster.ring.owners(partition)[0] !== cluster.self) continue;
      if (tasks.stopped || this.#away().length > 0) return;
      await admission.turn();
      forgetting.tried(partition, { isRaised: await this.#raiseMark(partition) });
    }
  }

  async #raiseMark(partition: PartitionIndex): Promise<boolean> {
    try {
      return (await this.#reap(partition, [])).includes("agreed");
    } catch (error: unknown) {
      this.#refused(partition, reasonOf(error));
      return false;
    }
  }

  #refused(partition: number, reason: string): void {
    this.#deps.telemetry.event({ kind: "reap-refused", partition, reason });
  }

  #members(): NodeId[] {
    return this.#deps.cluster.ring.members.map(({ id }) => id);
  }

  #away(): NodeId[] {
    return this.#members().filter((id) => !this.#deps.cluster.health.isUp(id));
  }

  async #reapPartition(partition: PartitionIndex): Promise<Waiting> {
    const { admission, cluster, replica, clock, config, tasks } = this.#deps;
    const why = new Map<string, number>();
    const before = this.#waiting.get(partition);
    const under = cluster.digest;
    const known = before?.under === under ? before.refused : undefined;
    const refused = new Map<Key, Refused>();
    const refuse = (key: Key, refusal: Refused): void => {
      add(why, reasons[refusal.verdict], 1);
      refused.set(key, refusal);
      untilMs = Math.min(untilMs, refusal.untilMs);
    };
    // What is deleted from now on is not old enough before.
    let untilMs = clock.now() + config.graceMs;
    let after: Uint8Array | null | undefined;
    const limits = { limit: config.reapKeysMax, maxBytes: config.reapBytesMax };
    try {
      while (after !== null && !tasks.stopped) {
        await admission.turn();
        const page = await replica.tombstones.page(partition, { ...limits, after });
        const { old, young, dueInMs } = await this.#sorted(page.rows);
        untilMs = Math.min(untilMs, clock.now() + dueInMs);
        if (young > 0) add(why, reasons["too-young"], young);
        const asked = old.filter(({ located: { key }, digest }) => {
          const last = known?.get(key);
          if (last === undefined || last.untilMs <= clock.now() || !equalBytes(last.digest, digest)) return true;
          refuse(key, last);
          return false;
        });
        const found = asked.length === 0 ? [] : await this.#reap(partition, asked);
        found.forEach((verdict, i) => {
          const { located, digest } = asked[i]!;
          if (verdict !== "agreed") refuse(located.key, this.#refusal(verdict, digest, known?.get(located.key)));
        });
        after = page.next;
      }
      // After a start what was sent before may be on its way for so long, and nobody consents until it is not.
      const pauseMs = refused.size > 0 ? inFlightMs(config) : config.graceMs * pauseShare;
      untilMs = Math.max(untilMs, clock.now() + pauseMs);
    } catch (error: unknown) {
      const reason = reasonOf(error);
      this.#refused(partition, reason);
      add(why, `partitions: last try failed: ${reason}`, 1);
      untilMs = clock.now() + this.#intervalMs;
    }
    return { untilMs, why, refused, under };
  }

  #refusal(verdict: Verdict, digest: Uint8Array, before: Refused | undefined): Refused {
    const { clock, config } = this.#deps;
    const isSame = before !== undefined && equalBytes(before.digest, digest);
    const laterMs = isSame ? 2 * before.waitMs : inFlightMs(config);
    // Who holds what it owns no more says so in the roster: until that changes it still does.
    const waitMs = verdict === "held" ? Infinity : Math.min(laterMs, Math.max(config.graceMs, againMsMax));
    return { verdict, digest, waitMs, untilMs: clock.now() + waitMs };
  }

  /** Rows old enough here, and how long the youngest of the others has to wait at least. */
  async #sorted(
    rows: readonly Forgettable[],
  ): Promise<{ readonly old: readonly Forgettable[]; readonly young: number; readonly dueInMs: number }> {
    const { replica, clock, config } = this.#deps;
    const nowMs = clock.wallTime();
    // Whom a clock that was set back would make wait longer begins anew.
    await Promise.all(rows.flatMap(({ sinceMs, located }) => (sinceMs > nowMs ? [replica.examine(located)] : [])));
    const isOld = (row: Forgettable): boolean => forgettableAtMs(row, config.graceMs) <= nowMs;
    const old = rows.filter(isOld);
    const young = rows.filter((row) => !isOld(row));
    const dueInMs = Math.min(...young.map((row) => forgettableAtMs(row, config.graceMs) - nowMs));
    return { old, young: young.length, dueInMs };
  }

  /** The verdict of all members on each key, or one where there is none; those agreed on are forgotten, under a new mark. */
  async #reap(partition: PartitionIndex, rows: readonly Forgettable[]): Promise<Verdict[]> {
    const { cluster, exchange, random } = this.#deps;
    const owners = cluster.ring.owners(partition);
    const markBefore = latestMark(cluster.roster.forgettingMarks, partition);
    const mark = Math.min(markBefore + 1 + Math.floor(random.next() * marksPerAttempt), forgettingMarkMax);
    const keys = rows.map(({ located, digest }) => ({ key: located.key, digest }));
    const foundings = foundingsOf(ringName(cluster.roster.secrets));
    const request = { view: exchange.view(), partition, markBefore, mark, keys, foundings };
    // What is not to be forgotten here is not asked about: a damaged record without another copy would be, for ever.
    const own = await this.#answers.prepare(cluster.self, request);
    if (!own.includes("agreed")) return own;
    const others = this.#members().filter((member) => member !== cluster.self);
    const answers = [own, ...(await Promise.all(others.map((member) => this.#prepareAt(member, request))))];
    const found = own.map((_verdict, i) => worst(answers.map((answer) => answer[i]!)));
    const agreed = found.flatMap((verdict, i) => (verdict === "agreed" ? [i] : []));
    if (agreed.length > 0) {
      const chosen = bitmapOf(found.length, agreed);
      await Promise.all(
        owners.map((owner) => this.#commitAt(owner, { view: exchange.view(), partition, mark, chosen })),
      );
    }
    return found;
  }

  async #prepareAt(member: NodeId, request: PrepareReap): Promise<readonly Verdict[]> {
    const { transport, config } = this.#deps;
    const answer = await call(transport, member, methods.prepareReap, request, config.reapTimeoutMs);
    // A verdict of a newer version, or none at all, is no consent.
    const count = Math.max(1, request.keys.length);
    return Array.from({ length: count }, (_, i) => verdicts[answer.verdicts[i] ?? -1] ?? "held");
  }

  /** An owner that cannot be reached now keeps the tombstones, and gives them back to the others: see `reap-answers.ts`. */
  async #commitAt(owner: NodeId, request: Parameters<ReapAnswers["commit"]>[1]): Promise<void> {
    const { cluster, transport, config } = this.#deps;
    try {
      if (owner === cluster.self) await this.#answers.commit(owner, request);
      else await call(transport, owner, methods.commitReap, request, config.reapTimeoutMs);
    } catch (error: unknown) {
      this.#refused(request.partition, `${owner}: ${reasonOf(error)}`);
    }
  }
}

const reasons: Readonly<Record<Verdict, string>> = {
  agreed: "are agreed on",
  "too-young": "are younger than the grace period at an owner, or a member was stopped or has sent hints lately",
  hinted: "are kept as hints for a host",
  "other-clock": "are not the same at all owners",
  incomplete: "have a host that is filling or cannot read all it holds",
  held: "are still held by a host that owns them no more",
};

/** The one that lasts: time mends the others, but who holds what it does not own says so in the roster when it has not. */
function worst(found: readonly Verdict[]): Verdict {
  if (found.includes("held")) return "held";
  return found.find((verdict) => verdict !== "agreed") ?? "agreed";
}

function add(counts: Map<string, number>, words: string, count: number): void {
  counts.set(words, (counts.get(words) ?? 0) + count);
}
