/**
 * The answering side of reaping: a member consents, an owner forgets (PROTOCOL 10). See `reap.ts` for the steps. A reap of no
 * keys only raises the partition's mark; what is forgotten under that, and when, `forgetting.ts` tells.
 *
 * Invariants:
 * - A member is in one reap of a partition at a time, and not longer than `2 * reapTimeoutMs`.
 * - Whoever is a member where one consents is asked, too; who joins later is told of the consent (`Consents.tell`).
 * - What an owner forgets is, at that moment, still what all have consented to.
 *
 * A commit that comes too late is refused, and the owner keeps its tombstone. Those that did forget get it back from it
 * through anti-entropy: that hides nothing and brings no value back, and ends with the next reap, a grace period later.
 * (A late commit would be harmless too, for nothing older can have appeared since; the bound keeps attempts apart.)
 */
import { hasBit } from "../bytes/bitmap.ts";
import type { Infer } from "../bytes/codec.ts";
import { parseKey } from "../bytes/key.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import type { NodeConfig } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import {
  type ForgettingMark,
  latestMark,
  ringName,
  type RingName,
  ringOfFoundings,
  unnamedRing,
} from "../membership/forgetting-marks.ts";
import { forgettingMarkMax } from "../membership/forgetting-marks-encoding.ts";
import { type LocatedKey, locate } from "../placement/locate.ts";
import type { Clock } from "../ports.ts";
import type { Consents } from "../replica/consents.ts";
import { type Verdict, verdictOfOther, verdictOfOwner, verdicts } from "../replica/remains.ts";
import type { Replica } from "../replica/replica.ts";
import type { View } from "../rpc/common-messages.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Forgetting } from "./forgetting.ts";

export interface ReapAnswerDeps {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly replica: Replica;
  readonly consents: Consents;
  readonly forgetting: Forgetting;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly config: NodeConfig;
}

export type PrepareReap = Infer<typeof methods.prepareReap.request>;
export type CommitReap = Infer<typeof methods.commitReap.request>;

interface Prepared {
  readonly leader: NodeId;
  readonly mark: ForgettingMark;
  /** Fingerprint. */
  readonly ring: string;
  readonly keys: readonly { readonly located: LocatedKey; readonly digest: Uint8Array }[];
  readonly untilMs: number;
}

export class ReapAnswers {
  readonly #deps: ReapAnswerDeps;
  readonly #prepared = new Map<PartitionIndex, Prepared>();

  constructor(deps: ReapAnswerDeps) {
    this.#deps = deps;
  }

  serve(server: RpcServer): void {
    server.on(methods.prepareReap, async (from, request) => {
      await this.#meet(from, request.view);
      const found = await this.prepare(from, request);
      return { verdicts: Uint8Array.from(found, (verdict) => verdicts.indexOf(verdict)) };
    });
    server.on(methods.commitReap, async (from, request) => {
      await this.#meet(from, request.view);
      return { forgotten: await this.commit(from, request) };
    });
  }

  /**
   * A verdict for each key, or one where no key is named. Those agreed on are consented to, durably.
   * @throws StoreError `not-ready` when this node is in another reap of the partition, or knows another leader or mark, or
   *   the ring changes meanwhile; `bad-request`
   */
  async prepare(from: NodeId, request: PrepareReap): Promise<Verdict[]> {
    const { cluster, clock, consents, forgetting, replica, config } = this.#deps;
    const { mark } = request;
    const { partition, ring: name } = this.#checked(from, request);
    const keys = request.keys.map(({ key, digest }) => ({
      located: locate(parseKey(key), cluster.ring.partitions),
      digest,
    }));
    if (keys.some(({ located }) => located.partition !== partition)) {
      throw new StoreError("bad-request", `a key is not of partition ${partition}`);
    }
    const ring = cluster.ring.fingerprint;
    const isOwner = cluster.ring.owners(partition).includes(cluster.self);
    const untilMs = clock.now() + 2 * config.reapTimeoutMs;
    this.#dropExpired();
    // Only owners are told to forget them.
    const own = isOwner ? keys : [];
    this.#prepared.set(partition, { leader: from, mark: { ring: name, mark }, ring, keys: own, untilMs });
    forgetting.consenting(partition, mark);
    const consent = async (): Promise<void> => {
      await consents.consent(partition, mark);
      // Who has joined meanwhile is not asked, and was perhaps told before this consent was given.
      if (cluster.ring.fingerprint !== ring) throw new StoreError("not-ready", "the ring has changed meanwhile");
    };
    if (keys.length === 0) {
      await consent();
      return ["agreed"];
    }
    const found = await Promise.all(
      keys.map(async ({ located, digest }): Promise<Verdict> => {
        const remains = await replica.examine(located);
        const time = { nowMs: clock.wallTime(), graceMs: config.graceMs };
        return isOwner ? verdictOfOwner(remains, digest, time) : verdictOfOther(remains);
      }),
    );
    // Nobody knows what is held until it is mended. (Of a damaged row the key is known: that one answers for itself.)
    if (replica.index.isTorn(partition)) return found.map(() => "incomplete");
    // Asked last: a hint that was found gone may have left a moment ago.
    if (!replica.stillness.isStill(partition)) return found.map(() => "too-young");
    if (found.includes("agreed")) await consent();
    return found;
  }

