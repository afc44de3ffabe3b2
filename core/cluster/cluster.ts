/**
 * This node's live view of the cluster: the roster it keeps durably, the ring computed from it, and who answers.
 * Invariants: the roster only ever grows by merging; the own record changes only here, each time under a higher
 * incarnation; what a peer says about our holdings is ignored, for only our own disk knows (PROTOCOL 9).
 */
import { toHex } from "../bytes/hex.ts";
import { hasBit } from "../bytes/bitmap.ts";
import { equalBytes } from "../bytes/compare.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { encodeRoster, foreignRecordOf, RosterMessage, rosterDigest, rosterFrom } from "../membership/exchange.ts";
import type { MemberRecord } from "../membership/member.ts";
import {
  type HoldingsRecord,
  isOnRing,
  mergeRoster,
  newerHoldings,
  type Roster,
  type RosterPart,
  ringMembers,
} from "../membership/roster.ts";
import { Ring } from "../placement/ring.ts";
import { allPartitions } from "../placement/partition.ts";
import type { Clock, Random } from "../ports.ts";
import type { Completeness, PartitionView } from "../quorum/holders.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Health } from "./health.ts";
import { encodeUtf8 } from "lib0/string";

export interface ClusterDeps {
  readonly self: NodeId;
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly health: Health;
  readonly clock: Clock;
  readonly random: Random;
  readonly telemetry: Telemetry;
}

/** After this long whoever can be reached at all has been dialled. */
const firstDialsMs = 1_000;
const rosterRow = encodeUtf8("roster");

/** The roster of an earlier run, or undefined when the directory never belonged to a cluster. */
export async function loadRoster(records: RecordStore): Promise<Roster | undefined> {
  const stored = await records.get("meta", rosterRow);
  return stored === undefined ? undefined : rosterFrom(RosterMessage.decode(stored));
}

export class Cluster {
  readonly self: NodeId;
  readonly health: Health;
  readonly #deps: ClusterDeps;
  readonly #listeners = new Set<() => void>();
  #roster: Roster;
  #ring: Ring;
  #digest: Uint8Array | undefined;
  /** When this node last exchanged membership with each peer, and the ring they then agreed on. */
  readonly #exchanged = new Map<NodeId, { readonly atMs: number; readonly ring: string }>();
  /** When the last exchange that this node began with each peer began: by then the peer said what we have of it. */
  readonly #asked = new Map<NodeId, number>();
  readonly #startedMs: number;
  readonly #confirmed = new Set<PartitionIndex>();
  /** Views of the present roster, made when first asked for: each request takes one. */
  #views: (PartitionView | undefined)[] = [];
  /** The roster given to the constructor holds a new incarnation of this node, so it is not on the disk yet. */
  #dirty = true;
  #saving: Promise<void> | undefined;

  constructor(deps: ClusterDeps, roster: Roster) {
    this.#deps = deps;
    this.self = deps.self;
    this.health = deps.health;
    this.#startedMs = deps.clock.now();
    this.#roster = roster;
    this.#ring = ringOf(roster);
  }

  get roster(): Roster {
    return this.#roster;
  }

  get ring(): Ring {
    return this.#ring;
  }

  get digest(): Uint8Array {
    this.#digest ??= rosterDigest(this.#roster);
    return this.#digest;
  }

  get ownRecord(): MemberRecord {
    return this.#roster.members.get(this.self)!;
  }

