/**
 * What may be forgotten of a clock, and how those who were not there find out (PROTOCOL 3, *Truncation*; 9, *Return*).
 *
 * A clock that has lost an entry hides no more what the entry covered. So an entry goes only where nobody is left who could
 * bring that back:
 *
 *   members         Since this node knew of the entry's last event every owner has agreed with it on the partition
 *                   (`agreedMs`); whatever was in flight then has arrived (`inFlightMsMax`); and every other member, asked
 *                   after that, holds nothing there: no hint, no former holding.
 *   everybody else  Who left, was removed or lapsed, who joined through one of these, and who runs on an old copy of its
 *                   disk, cannot be asked. For them the partition's *forgetting mark* was raised after the agreement, as a
 *                   reap raises it (`reap.ts`), by a reap of no keys: with a consent of every member of the ring, on the
 *                   disk of each. Who learns of the mark without having consented sets its data aside, before anything is
 *                   taken from it: views meet first, and all members have the mark on their disks, for this node
 *                   has asked each of them since it has it itself.
 *
 * A member that missed the message about the mark has consented, so it is not taken for one that returns. One mark serves for
 * whatever had been agreed on before it, as long as the ring is the one that it was raised on: whoever departs
 * later had consented, and is asked no more. (A copy of a disk that was made between the consent of its host and the
 * agreement, which may follow that by a moment, is told from its host's marks alone, see `marks.ts`.)
 *
 * In memory only, but for the consents: after a restart nothing is known, which is the safe side.
 */
import { hasBit } from "../bytes/bitmap.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { NodeConfig } from "../config.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { Clock } from "../ports.ts";
import type { Holdings } from "../replica/holdings.ts";
import { type AgreementDeps, lastFullAgreementMs } from "./agreements.ts";

export interface ForgettingDeps extends AgreementDeps {
  readonly holdings: Holdings;
  readonly clock: Clock;
}

/** What this node knew when it consented to a mark. */
interface Consent {
  readonly mark: number;
  /** Fingerprint: its members are those who were asked for their consent. */
  readonly ring: string;
  /** Own time since which all owners had agreed; undefined: one had not. */
  readonly agreedMs: number | undefined;
}

/** A mark that was consented to, and raised: by all members, that is. */
interface Raised extends Consent {
  /** `clock.now()`. */
  readonly knownMs: number;
}

export class Forgetting {
  readonly #deps: ForgettingDeps;
  readonly #inFlightMsMax: number;
  /** A leader that has agreed with each other owner waits so long until these have with each other: some rounds. */
  readonly #agreeingMs: number;
  readonly #consents = new Map<PartitionIndex, Consent>();
  readonly #raised = new Map<PartitionIndex, Raised>();
  /** Since when, by own time, a clock in the partition is too long for want of a mark that is late enough. */
  readonly #wantedMs = new Map<PartitionIndex, number>();

  constructor(deps: ForgettingDeps, config: Pick<NodeConfig, "inFlightMsMax" | "antiEntropyIntervalMs">) {
    this.#deps = deps;
    this.#inFlightMsMax = config.inFlightMsMax;
    this.#agreeingMs = 3 * config.antiEntropyIntervalMs;
  }

  /** This node is about to consent to a mark. */
  consenting(partition: PartitionIndex, mark: number): void {
    const { cluster } = this.#deps;
    const agreedMs = lastFullAgreementMs(this.#deps, partition);
    this.#consents.set(partition, { mark, ring: cluster.ring.fingerprint, agreedMs });
  }

  /** Call when the roster has changed. */
  heard(): void {
    const { cluster, clock } = this.#deps;
    for (const [partition, consent] of this.#consents) {
      if (!cluster.roster.forgettingMarks.get(partition)?.some(({ mark }) => mark === consent.mark)) continue;
      this.#consents.delete(partition);
      // Reaps raise marks, too: were the latest one always taken, none would ever be old enough.
      if (!this.#mayRipen(partition)) this.#raised.set(partition, { ...consent, knownMs: clock.now() });
    }
  }

  /** Own time before which whatever was known here of the partition is known to all who can say anything; 0: none. */
  forgettableBeforeMs(partition: PartitionIndex): number {
    const { cluster, holdings, ownTime } = this.#deps;
    const raised = this.#raised.get(partition);
    if (raised?.agreedMs === undefined || raised.ring !== cluster.ring.fingerprint) return 0;
    const owners = cluster.ring.owners(partition);
    const isComplete = owners.includes(cluster.self) && holdings.get(partition) === "complete";
    if (!isComplete || !ownTime.isSettled || holdings.isHinted(partition)) return 0;
    const arrivedMs = raised.agreedMs + this.#inFlightMsMax;
    for (const { id } of cluster.ring.members) {
      if (id === cluster.self) continue;
      const askedMs = cluster.lastAskedMs(id) ?? -Infinity;
      if (askedMs <= raised.knownMs || ownTime.at(askedMs) <= arrivedMs) return 0;
      if (!saysThatItHoldsNothing(cluster, id, { partition, isOwner: owners.includes(id) })) return 0;
    }
    return ownTime.nowMs() > arrivedMs ? raised.agreedMs : 0;
  }

  /** A clock there is too long, and nothing of it could be forgotten now. */
  want(partition: PartitionIndex): void {
    if (!this.#wantedMs.has(partition)) this.#wantedMs.set(partition, this.#deps.ownTime.nowMs());
  }

  /** Partitions whose mark would be of use now: all owners have agreed since it is wanted. */
  due(): PartitionIndex[] {
    return [...this.#wantedMs].flatMap(([partition, sinceMs]) => {
      const agreedMs = lastFullAgreementMs(this.#deps, partition) ?? -Infinity;
      return agreedMs > sinceMs + this.#agreeingMs && !this.#mayRipen(partition) ? [partition] : [];
    });
  }

  /** After an attempt that failed all must have agreed anew, which keeps the next one away for a while. */
  tried(partition: PartitionIndex, { isRaised }: { readonly isRaised: boolean }): void {
    this.#wantedMs.delete(partition);
    if (!isRaised) this.want(partition);
  }

  /** The mark that is there may be of use in a while, or has not been for long; a later one would begin anew. */
  #mayRipen(partition: PartitionIndex): boolean {
    const { cluster, clock } = this.#deps;
    const raised = this.#raised.get(partition);
    if (raised?.agreedMs === undefined || raised.ring !== cluster.ring.fingerprint) return false;
    return clock.now() - raised.knownMs < 2 * this.#inFlightMsMax;
  }
}

/** Beyond what it owns, by what it last said. */
function saysThatItHoldsNothing(
  { roster }: Cluster,
  id: NodeId,
  { partition, isOwner }: { readonly partition: PartitionIndex; readonly isOwner: boolean },
): boolean {
  const record = roster.holdings.get(id);
  if (record === undefined) return false;
  const beyond = isOwner ? [record.hints] : [record.hints, record.complete, record.filling, record.former];
  return !beyond.some((bits) => hasBit(bits, partition));
}
