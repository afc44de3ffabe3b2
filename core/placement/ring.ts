/**
 * The ring: for each partition the order in which hosts are asked (PROTOCOL 2).
 * Invariant: a pure function of its placement; the order in which members are listed changes nothing.
 */
import { shortDigest } from "../bytes/hash.ts";
import { invariant } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { PlacedMember } from "../membership/member.ts";
import type { Assignment } from "./assignment.ts";
import { domainsOf } from "./domains.ts";
import type { Domains } from "./domains.ts";
import { allPartitions, checkPartitions } from "./partition.ts";

/** What decides who owns what. Q is the length of the assignment. */
export interface Placement {
  /** Owners per partition. */
  readonly n: number;
  /** One record per node, in any order; members that are not on the ring may be among them. */
  readonly members: Iterable<PlacedMember>;
  readonly assignment: Assignment;
}

/** On the ring: its tokens count (PROTOCOL 9; a leaving host holds its partitions until it has handed them over). */
function isPlaced(member: PlacedMember): boolean {
  return member.status === "up" || member.status === "leaving";
}

/**
 * Immutable; lists are computed when first asked for, then kept.
 *
 * @example
 * const ring = new Ring({ n: 3, members, assignment });
 * ring.owners(partitionOf(positionOf(keyBytes), ring.partitions)); // who keeps the key
 */
export class Ring {
  readonly n: number;
  /** Q. */
  readonly partitions: number;
  readonly assignment: Assignment;
  /** All members, on the ring or not, by id. */
  readonly members: readonly PlacedMember[];
  /** The hosts on the ring (at least one token), by id. */
  readonly hosts: readonly PlacedMember[];
  readonly #domains: Domains;
  readonly #indexOf: ReadonlyMap<NodeId | null, number>;
  /** Index into `hosts` per token; -1 where nobody on the ring has it. */
  readonly #hostOfToken: Int32Array;
  readonly #owners: (readonly NodeId[] | undefined)[] = [];
  readonly #walks: (readonly NodeId[] | undefined)[] = [];
  #ownedBy: ReadonlyMap<NodeId, readonly PartitionIndex[]> | undefined;
  #tokensOf: ReadonlyMap<NodeId, readonly PartitionIndex[]> | undefined;
  #fingerprint: string | undefined;

  constructor({ n, members, assignment }: Placement) {
    invariant(Number.isInteger(n) && n >= 1, "a partition has at least one owner");
    this.n = n;
    this.partitions = checkPartitions(assignment.length);
    this.assignment = assignment;
    this.members = [...members].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const withToken = new Set(assignment.map((entry) => entry.host));
    this.hosts = this.members.filter((member) => isPlaced(member) && withToken.has(member.id));
    this.#domains = domainsOf(this.hosts);
    this.#indexOf = new Map(this.hosts.map((host, index) => [host.id, index]));
    this.#hostOfToken = Int32Array.from(assignment, (entry) => this.#indexOf.get(entry.host) ?? -1);
  }

  /** A host on the ring, by id. */
  host(id: NodeId): PlacedMember | undefined {
    const index = this.#indexOf.get(id);
    return index === undefined ? undefined : this.hosts[index];
  }

