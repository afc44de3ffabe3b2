/**
 * This node's live view of the cluster: the roster it keeps durably, the ring computed from it, and who answers.
 * Invariants: the roster only ever grows by merging; the own record changes only here (and in `own-record.ts`), each time
 * under a higher incarnation; what a peer says about our holdings is ignored, for only our own disk knows (PROTOCOL 9).
 */
import { hasBit } from "../bytes/bitmap.ts";
import { equalBytes } from "../bytes/compare.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId, PartitionIndex } from "../identity.ts";
import { rosterDigest } from "../membership/comparison.ts";
import { encodeRoster } from "../membership/exchange.ts";
import type { MemberRecord, MemberStatement } from "../membership/member.ts";
import {
  type HoldingsRecord,
  lifeOnRing,
  mergeAs,
  mergeRoster,
  newerHoldings,
  type Roster,
  type RosterPart,
  ringMembers,
} from "../membership/roster.ts";
import { versionMax } from "../membership/signed-member.ts";
import { type LocatedKey, Locator } from "../placement/locate.ts";
import { Ring } from "../placement/ring.ts";
import type { Clock, Identity } from "../ports.ts";
import type { Completeness, PartitionView } from "../quorum/holders.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { View } from "../rpc/common-messages.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Health } from "./health.ts";
import type { Marks } from "./marks.ts";
import { retireFormer, turnHoldings } from "./own-holdings.ts";
import { OwnRecord } from "./own-record.ts";
import { rosterRow } from "./stored-roster.ts";

export interface ClusterDeps {
  readonly self: NodeId;
  readonly records: RecordStore;
  readonly holdings: Holdings;
  readonly health: Health;
  readonly clock: Clock;
  readonly identity: Identity;
  readonly marks: Marks;
  readonly tasks: Pick<Tasks, "run">;
  readonly telemetry: Telemetry;
  /** The data directory turned out to be an old copy: nothing in it is to be served any more. */
  readonly onOldCopy: () => void;
}

/** How the roster changed: by this node itself, or by what another told it. */
export type ChangeOrigin = "own" | "exchange" | "gossip";

/** Keys in use whose places are remembered: about 300 bytes each. */
const locatedKeysMax = 65_536;
/** After this long whoever can be reached at all has been dialled. */
const firstDialsMs = 1_000;

export class Cluster {
  readonly self: NodeId;
  readonly health: Health;
  readonly #deps: ClusterDeps;
  readonly #own: OwnRecord;
  readonly #listeners = new Set<(origin: ChangeOrigin) => void>();
  #roster: Roster;
  #ring: Ring;
  #digest: Uint8Array | undefined;
  /** When this node last exchanged membership with each peer, and where that stood then. */
  readonly #exchanged = new Map<NodeId, { readonly atMs: number; readonly ring: string; readonly mark: string }>();
  /** When the last exchange that this node began with each peer began. */
  readonly #asked = new Map<NodeId, number>();
  readonly #startedMs: number;
  readonly #confirmed = new Set<PartitionIndex>();
  readonly #refilled = new Set<PartitionIndex>();
  /** Of the present roster, made when first asked for. */
  #views: (PartitionView | undefined)[] = [];
  readonly #locator: Locator;
  /** On the disk. The one given to the constructor holds a new incarnation of this node, so it is not there yet. */
  #saved: Roster | undefined;
  #saving: Promise<void> | undefined;
  #isOldCopy = false;

