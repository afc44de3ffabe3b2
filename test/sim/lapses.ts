/**
 * When a browser host's membership may end (PROTOCOL 9): no member that answers has heard it within its lease, a majority
 * answers, whoever ends it was awake that long without hearing it, and it holds no partition alone.
 */
import { hasBit } from "../../core/bytes/bitmap.ts";
import { DecodeError } from "../../core/bytes/codec.ts";
import type { NodeId, PartitionIndex } from "../../core/identity.ts";
import { type Roster, ringMembers } from "../../core/membership/roster.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { methods } from "../../core/rpc/rpc.ts";
import type { SimHost } from "./host.ts";
import type { Tap } from "./network.ts";
import { type Membership, membershipOn } from "./rows.ts";
import type { World } from "./world.ts";

/** One host asks all others about one member. */
interface Round {
  readonly about: string;
  readonly atMs: number;
  readonly asked: Set<NodeId>;
  /** How long the one who asks was awake since it heard it. */
  readonly awakeMs: number;
  /** How long the others have not heard of it; Infinity: never. */
  readonly silencesMs: number[];
}

/** A host takes what comes later than this for sleep (`leases.ts`), and counts so much of it as silence. */
const sleepMsMin = 2_000;

export class Lapses implements Tap {
  readonly #world: World;
  /** By who asks: it asks about one after the other. */
  readonly #rounds = new Map<NodeId, Round>();

  constructor(world: World) {
    this.#world = world;
  }

  asked(from: NodeId, to: NodeId, body: Uint8Array): void {
    if (body[0] !== methods.heard.number || from === to) return;
    const { id: about } = methods.heard.request.decode(body.subarray(1));
    const { hosts, schedule } = this.#world;
    const { nowMs } = schedule;
    let round = this.#rounds.get(from);
    if (round?.about !== about || round.atMs !== nowMs) {
      const asker = hosts.find(({ id }) => id === from);
      const awakeMs = asker === undefined ? Infinity : awakeSince(asker, about);
      this.#rounds.set(from, (round = { about, atMs: nowMs, asked: new Set(), awakeMs, silencesMs: [] }));
    }
    round.asked.add(to);
  }

  heard(by: NodeId, method: number, body: Uint8Array): void {
    if (method !== methods.heard.number || body[0] !== 0) return;
    try {
      const { silentMs } = methods.heard.response.decode(body.subarray(1));
      this.#rounds.get(by)?.silencesMs.push(silentMs ?? Infinity);
    } catch (error: unknown) {
      if (!(error instanceof DecodeError)) throw error;
    }
  }

  /** Call when a host says that it has ended a lease. */
  ended(by: SimHost, id: string): void {
    const { oracle, twins, scenario } = this.#world;
    // Two of one name ask at once, and answer differently.
    if (twins.length > 0) return;
    oracle.checks += 1;
    const broken = (why: string): void =>
      oracle.broken(
        "a lease ends by a majority, and where nobody hears its host",
        `${by.name} ends that of ${id}: ${why}`,
      );
    const round = this.#rounds.get(by.id);
    if (round?.about !== id) return broken("it asked nobody");
    const { asked, awakeMs, silencesMs } = round;
    if (2 * (1 + silencesMs.length) <= asked.size + 2) {
      return broken(`${silencesMs.length} of the ${asked.size} others answer`);
    }
    if (silencesMs.some((ms) => ms < scenario.leaseMs)) return broken(`one heard it ${Math.min(...silencesMs)} ms ago`);
    if (awakeMs < scenario.leaseMs) return broken(`it was awake for ${Math.round(awakeMs)} ms without hearing it`);
    const alone = heldAlone(by, id, this.#world.ringsBefore.get(by.id));
    if (alone.length > 0) broken(`it alone holds partitions ${alone.join()}`);
  }
}

/** How long a host was awake since it heard the other, at most as its own ticks may count it. */
function awakeSince({ process, transport }: SimHost, id: string): number {
  const peer = [...(transport?.peers() ?? [])].find((each) => each.id === id);
  if (process === undefined || peer?.lastHeardMs === undefined) return Infinity;
  const sinceMs = peer.lastHeardMs;
  const sleeps = process.sleeps.map(([from, to]) => to - Math.max(from, sinceMs)).filter((ms) => ms > sleepMsMin);
  return process.clock.now() - sinceMs - sleeps.reduce((sum, ms) => sum + ms - sleepMsMin, 0);
}

/**
 * Partitions that this member alone said that it holds completely, as the other one's disk has it: who holds one completely
 * as a former owner makes up for it, also where it owns it by this, or by what just went before, and fills from then on. What
 * others say may come while it writes that (seed 17002296).
 */
function heldAlone({ disk, id: by }: SimHost, id: string, before: Membership | undefined): number[] {
  const { roster, ring } = membershipOn(disk.view)!;
  const theirs = roster.holdings.get(id as NodeId)?.complete;
  const completeOf = (of: Roster, isAsked: (member: NodeId) => boolean): readonly Uint8Array[] =>
    ringMembers(of).flatMap((member) =>
      member.id !== id && isAsked(member.id) ? (of.holdings.get(member.id)?.complete ?? []) : [],
    );
  const others = [
    ...completeOf(roster, () => true),
    ...(before === undefined ? [] : completeOf(before.roster, (member) => member !== by)),
  ];
  const own = before?.roster.holdings.get(by)?.complete;
  const madeUp = (each: PartitionIndex): boolean =>
    own !== undefined && hasBit(own, each) && !before!.ring.owners(each).includes(by);
  return allPartitions(ring.partitions).filter(
    (each) =>
      theirs !== undefined && hasBit(theirs, each) && !others.some((bits) => hasBit(bits, each)) && !madeUp(each),
  );
}
