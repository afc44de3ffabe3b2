/**
 * Ends the membership of a browser host that was silent for longer than its lease (PROTOCOL 9), so that the copies which it
 * kept are made elsewhere, and deletes need not wait for it. It comes back by itself, as a member in its next life.
 *
 * A member's silence is what this node itself did not hear while it was awake, since it first knew the member's record; so
 * neither a wall clock that jumps nor a suspended machine makes anybody silent. Before it ends a membership, it asks all
 * others: one that has heard the member within the lease forbids it, for a browser often reaches some hosts and not others;
 * and a majority of the members, the silent one among them, must answer. So a minority side of a cut ends nothing, nor
 * does a host that slept before it is in contact again. Where members fall silent together until no majority is left, they
 * stay members until somebody removes them: `waiting` says so.
 * Invariant: a member that alone claims to hold a partition completely stays one. A former owner that still holds it completely
 * makes up for it, also where it owns it again by this and fills: what it has, the owners then copy from it (seed 801249).
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { lapseOf } from "../cluster/ring-commands.ts";
import type { NodeId } from "../identity.ts";
import type { MemberRecord } from "../membership/member.ts";
import { ringMembers } from "../membership/roster.ts";
import { allPartitions } from "../placement/partition.ts";
import type { Clock, Transport } from "../ports.ts";
import { call, methods, type RpcServer } from "../rpc/rpc.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

export interface LeaseDeps {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
  readonly config: { readonly requestTimeoutMs: number };
}

/** A browser host on the ring. */
type Leaseholder = MemberRecord & { readonly leaseMs: number };

/** What was last heard of one. */
interface Heard {
  readonly record: MemberRecord;
  /** By the transport's word. */
  readonly lastHeardMs: number | undefined;
  readonly awakeMs: number;
  /** False: this node knows of it from its own disk alone, or from who told it of all members. */
  readonly isSign: boolean;
}

const tickMs = 1_000;
/** What one tick may add to a silence: one that comes later was held up by this process, or its machine. */
const tickMaxMs = 2 * tickMs;
/** In parts of the lease. Members look in turn, so that most often one finds all done; and again after a while. */
const turnShare = 1 / 20;
const retryShare = 1 / 10;

export class Leases {
  readonly #deps: LeaseDeps;
  readonly #heard = new Map<NodeId, Heard>();
  readonly #waiting = new Map<NodeId, { readonly triedMs: number; readonly why: string }>();
  /** How long this process was awake. */
  #awakeMs = 0;
  #tickedMs: number;

  constructor(deps: LeaseDeps) {
    this.#deps = deps;
    this.#tickedMs = deps.clock.now();
  }

