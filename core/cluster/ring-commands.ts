/**
 * What an operator asks of the ring: join, leave, remove, rebalance (PROTOCOL 2, 9). A plan is made from this node's view,
 * can be looked at, and is committed as one change of the persisted history.
 * Invariants: a refused command changes nothing; a plan gives nothing to a host that this node cannot reach, and replaces
 * no owner of a partition while one of its owners is filling, unless the host is dead for good (`remove`).
 */
import type { PlanView, RingRequest } from "../api.ts";
import { hasBit } from "../bytes/bitmap.ts";
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { MemberRecord } from "../membership/member.ts";
import { type RosterPart, ringMembers } from "../membership/roster.ts";
import { describePlan } from "../placement/describe-plan.ts";
import { allPartitions } from "../placement/partition.ts";
import {
  applyPlan,
  type Plan,
  planJoin,
  planLeave,
  type PlanOptions,
  planRebalance,
  planRemove,
} from "../placement/plan.ts";
import type { Placement } from "../placement/ring.ts";
import { sum } from "../placement/shares.ts";
import type { Clock } from "../ports.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Cluster } from "./cluster.ts";

export interface RingCommandDeps {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  /** Keys and bytes held here, to estimate what a plan copies. */
  readonly held: () => Promise<{
    readonly keysIn: (partition: PartitionIndex) => number;
    readonly bytesPerKey: number;
  }>;
}

type Planner = (placement: Placement, host: NodeId, options: PlanOptions) => Plan;

export class RingCommands {
  readonly #deps: RingCommandDeps;

  constructor(deps: RingCommandDeps) {
    this.#deps = deps;
  }

  /** What a change would move, without making it. @throws StoreError as `change` does */
  async plan(request: RingRequest): Promise<PlanView> {
    const held = await this.#deps.held();
    return this.#viewOf(this.#planFor(request), held);
  }

  /**
   * Plans and commits; durable here when it resolves, and told to the others then. With `ring` only what was planned on
   * that ring. `leave` is for this node itself, and goes on by itself from here (`background/leave.ts`).
   * @throws StoreError `not-found` (no such host), `precondition-failed` (the host's status, or another ring),
   *   `not-ready` (nothing can be given now)
   */
  async change(request: RingRequest, options: { readonly ring?: string } = {}): Promise<PlanView> {
    const { cluster, telemetry } = this.#deps;
    const held = await this.#deps.held();
    if (options.ring !== undefined && options.ring !== cluster.ring.fingerprint) {
      throw refused(
        `the ring has changed since that plan (${options.ring}, now ${cluster.ring.fingerprint}): plan again`,
      );
    }
    const plan = this.#planFor(request);
    if (request.kind === "leave" && request.host !== cluster.self) {
      throw refused(`a host leaves by itself: send this to ${request.host}, or remove it if it is dead for good`);
    }
    if (request.kind === "join" && plan.changes.length === 0 && plan.withheld > 0) {
      throw new StoreError("not-ready", `${plan.withheld} tokens wait for partitions that are filling: try again then`);
    }
    const view = this.#viewOf(plan, held);
    const isEven = (request.kind === "join" || request.kind === "rebalance") && plan.changes.length === 0;
    if (isEven) return view; // nothing to commit, and nothing for the history
    await this.#commit(plan);
    telemetry.event({ kind: "ring-planned", change: plan.kind, host: plan.host ?? "", tokens: plan.changes.length });
    return view;
  }

  /** A signature takes a moment: what goes with it is planned anew then, on the ring that is. */
  async #commit(plan: Plan): Promise<void> {
    const { cluster, clock } = this.#deps;
    const { host } = plan;
    const partNow = (replan: Planner): RosterPart =>
      partOf(cluster, replan(placementOf(cluster), host!, planOptions(cluster)), clock.wallTime());
    if (plan.kind === "remove") return cluster.retire(host!, "removed", () => partNow(planRemove));
    if (plan.kind !== "leave") return cluster.commit(partOf(cluster, plan, clock.wallTime()));
    // First, or it would take a share again as a host without tokens does.
    await cluster.amend({ status: "leaving" });
    await cluster.commit(partNow(planLeave));
  }

  #planFor(request: RingRequest): Plan {
    const { cluster } = this.#deps;
    const placement = placementOf(cluster);
    const options = planOptions(cluster);
    if (request.kind === "rebalance") return planRebalance(placement, options);
    const host = memberNamed(cluster, request.host);
    if (request.kind === "join") {
      checkJoins(cluster, host);
      return planJoin(placement, host.id, options);
    }
    checkDeparts(cluster, host);
    if (request.kind === "leave") return planLeave(placement, host.id, options);
    checkRemoves(cluster, host, "force" in request && request.force);
    return planRemove(placement, host.id, options);
  }

  #viewOf(plan: Plan, { keysIn, bytesPerKey }: Awaited<ReturnType<RingCommandDeps["held"]>>): PlanView {
    const { ring } = this.#deps.cluster;
    const figures = describePlan(placementOf(this.#deps.cluster), plan);
    const known = allPartitions(ring.partitions).map(keysIn);
    const counted = known.filter((keys) => keys > 0);
    const typical = sum(counted) / Math.max(1, counted.length);
    // Where nothing is held here, a partition is taken for a typical one.
    const keys = Math.round(sum(figures.copies.map((copies, p) => copies * (known[p]! > 0 ? known[p]! : typical))));
    return {
      change: plan.kind,
      host: plan.host,
      ring: ring.fingerprint,
      tokens: plan.changes.length,
      withheld: plan.withheld,
      partitionsChanged: figures.partitionsChanged,
      partitionsCopied: figures.replicasMoved,
      keys,
      bytes: Math.round(keys * bytesPerKey),
      balance: { tokens: figures.primaryEfficiency, replicas: figures.replicaEfficiency },
      hosts: figures.hosts,
    };
  }
}