  /** The first N hosts of the walk; fewer where the ring has fewer. */
  owners(partition: PartitionIndex): readonly NodeId[] {
    return (this.#owners[partition] ??= this.#prefer(partition, this.n));
  }

  /** Every host in order of preference: owners, then fallbacks. */
  walk(partition: PartitionIndex): readonly NodeId[] {
    return (this.#walks[partition] ??= this.#prefer(partition, this.hosts.length));
  }

  /** The partitions that a host is an owner of, ascending. */
  ownedBy(host: NodeId): readonly PartitionIndex[] {
    this.#ownedBy ??= this.#partitionsByHost((partition) => this.owners(partition));
    return this.#ownedBy.get(host) ?? [];
  }

  /** The tokens that a host has (it is, as a rule, the first owner of these partitions), ascending. */
  tokensOf(host: NodeId): readonly PartitionIndex[] {
    this.#tokensOf ??= this.#partitionsByHost((partition) => {
      const holder = this.hosts[this.#hostOfToken[partition]!];
      return holder === undefined ? [] : [holder.id];
    });
    return this.#tokensOf.get(host) ?? [];
  }

  /** False: pages alone, which come and go, although the ring has Node hosts: no copy may be kept by these only (PROTOCOL 2). */
  anchors(hosts: readonly NodeId[]): boolean {
    return !this.#domains.hasNode || hosts.some((id) => this.host(id)?.kind === "host");
  }

  /** How many copies can lie apart: with fewer device groups than N, two copies share a machine (riak#381). */
  get spread(): { readonly hosts: number; readonly deviceGroups: number; readonly zones: number } {
    return { hosts: this.hosts.length, deviceGroups: this.#domains.groups, zones: this.#domains.zones };
  }

  /** Hash of everything that placement depends on, 16 hex digits: equal views have equal fingerprints. */
  get fingerprint(): string {
    return (this.#fingerprint ??= shortDigest(this.#canonicalText()));
  }

  #canonicalText(): string {
    const members = this.members.map((m) => [m.id, m.life, m.status, m.kind, m.capacity, m.zone, m.deviceGroup]);
    const tokens = this.assignment.map((entry) => [entry.host, entry.epoch]);
    return JSON.stringify([this.n, members, tokens]);
  }

  #prefer(partition: PartitionIndex, count: number): NodeId[] {
    const preference = new Preference(this.#hostOfToken, partition, this.#domains);
    const { hasNode, isNode } = this.#domains;
    preference.take(Math.min(count, this.n - 1), anyone);
    // Pages come and go: where there are Node hosts, the last owner is one unless an earlier one is.
    const needsNode = hasNode && !preference.chosen.some((host) => isNode[host]);
    if (count >= this.n) preference.take(1, needsNode ? (host) => isNode[host]! : anyone);
    preference.take(count - preference.chosen.length, anyone);
    return preference.chosen.map((host) => this.hosts[host]!.id);
  }

  #partitionsByHost(hostsOf: (partition: PartitionIndex) => readonly NodeId[]): Map<NodeId, PartitionIndex[]> {
    const byHost = new Map<NodeId, PartitionIndex[]>(this.hosts.map((host) => [host.id, []]));
    for (const partition of allPartitions(this.partitions)) {
      for (const host of hostsOf(partition)) byHost.get(host)!.push(partition);
    }
    return byHost;
  }
}

const anyone = (): boolean => true;

/**
 * A walk clockwise from one token that chooses distinct hosts.
 * Each choice is the first host clockwise of the best kind left: new zone and new device group, else new device group, else any.
 */
class Preference {
  readonly chosen: number[] = [];
  readonly #hostOfToken: Int32Array;
  readonly #start: number;
  readonly #domains: Domains;
  /** Distinct hosts clockwise, found as far as they were needed. */
  readonly #clockwise: number[] = [];
  readonly #met = new Set<number>();
  #steps = 0;
  readonly #taken = new Set<number>();
  readonly #zones = new Set<number>();
  readonly #groups = new Set<number>();

  constructor(hostOfToken: Int32Array, start: number, domains: Domains) {
    this.#hostOfToken = hostOfToken;
    this.#start = start;
    this.#domains = domains;
  }

  /** Chooses up to `count` more among the hosts that `may` be chosen. */
  take(count: number, may: (host: number) => boolean): void {
    const end = this.chosen.length + count;
    const { zone, group, zones, groups } = this.#domains;
    const isNewGroup = (host: number): boolean => !this.#groups.has(group[host]!);
    const isNewZone = (host: number): boolean => !this.#zones.has(zone[host]!);
    // What was passed over in one pass stays unfit for it, so three passes make the greedy choice.
    this.#pass(
      end,
      (host) => isNewGroup(host) && isNewZone(host) && may(host),
      () => this.#zones.size < zones,
    );
    this.#pass(
      end,
      (host) => isNewGroup(host) && may(host),
      () => this.#groups.size < groups,
    );
    this.#pass(end, may, anyone);
  }

  #pass(end: number, fits: (host: number) => boolean, canFit: () => boolean): void {
    for (let i = 0; this.chosen.length < end && canFit(); i += 1) {
      const host = this.#clockwise[i] ?? this.#meetNext();
      if (host === undefined) return;
      if (!this.#taken.has(host) && fits(host)) this.#choose(host);
    }
  }

  #choose(host: number): void {
    this.chosen.push(host);
    this.#taken.add(host);
    this.#zones.add(this.#domains.zone[host]!);
    this.#groups.add(this.#domains.group[host]!);
  }

  #meetNext(): number | undefined {
    const tokens = this.#hostOfToken;
    while (this.#steps < tokens.length && this.#met.size < this.#domains.zone.length) {
      const host = tokens[(this.#start + this.#steps) % tokens.length]!;
      this.#steps += 1;
      if (host < 0 || this.#met.has(host)) continue;
      this.#met.add(host);
      this.#clockwise.push(host);
      return host;
    }
    return undefined;
  }
}