  /** Replicas a quorum is counted from: min(N, hosts that are members, alive or not). */
  get replicas(): number {
    return Math.min(this.#roster.cluster.n, this.#ring.hosts.length);
  }

  isMember(node: NodeId): boolean {
    const member = this.#roster.members.get(node);
    return member !== undefined && isOnRing(member.status);
  }

  /** Called after each change of the roster. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Merges what a peer sent. */
  merge(part: RosterPart): void {
    const foreign = foreignRecordOf(this.self, this.#roster, part);
    const before = this.#roster;
    const holdings = new Map(part.holdings);
    const said = holdings.get(this.self);
    holdings.delete(this.self);
    this.#replace(mergeRoster(this.#roster, { ...part, holdings }));
    // Someone remembers a run of this node that this directory does not: its data may be newer than ours.
    if (foreign) this.#disown(part.members!.get(this.self)!);
    if (isOtherRing(before, part)) this.#fillFromBoth();
    if (said !== undefined) this.#correct(said);
  }

  /** Another directory with this identity said what it holds: that must not stand for what is held here. */
  #correct(said: HoldingsRecord): void {
    const own = this.#roster.holdings.get(this.self);
    if (own === undefined || newerHoldings(own, said) === own) return;
    if (said.incarnation > this.ownRecord.incarnation) this.amend({ incarnation: said.incarnation });
    this.publishHoldings(said.sequence);
  }

  /** Changes the own record, under the next incarnation. */
  amend(change: Partial<MemberRecord>): void {
    const own = this.ownRecord;
    const next: MemberRecord = {
      ...own,
      ...change,
      incarnation: Math.max(own.incarnation, change.incarnation ?? 0) + 1,
    };
    this.#replace(mergeRoster(this.#roster, { members: new Map([[this.self, next]]) }));
  }

  /** Adds what this node itself decided: a plan, a secret, a line of history. */
  commit(part: RosterPart): Promise<void> {
    this.#replace(mergeRoster(this.#roster, part));
    return this.save();
  }

  /** Durable when it resolves. Callers in between share one write. */
  async save(): Promise<void> {
    while (this.#dirty) {
      this.#saving ??= this.#write().finally(() => {
        this.#saving = undefined;
      });
      await this.#saving;
    }
  }

  /** Publishes the bitmaps after a change of holdings. */
  publishHoldings(above = 0): void {
    this.#replace(this.#withOwnHoldings(above));
  }

  /**
   * Call before each exchange: hints come and go with every write that misses an owner, so that they are told only to
   * whom membership is exchanged with anyway, and nobody is called for them.
   */
  noteHints(): void {
    const published = this.#roster.holdings.get(this.self)?.hints;
    if (published !== undefined && equalBytes(published, this.#deps.holdings.hintsBitmap())) return;
    this.#roster = this.#withOwnHoldings();
    this.#digest = undefined;
    this.#dirty = true;
  }

  #withOwnHoldings(above = 0): Roster {
    const { life, incarnation } = this.ownRecord;
    const sequence = Math.max(above, this.#roster.holdings.get(this.self)?.sequence ?? 0) + 1;
    const record = { id: this.self, life, incarnation, sequence, ...this.#deps.holdings.bitmaps() };
    return { ...this.#roster, holdings: new Map([...this.#roster.holdings, [this.self, record]]) };
  }

  /** At the start: what the ring gives to this node and it does not hold. In an empty cluster nothing is missing. */
  claimOwned(as: "filling" | "complete"): void {
    const { holdings } = this.#deps;
    for (const partition of this.#ring.ownedBy(this.self)) {
      const holding = holdings.get(partition);
      if (holding === "none" || holding === "former") holdings.set(partition, as);
    }
    this.publishHoldings();
  }

  /**
   * A former owner stays a complete holder until every owner is one; then it gets no writes any more, and counts nowhere.
   * One owner that is away may be left out where the others, two at least, are there and complete: a dead host must not
   * keep another from leaving, and any W and R of N that meet still meet. True when that happened to a partition.
   */
  retireFormerHoldings(): boolean {
    const { holdings } = this.#deps;
    let retired = false;
    for (const partition of allPartitions(this.#ring.partitions)) {
      if (holdings.get(partition) !== "complete") continue;
      const owners = this.#ring.owners(partition);
      if (owners.includes(this.self) || owners.length === 0) continue;
      if (this.#areComplete(owners, partition)) retired = holdings.set(partition, "former") || retired;
    }
    if (retired) this.publishHoldings();
    return retired;
  }

  #areComplete(owners: readonly NodeId[], partition: PartitionIndex): boolean {
    const saysComplete = (owner: NodeId): boolean =>
      hasBit(this.#roster.holdings.get(owner)?.complete ?? new Uint8Array(0), partition);
    const complete = owners.filter(saysComplete);
    if (complete.length === owners.length) return true;
    const rest = owners.filter((owner) => !saysComplete(owner));
    return (
      complete.length >= 2 &&
      rest.length === 1 &&
      complete.every((owner) => this.health.isUp(owner)) &&
      !rest.some((owner) => this.health.isUp(owner))
    );
  }

  /** Owners and holders of a partition as gossip has it. An owner not heard of counts as complete. */
  partitionView(partition: PartitionIndex): PartitionView {
    return (this.#views[partition] ??= this.#viewOf(partition));
  }

  #viewOf(partition: PartitionIndex): PartitionView {
    const holders = new Map<NodeId, Completeness>();
    for (const record of this.#roster.holdings.values()) {
      if (!this.isMember(record.id)) continue;
      if (hasBit(record.complete, partition)) holders.set(record.id, "complete");
      else if (hasBit(record.filling, partition)) holders.set(record.id, "filling");
    }
    return { owners: this.#ring.owners(partition), holders };
  }

  /** `askedMs`: when this node began the exchange, if it did. */
  exchangedWith(peer: NodeId, askedMs?: number): void {
    this.#exchanged.set(peer, { atMs: this.#deps.clock.now(), ring: this.#ring.fingerprint });
    if (askedMs !== undefined) this.#asked.set(peer, askedMs);
  }

  /** `clock.now()` from after which is what this node has of the peer's own records. */
  lastAskedMs(peer: NodeId): number | undefined {
    return this.#asked.get(peer);
  }

  /** When membership was last exchanged with a peer since the start, and the ring's fingerprint after that. */
  lastExchange(peer: NodeId): { readonly atMs: number; readonly ring: string } | undefined {
    return this.#exchanged.get(peer);
  }

  /**
   * After any start an owner is not sure of the ring until it has exchanged membership with one co-owner
   * and with every one that it can reach; who can be reached is known once each was dialled.
   */
  isConfirmed(partition: PartitionIndex): boolean {
    if (this.#confirmed.has(partition)) return true;
    const isConfirmed = this.#hasMetOwners(partition);
    if (isConfirmed) this.#confirmed.add(partition);
    return isConfirmed;
  }

  #hasMetOwners(partition: PartitionIndex): boolean {
    const others = this.#ring.owners(partition).filter((owner) => owner !== this.self);
    if (others.length === 0) return true;
    const hasDialled = this.#deps.clock.now() - this.#startedMs >= firstDialsMs;
    return (
      others.some((owner) => this.#exchanged.has(owner)) &&
      others.every((owner) => this.#exchanged.has(owner) || (hasDialled && !this.health.isUp(owner)))
    );
  }

  /** In contact with the cluster: alone in it, or with at least one other member since the start. */
  get inContact(): boolean {
    return this.#ring.hosts.length <= 1 || [...this.#exchanged.keys()].some((peer) => this.isMember(peer));
  }

  /** Of what this node owns it holds one ring's writes; who owns it no more goes on as a complete holder of those. */
  #fillFromBoth(): void {
    const { holdings } = this.#deps;
    for (const partition of this.#ring.ownedBy(this.self)) {
      if (holdings.get(partition) === "complete") holdings.set(partition, "filling");
    }
    this.publishHoldings();
  }

  #disown(remembered: MemberRecord): void {
    this.#deps.telemetry.event({
      kind: "old-data",
      reason: `a peer knows incarnation ${remembered.incarnation} of this host, its data directory does not: refilling every partition`,
    });
    this.#deps.holdings.refillAll();
    this.amend({ mark: toHex(this.#deps.random.bytes(16)), status: "up" });
    this.publishHoldings();
  }

  #replace(roster: Roster): void {
    if (roster === this.#roster) return;
    const before = this.#roster;
    this.#roster = roster;
    this.#digest = undefined;
    this.#views = [];
    this.#dirty = true;
    const moved = roster.members !== before.members || roster.assignment !== before.assignment;
    if (moved) this.#turnTo(ringOf(roster));
    for (const listener of this.#listeners) listener();
  }

  /** What this node owns newly it fills from this moment on, whatever it still holds from earlier: it missed writes. */
  #turnTo(ring: Ring): void {
    const before = this.#ring;
    const { holdings } = this.#deps;
    this.#ring = ring;
    if (ring.fingerprint === before.fingerprint) return;
    let changed = false;
    for (const partition of allPartitions(ring.partitions)) {
      const owned = before.owners(partition).includes(this.self);
      const owns = ring.owners(partition).includes(this.self);
      if (owns && !owned) changed = holdings.set(partition, "filling") || changed;
      if (owned && !owns && holdings.get(partition) === "filling")
        changed = holdings.set(partition, "former") || changed;
    }
    if (changed) this.publishHoldings();
  }

  async #write(): Promise<void> {
    this.#dirty = false;
    try {
      const value = encodeRoster(this.#roster);
      await this.#deps.records.commit([{ kind: "put", ns: "meta", key: rosterRow, value }]);
    } catch (error: unknown) {
      this.#dirty = true;
      throw error;
    }
  }
}

/** Two rings of one name that were started apart and meet (paper 4.8.2): each founder has drawn a secret. */
function isOtherRing({ secrets }: Roster, part: RosterPart): boolean {
  return secrets.length > 0 && (part.secrets ?? []).some((secret) => !secrets.includes(secret));
}

function ringOf(roster: Roster): Ring {
  return new Ring({ n: roster.cluster.n, members: ringMembers(roster), assignment: roster.assignment });
}
