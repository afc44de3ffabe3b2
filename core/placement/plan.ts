/**
 * Plans: which tokens change hands when a host joins, leaves, is removed, or the ring is rebalanced (PROTOCOL 2).
 * Invariant: a pure function of its arguments. A plan gives nothing to a host that its planner cannot reach, and replaces no
 * owner of a partition that is being filled, unless forced.
 */
import { invariant } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { PlacedMember } from "../membership/member.ts";
import { mergeAssignments } from "./assignment.ts";
import type { Assignment } from "./assignment.ts";
import { seeded, seedOf } from "./chance.ts";
import { efficiencyOf } from "./efficiency.ts";
import { Layout } from "./layout.ts";
import { allPartitions } from "./partition.ts";
import { Ring } from "./ring.ts";
import type { Placement } from "./ring.ts";
import { nobody, quotasOf, sum } from "./shares.ts";

export interface TokenChange {
  /** The token, by its partition. */
  readonly partition: PartitionIndex;
  readonly from: NodeId | null;
  readonly to: NodeId;
  /** One above the epoch that the planner saw. */
  readonly epoch: number;
}

export interface Plan {
  readonly kind: "join" | "leave" | "remove" | "rebalance";
  /** Whom it is for; null for a rebalance. */
  readonly host: NodeId | null;
  readonly changes: readonly TokenChange[];
  /** Tokens that should change hands too, but may not now (partition filling, nobody reachable): plan again later. */
  readonly withheld: number;
}

export interface PlanOptions {
  /** Hosts that the planner cannot reach: they are given nothing. */
  readonly unreachable?: ReadonlySet<NodeId>;
  /** Partitions with an owner that is filling: none of their owners is replaced. */
  readonly busy?: ReadonlySet<PartitionIndex>;
  /** Plan for busy partitions too. */
  readonly force?: boolean;
  /** Settles the choice among equals; from the host's name where not given. */
  readonly seed?: number;
}

/** How far replica efficiency may stay below primary efficiency before a rebalance moves data to mend it. */
const unevenMax = 0.02;

/** `host` takes its share from those above theirs. It must be a member that is up; one that lost tokens may join again. */
export function planJoin(placement: Placement, host: NodeId, options: PlanOptions = {}): Plan {
  const ring = new Ring(placement);
  const joiner = ring.members.find((member) => member.id === host);
  invariant(joiner?.status === "up", "who joins is a member that is up");
  const others = stayingHosts(ring).filter((member) => member.id !== host);
  const draft = new Draft(ring, [...others, joiner], options);
  const { layout, receivers } = draft;
  const random = seeded(options.seed ?? seedOf(host));

  // With N hosts the order of tokens did not matter, from now on it does. As all own all, tokens may change hands among them
  // without moving data, and it is the last chance to do so: worth waiting for partitions that fill.
  const othersOwnAll = ring.hosts.length === ring.n && ring.host(host) === undefined;
  if (othersOwnAll && receivers.length === layout.hosts.length) {
    if (draft.frozen.size === 0) layout.dealAnew(random);
  } else if (receivers.includes(others.length)) {
    layout.take(others.length, random);
  }
  return draft.plan("join", host, Math.max(layout.quotas[others.length]! - layout.held[others.length]!, 0));
}

/** The tokens of `host` go to the others, by what they lack of their shares. */
export function planLeave(placement: Placement, host: NodeId, options: PlanOptions = {}): Plan {
  return planDeparture("leave", placement, host, options);
}

/** As `planLeave`, for a host that will not come back: nothing is gained by waiting for partitions that fill. */
export function planRemove(placement: Placement, host: NodeId, options: PlanOptions = {}): Plan {
  return planDeparture("remove", placement, host, { force: true, ...options });
}

function planDeparture(kind: "leave" | "remove", placement: Placement, host: NodeId, options: PlanOptions): Plan {
  const ring = new Ring(placement);
  const draft = new Draft(
    ring,
    stayingHosts(ring).filter((member) => member.id !== host),
    options,
  );
  const orphans = allPartitions(ring.partitions).filter((token) => ring.assignment[token]!.host === host);
  const random = seeded(options.seed ?? seedOf(host));
  draft.settle(orphans, random);
  draft.layout.mend(orphans, random);
  return draft.plan(kind, host, orphans.filter((token) => draft.layout.tokens[token] === nobody).length);
}

/**
 * Gives tokens that nobody on the ring has to those who lack some, and evens out the rest. Tokens that lie too close are swapped
 * only where that makes replica load uneven, for it moves data.
 */
export function planRebalance(placement: Placement, options: PlanOptions = {}): Plan {
  const ring = new Ring(placement);
  const random = (): (() => number) => seeded(options.seed ?? 0);
  const draft = evened(ring, options, random());
  const { quotas, held } = draft.layout;
  const lacking = sum(quotas.map((quota, host) => Math.max(quota - held[host]!, 0)));
  const wanted = evened(ring, {}, random()).changed;
  return draft.plan("rebalance", null, Math.max(lacking, wanted - draft.changed));
}