/** The change as membership knows it: tokens, and a line of history. */
export function partOf(cluster: Cluster, plan: Plan, atMs: number): RosterPart {
  const { roster, self } = cluster;
  const change = { by: self, atMs, verb: plan.kind, subject: plan.host ?? self, tokens: plan.changes.length };
  return { assignment: applyPlan(roster.assignment, plan), changes: [change] };
}

/** A lapse is planned as a removal is: its host does not come to give its tokens away, and its place waits for nothing. */
export function lapseOf(cluster: Cluster, { id, life }: MemberRecord, atMs: number): RosterPart {
  const { roster, self } = cluster;
  const plan = planRemove(placementOf(cluster), id, planOptions(cluster));
  const change = { by: self, atMs, verb: "lapse", subject: id, life, tokens: plan.changes.length } as const;
  return { assignment: applyPlan(roster.assignment, plan), changes: [change] };
}

export function placementOf({ roster }: Cluster): Placement {
  return { n: roster.cluster.n, members: ringMembers(roster), assignment: roster.assignment };
}

export function planOptions(cluster: Cluster): PlanOptions {
  const members = ringMembers(cluster.roster);
  const unreachable = new Set(members.flatMap(({ id }) => (cluster.health.isUp(id) ? [] : [id])));
  return { unreachable, busy: busyPartitions(cluster) };
}

/** An owner of these is filling: replacing another one could leave nobody complete. */
function busyPartitions(cluster: Cluster): ReadonlySet<PartitionIndex> {
  const { ring, roster } = cluster;
  const filling = [...roster.holdings.values()].filter(({ id }) => cluster.isMember(id));
  const isBusy = (partition: PartitionIndex): boolean =>
    filling.some(({ id, filling: bits }) => hasBit(bits, partition) && ring.owners(partition).includes(id));
  return new Set(allPartitions(ring.partitions).filter(isBusy));
}

function memberNamed({ roster }: Cluster, id: string): MemberRecord {
  const member = roster.members.get(id as NodeId);
  if (member !== undefined) return member;
  throw new StoreError("not-found", `no member ${id}; there are ${[...roster.members.keys()].join(", ")}`);
}

function checkJoins(cluster: Cluster, { id, status }: MemberRecord): void {
  if (status === "leaving") throw refused(`${id} is leaving`);
  if (status === "lapsed") throw refused(`${id} was silent for longer than its lease: it returns by itself`);
  if (status !== "up") throw refused(`${id} was ${wordFor(status)}: it returns when it is started with --seed`);
  if (!cluster.health.isUp(id)) throw refused(`${id} does not answer: a plan gives nothing to such a host`);
}

function checkDeparts(cluster: Cluster, { id, status }: MemberRecord): void {
  if (status === "leaving" && id === cluster.self)
    throw refused("this host is leaving already: it goes on by itself, and ends when it is done");
  if (!cluster.isMember(id)) throw refused(`${id} is no member any more: it was ${wordFor(status)}`);
  const others = ringMembers(cluster.roster).filter((member) => member.id !== id && member.status === "up");
  if (others.length === 0) throw refused(`${id} is the last host: with it all data would be gone`);
}

function checkRemoves(cluster: Cluster, { id }: MemberRecord, isForced: boolean): void {
  if (id === cluster.self) throw refused("this host can only leave: others remove one that is dead");
  if (isForced || !cluster.health.isUp(id)) return;
  throw refused(`${id} answers: let it leave, or remove it by force if it must go at once`);
}

function wordFor(status: MemberRecord["status"]): string {
  return status === "left" ? "told to leave and has left" : status;
}

function refused(message: string): StoreError {
  return new StoreError("precondition-failed", message);
}