  /**
   * Forgets what all agreed on, and raises the partition's mark before that: so no copy that lacks the mark can pass for
   * one that was there.
   * @returns how many keys were forgotten: one that changed since is kept
   * @throws StoreError `not-ready` when this node has not consented, or too long ago, or owners have changed
   */
  async commit(from: NodeId, { partition: index, mark, chosen }: CommitReap): Promise<number> {
    const { cluster, clock, replica, telemetry } = this.#deps;
    const partition = index as PartitionIndex;
    const prepared = this.#prepared.get(partition);
    const isValid = prepared?.leader === from && prepared.mark.mark === mark && clock.now() <= prepared.untilMs;
    if (!isValid || prepared.ring !== cluster.ring.fingerprint) {
      throw new StoreError("not-ready", "no consent to this reap is left here");
    }
    this.#prepared.delete(partition);
    await cluster.commit({ forgettingMarks: new Map([[partition, [prepared.mark]]]) });
    const agreed = prepared.keys.filter((_key, i) => hasBit(chosen, i));
    const done = await Promise.all(agreed.map(({ located, digest }) => replica.forget(located, digest)));
    const keys = done.filter(Boolean).length;
    if (prepared.keys.length > 0) telemetry.event({ kind: "reaped", partition, keys });
    return keys;
  }

  /** Most members are never told how a reap ended. */
  #dropExpired(): void {
    const now = this.#deps.clock.now();
    for (const [partition, { untilMs }] of this.#prepared) if (untilMs < now) this.#prepared.delete(partition);
  }

  /** Owners are those of the leader's ring, or nothing is done. */
  async #meet(from: NodeId, view: View): Promise<void> {
    const { cluster, exchange } = this.#deps;
    await exchange.meet(from, view);
    if (view.ring !== cluster.ring.fingerprint) throw new StoreError("not-ready", "the rings differ");
  }

  /** No refusal names the partition: status counts those that are told alike. */
  #checked(
    from: NodeId,
    { partition: index, markBefore, mark, foundings }: PrepareReap,
  ): { readonly partition: PartitionIndex; readonly ring: RingName } {
    const { cluster, clock } = this.#deps;
    if (index >= cluster.ring.partitions) throw new StoreError("bad-request", `there is no partition ${index}`);
    const partition = index as PartitionIndex;
    const [leader] = cluster.ring.owners(partition);
    if (leader !== from) throw new StoreError("not-ready", `its reaps are led by ${leader}`);
    const ring = ringName(cluster.roster.secrets);
    if (ring === unnamedRing || ringOfFoundings(foundings) !== ring)
      throw new StoreError("not-ready", "this host and the one that leads have not met the same rings");
    if (
      latestMark(cluster.roster.forgettingMarks, partition) !== markBefore ||
      mark <= markBefore ||
      mark > forgettingMarkMax
    ) {
      throw new StoreError("not-ready", "it has another forgetting mark here");
    }
    const running = this.#prepared.get(partition);
    if (running !== undefined && running.leader !== from && clock.now() <= running.untilMs) {
      throw new StoreError("not-ready", `${running.leader} is reaping it`);
    }
    return { partition, ring };
  }
}