function evened(ring: Ring, options: PlanOptions, random: () => number): Draft {
  const draft = new Draft(ring, stayingHosts(ring), options);
  const { layout, receivers } = draft;
  const tokens = allPartitions(ring.partitions);
  draft.settle(
    tokens.filter((token) => layout.tokens[token] === nobody),
    random,
  );
  for (const host of receivers) layout.take(host, random);

  const { primary, replica } = efficiencyOf(draft.ring());
  if (replica < primary - unevenMax) {
    const isReceiver = new Set(receivers);
    layout.mend(
      tokens.filter((token) => isReceiver.has(layout.tokens[token]!)),
      random,
    );
  }
  return draft;
}

/** Entry by entry, each under its epoch: applying twice, or to a view that has moved on, does no harm. */
export function applyPlan(assignment: Assignment, plan: Plan): Assignment {
  return applyChanges(assignment, plan.changes);
}

function applyChanges(assignment: Assignment, changes: readonly TokenChange[]): Assignment {
  const changed = [...assignment];
  for (const { partition, to, epoch } of changes) changed[partition] = { host: to, epoch };
  return mergeAssignments(assignment, changed);
}

/** Hosts that will have tokens when all is done. */
function stayingHosts(ring: Ring): PlacedMember[] {
  return ring.hosts.filter((member) => member.status === "up");
}

/** A layout of the hosts that stay, and the plan that it comes to. */
class Draft {
  readonly layout: Layout;
  readonly frozen: ReadonlySet<number>;
  /** Indexes of the hosts that may be given tokens. */
  readonly receivers: readonly number[];
  readonly #ring: Ring;
  readonly #busy: ReadonlySet<PartitionIndex>;

  constructor(ring: Ring, hosts: readonly PlacedMember[], { unreachable, busy, force = false }: PlanOptions) {
    this.#ring = ring;
    this.#busy = force ? new Set() : (busy ?? new Set());
    // Among N hosts or fewer a token more or less replaces nobody.
    const crowded = new Set([...ring.hosts, ...hosts].map((host) => host.id)).size > ring.n;
    this.frozen = crowded ? tokensBehind(ring, this.#busy) : new Set();
    const indexOf = new Map<NodeId | null, number>(hosts.map((host, index) => [host.id, index]));
    const tokens = Int32Array.from(ring.assignment, (entry) => indexOf.get(entry.host) ?? nobody);
    const quotas = quotasOf(hosts, ring.n, tokens);
    this.layout = new Layout(hosts, tokens, { n: ring.n, quotas, frozen: this.frozen });
    this.receivers = [...hosts.keys()].filter((index) => !unreachable?.has(hosts[index]!.id));
  }

  settle(tokens: readonly number[], random: () => number): void {
    if (this.receivers.length > 0) this.layout.settle(tokens, this.receivers, random);
  }

  /** The ring as it would be. */
  ring(): Ring {
    const { n, members, assignment } = this.#ring;
    return new Ring({ n, members, assignment: applyChanges(assignment, this.#changes()) });
  }

  get changed(): number {
    return this.#changes().length;
  }

  plan(kind: Plan["kind"], host: NodeId | null, withheld: number): Plan {
    const changes = this.#changes();
    if (this.#replacesBusyOwner()) return { kind, host, changes: [], withheld: withheld + changes.length };
    return { kind, host, changes, withheld };
  }

  #changes(): TokenChange[] {
    const { hosts, tokens } = this.layout;
    return allPartitions(tokens.length).flatMap((partition) => {
      const { host: from, epoch } = this.#ring.assignment[partition]!;
      const to = hosts[tokens[partition]!]?.id;
      return to === undefined || to === from ? [] : [{ partition, from, to, epoch: epoch + 1 }];
    });
  }

  /** The last check: a plan may still bring a new zone or the first Node host to the ring, or take the last token of a host. */
  #replacesBusyOwner(): boolean {
    if (this.#busy.size === 0) return false;
    const after = this.ring();
    return [...this.#busy].some((partition) => {
      const owners = new Set(after.owners(partition));
      return this.#ring.owners(partition).some((owner) => !owners.has(owner));
    });
  }
}

/** The tokens that make the owner sets of some partitions: from each clockwise until its owners have been met. */
function tokensBehind(ring: Ring, partitions: ReadonlySet<PartitionIndex>): Set<number> {
  const behind = new Set<number>();
  for (const partition of partitions) {
    const missing = new Set<NodeId | null>(ring.owners(partition));
    for (let step = 0; missing.size > 0; step += 1) {
      const token = (partition + step) % ring.partitions;
      behind.add(token);
      missing.delete(ring.assignment[token]!.host);
    }
  }
  return behind;
}