  start(server: RpcServer): void {
    const { exchange, tasks } = this.#deps;
    server.on(methods.heard, async (from, { view, id, life }) => {
      await exchange.meet(from, view);
      // It may have been heard since the last tick.
      this.#tick();
      const heard = this.#heard.get(id as NodeId);
      const isSign = heard !== undefined && heard.isSign && heard.record.life === life;
      return isSign ? { silentMs: Math.floor(this.#awakeMs - heard.awakeMs) } : {};
    });
    tasks.every("hear of browser hosts", tickMs, () => this.#tick());
    tasks.every("end leases", tickMs, () => {
      const overdue = this.#overdue();
      return overdue.length === 0 ? undefined : this.#endLeases(overdue);
    });
  }

  /** How much of a lease is left by what was heard here, ms; undefined for who has none. */
  leftMs(id: NodeId): number | undefined {
    const member = this.#deps.cluster.roster.members.get(id);
    return member?.leaseMs === undefined ? undefined : Math.max(0, member.leaseMs - this.#silentMs(member));
  }

  /** Whose lease is over and who stays a member for now, and why, in words. */
  get waiting(): readonly string[] {
    return [...this.#waiting].map(([id, { why }]) => `the lease of ${id} is over, but ${why}`);
  }

  #tick(): void {
    const { cluster, clock, transport } = this.#deps;
    const now = clock.now();
    this.#awakeMs += Math.min(now - this.#tickedMs, tickMaxMs);
    this.#tickedMs = now;
    const members = leaseholders(cluster);
    if (members.length + this.#heard.size + this.#waiting.size === 0) return;
    // Not by `health`, which is of its last sweep (seed 288).
    const heardMs = new Map([...transport.peers()].map(({ id, lastHeardMs }) => [id, lastHeardMs]));
    for (const record of members) {
      const known = this.#heard.get(record.id);
      const lastHeardMs = heardMs.get(record.id) ?? known?.lastHeardMs;
      if (known?.record === record && known.lastHeardMs === lastHeardMs) continue;
      // A record is signed by its host: a new one is a sign of life too, whoever passed it on.
      const isSign = known !== undefined || lastHeardMs !== undefined;
      this.#heard.set(record.id, { record, lastHeardMs, awakeMs: this.#awakeMs, isSign });
      this.#waiting.delete(record.id);
    }
    const ids = new Set(members.map(({ id }) => id));
    for (const map of [this.#heard, this.#waiting]) {
      for (const id of map.keys()) if (!ids.has(id)) map.delete(id);
    }
  }

  #silentMs({ id }: MemberRecord): number {
    return this.#awakeMs - (this.#heard.get(id)?.awakeMs ?? this.#awakeMs);
  }

  #overdue(): Leaseholder[] {
    const { cluster } = this.#deps;
    this.#tick();
    const members = leaseholders(cluster);
    if (members.length === 0 || !cluster.isMember(cluster.self)) return [];
    const awake = ringMembers(cluster.roster).filter(({ id }) => cluster.health.isUp(id));
    const turn = awake.filter(({ id }) => id < cluster.self).length;
    return members.filter((member) => {
      const { triedMs = -Infinity } = this.#waiting.get(member.id) ?? {};
      const isDue = this.#silentMs(member) >= member.leaseMs * (1 + turn * turnShare);
      return isDue && this.#awakeMs - triedMs >= member.leaseMs * retryShare;
    });
  }

  async #endLeases(overdue: readonly Leaseholder[]): Promise<void> {
    for (const member of overdue) await this.#tryToEnd(member);
  }

  async #tryToEnd(member: Leaseholder): Promise<void> {
    const { cluster, clock, telemetry } = this.#deps;
    // Before, so that nobody is asked for nothing; and again, for much may change while the others are asked (seed leases-310).
    const why = this.#whyNotNow(member) ?? (await this.#whyNot(member)) ?? this.#whyNotNow(member);
    if (why !== undefined) {
      this.#waiting.set(member.id, { triedMs: this.#awakeMs, why });
      return;
    }
    let tokens: number | undefined;
    await cluster.retire(member.id, "lapsed", () => {
      const part = lapseOf(cluster, member, clock.wallTime());
      tokens = part.changes?.[0]?.tokens;
      return part;
    });
    // Another one may have been faster.
    if (tokens !== undefined) telemetry.event({ kind: "ring-planned", change: "lapse", host: member.id, tokens });
  }

  #isSilent(member: Leaseholder): boolean {
    // It may have come back since the last tick (seed leases-18).
    this.#tick();
    return this.#heard.get(member.id)?.record === member && this.#silentMs(member) >= member.leaseMs;
  }

  /** What forbids it by what is known here; undefined: nothing. */
  #whyNotNow(member: Leaseholder): string | undefined {
    if (!this.#isSilent(member)) return "it is back";
    const alone = heldByItAlone(this.#deps.cluster, member.id);
    if (alone > 0) return `it alone holds ${alone} partitions completely: it comes back, or is removed`;
    return undefined;
  }

  /** The same by what the others say. */
  async #whyNot(member: Leaseholder): Promise<string | undefined> {
    const { cluster } = this.#deps;
    const members = ringMembers(cluster.roster);
    const others = members.map(({ id }) => id).filter((id) => id !== cluster.self && id !== member.id);
    const answers = await Promise.allSettled(others.map((id) => this.#ask(id, member)));
    const witness = answers.findIndex(
      (answer) => answer.status === "fulfilled" && (answer.value ?? Infinity) < member.leaseMs,
    );
    if (witness >= 0) return `${others[witness]} has heard it`;
    const present = 1 + answers.filter(({ status }) => status === "fulfilled").length;
    if (2 * present > members.length) return undefined;
    return `only ${present} of ${members.length} members answer, which is no majority: it comes back, or is removed`;
  }

  /** How long the asked has not heard of the member, ms; undefined: it never has. @throws when it does not answer */
  async #ask(id: NodeId, { id: about, life }: Leaseholder): Promise<number | undefined> {
    const { transport, exchange, telemetry, config } = this.#deps;
    try {
      const request = { view: exchange.view(), id: about, life };
      return (await call(transport, id, methods.heard, request, config.requestTimeoutMs)).silentMs;
    } catch (error: unknown) {
      telemetry.event({ kind: "replica-failed", id, reason: `asked about a lease: ${reasonOf(error)}` });
      throw error;
    }
  }
}

function leaseholders({ roster, self }: Cluster): Leaseholder[] {
  return ringMembers(roster).filter(
    (member): member is Leaseholder => member.id !== self && member.leaseMs !== undefined,
  );
}

/** Partitions. Who owns one and was not heard of counts as complete, as everywhere, but makes up for nobody. */
function heldByItAlone(cluster: Cluster, id: NodeId): number {
  const isAlone = (partition: ReturnType<typeof allPartitions>[number]): boolean => {
    const { owners, holders } = cluster.partitionView(partition);
    const held = holders.get(id) ?? (owners.includes(id) ? "complete" : undefined);
    return held === "complete" && ![...holders].some(([other, state]) => other !== id && state === "complete");
  };
  return allPartitions(cluster.ring.partitions).filter(isAlone).length;
}