  constructor(deps: ClusterDeps, roster: Roster) {
    this.#deps = deps;
    this.self = deps.self;
    this.health = deps.health;
    this.#startedMs = deps.clock.now();
    this.#roster = roster;
    this.#ring = ringOf(roster);
    this.#own = new OwnRecord({ ...deps, cluster: this, onOldCopy: () => this.#giveUp() });
    this.#locator = new Locator(this.#ring.partitions, locatedKeysMax);
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
    return lifeOnRing(this.#roster, node) !== undefined;
  }

  /** Called after each change of the roster. */
  onChange(listener: (origin: ChangeOrigin) => void): void {
    this.#listeners.add(listener);
  }

  /** Merges what another node sent and `admit` let through; or, as `own`, what this node says of itself. */
  merge(part: RosterPart, origin: ChangeOrigin = "exchange"): void {
    const holdings = new Map(part.holdings);
    const said = holdings.get(this.self);
    holdings.delete(this.self);
    const merged = (): Roster => mergeAs(this.self, this.#roster, { ...part, holdings });
    // Before the rest: what knows the other ring is on no disk before what says that this node fills.
    if (isOtherRing(this.#roster, part)) this.#fillFromBoth(ringOf(merged()));
    this.#replace(merged(), origin);
    const record = part.members?.get(this.self);
    this.#own.heard(record === undefined ? [] : [record]);
    if (said !== undefined) this.#correct(said);
  }

  /** Another directory with this identity said what it holds: that must not stand for what is held here. */
  #correct(said: HoldingsRecord): void {
    const own = this.#roster.holdings.get(this.self);
    if (own === undefined || newerHoldings(own, said) === own) return;
    // Others take no number above `versionMax`: far below it the next incarnation begins anew.
    const canOutnumber = said.sequence < versionMax / 2;
    if (canOutnumber && said.incarnation <= this.ownRecord.incarnation) return this.publishHoldings(said.sequence);
    this.#deps.tasks.run("correct what is said to be held here", async () => {
      await this.amend({ incarnation: said.incarnation });
      this.publishHoldings(canOutnumber ? said.sequence : 0);
    });
  }

  /** Changes the own record, under the next incarnation; durable before others hear of it, see `exchange.ts`. */
  amend(change: Partial<MemberStatement>): Promise<void> {
    return this.#own.amend(change);
  }

  /**
   * States `removed` or `lapsed` of another member, signed by this node; durable when it resolves. `alongside` is called
   * when it is signed, for what belongs to the same change.
   */
  async retire(id: NodeId, status: "removed" | "lapsed", alongside: () => RosterPart): Promise<void> {
    await this.#own.retire(id, status, alongside);
    await this.save();
  }

  /** Publishes a new mark: whoever starts from a copy that was made before can find out. */
  drawMark(): Promise<void> {
    return this.#own.drawMark();
  }

  /** Another process was heard of that runs with this node's key; `clock.now()`. */
  get rivalAtMs(): number | undefined {
    return this.#own.rivalAtMs;
  }

  /** Adds what this node itself decided: a plan, a secret, a line of history. */
  commit(part: RosterPart): Promise<void> {
    this.#replace(mergeRoster(this.#roster, part), "own");
    return this.save();
  }

  /**
   * Durable when it resolves, whoever began the write; callers in between share one.
   * @throws StoreError `not-ready` on an old copy: so no exchange ends well there, and no peer takes data of it
   */
  async save(): Promise<void> {
    this.#checkIsNoOldCopy();
    while (this.#saved !== this.#roster) {
      this.#saving ??= this.#write().finally(() => {
        this.#saving = undefined;
      });
      await this.#saving;
      this.#checkIsNoOldCopy();
    }
  }

  #checkIsNoOldCopy(): void {
    if (this.#isOldCopy)
      throw new StoreError("not-ready", `the data of ${this.self} is an old copy, which is set aside`);
  }

  /** Publishes the bitmaps after a change of holdings. */
  publishHoldings(above = 0): void {
    this.#replace(this.#withOwnHoldings(above), "own");
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
  }

  #withOwnHoldings(above = 0): Roster {
    const { life, incarnation } = this.ownRecord;
    const sequence = Math.max(above, this.#roster.holdings.get(this.self)?.sequence ?? 0) + 1;
    const record = { id: this.self, life, incarnation, sequence, ...this.#deps.holdings.bitmaps() };
    return { ...this.#roster, holdings: new Map([...this.#roster.holdings, [this.self, record]]) };
  }

  /** Rows of the partition are missing here, nobody knows which: it is copied from the others again. */
  refill(partition: PartitionIndex): void {
    this.#refilled.add(partition);
    if (!this.#deps.holdings.refill(partition)) return;
    this.#deps.holdings.dropActor(partition);
    this.publishHoldings();
  }

  /** Since the start: unreadable parts of the disk stay where they are, but what they held is there again. */
  wasRefilled(partition: PartitionIndex): boolean {
    return this.#refilled.has(partition);
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

  /** See `retireFormer`. */
  retireFormerHoldings(): boolean {
    const retired = retireFormer(this, this.#deps.holdings);
    if (retired) this.publishHoldings();
    return retired;
  }

  /**
   * Partitions of which something was forgotten without this node. Every member is asked, so where it holds anything of them
   * its directory is an old copy, and goes whole: its consents and hints are as old as the states of these partitions (PROTOCOL 9,
   * *Return*). One that was removed hears of no marks any more: see `mergeAs`.
   */
  doubt(partitions: readonly PartitionIndex[]): void {
    const { holdings, telemetry } = this.#deps;
    const held = partitions.filter((each) => holdings.get(each) !== "none" || holdings.isHinted(each));
    if (held.length === 0 || this.#isOldCopy) return;
    const reason = `in partitions ${held.join(", ")} something was forgotten without this host: its old copy is set aside`;
    telemetry.event({ kind: "old-data", reason });
    this.#giveUp();
  }

  /** From now on nothing is saved, so that a crash on the way finds what was found now. Once: one message may show it twice. */
  #giveUp(): void {
    if (this.#isOldCopy) return;
    this.#isOldCopy = true;
    this.refillAll();
    this.#deps.onOldCopy();
  }

  locate(key: Key): LocatedKey {
    return this.#locator.locate(key);
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

  /**
   * `view`: where the peer stood by its last message; an older release does not say. What is known of it from others may
   * be news to the run that was met. `askedMs`: when this node began the exchange, if it did.
   */
  exchangedWith(
    peer: NodeId,
    { view, askedMs }: { readonly view?: View | undefined; readonly askedMs?: number } = {},
  ): void {
    const ring = view?.ring ?? this.#ring.fingerprint;
    const mark = view?.mark ?? this.#roster.members.get(peer)?.mark ?? "";
    this.#exchanged.set(peer, { atMs: this.#deps.clock.now(), ring, mark });
    if (askedMs !== undefined) this.#asked.set(peer, askedMs);
  }

  /** `clock.now()` from after which is what this node has of the peer's own records. */
  lastAskedMs(peer: NodeId): number | undefined {
    return this.#asked.get(peer);
  }

  /** When membership was last exchanged with a peer since the start; the ring that it saw then, and how its mark begins. */
  lastExchange(peer: NodeId): { readonly atMs: number; readonly ring: string; readonly mark: string } | undefined {
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
  #fillFromBoth(ring: Ring): void {
    const { holdings } = this.#deps;
    for (const partition of ring.ownedBy(this.self)) {
      if (holdings.get(partition) === "complete") holdings.set(partition, "filling");
    }
    this.publishHoldings();
  }

  /** What is here may lack something, or should not be here: it counts for nothing until it was copied again. */
  refillAll(): void {
    this.#deps.holdings.refillAll();
    this.publishHoldings();
  }

  #replace(roster: Roster, origin: ChangeOrigin): void {
    if (roster === this.#roster) return;
    const before = this.#roster;
    this.#roster = roster;
    this.#digest = undefined;
    this.#views = [];
    const moved = roster.members !== before.members || roster.assignment !== before.assignment;
    if (moved) this.#turnTo(ringOf(roster));
    for (const listener of this.#listeners) listener(origin);
  }

  #turnTo(ring: Ring): void {
    const before = this.#ring;
    this.#ring = ring;
    if (ring.fingerprint === before.fingerprint) return;
    // Where its membership ended it stays as it was: what it held for sure can be told from what it did not.
    if (!this.isMember(this.self)) return;
    if (turnHoldings(this.#deps.holdings, this.self, before, ring)) this.publishHoldings();
  }

  async #write(): Promise<void> {
    const roster = this.#roster;
    const value = encodeRoster(roster);
    await this.#deps.records.commit([{ kind: "put", ns: "meta", key: rosterRow, value }]);
    this.#saved = roster;
  }
}

/** Two rings of one name that were started apart and meet (paper 4.8.2): each founder has drawn a secret. */
function isOtherRing({ secrets }: Roster, part: RosterPart): boolean {
  return secrets.length > 0 && (part.secrets ?? []).some((secret) => !secrets.includes(secret));
}

function ringOf(roster: Roster): Ring {
  return new Ring({ n: roster.cluster.n, members: ringMembers(roster), assignment: roster.assignment });
}
