/**
 * What a plan would do, in figures: shown before it is committed.
 */
import type { NodeId, PartitionIndex } from "../identity.ts";
import { efficiencyOf } from "./efficiency.ts";
import { allPartitions } from "./partition.ts";
import { applyPlan } from "./plan.ts";
import type { Plan } from "./plan.ts";
import { Ring } from "./ring.ts";
import type { Placement } from "./ring.ts";
import { sum } from "./shares.ts";

export interface Change {
  readonly before: number;
  readonly after: number;
}

export interface PlanFigures {
  /** Every host on the ring before or after, by id. */
  readonly hosts: readonly { readonly id: NodeId; readonly tokens: Change; readonly replicas: Change }[];
  /** Partitions whose owner set changes. */
  readonly partitionsChanged: number;
  /** (partition, new owner) pairs: what must be copied. */
  readonly replicasMoved: number;
  /** The same by partition: how many new owners it gets. */
  readonly copies: readonly number[];
  readonly primaryEfficiency: Change;
  readonly replicaEfficiency: Change;
}

export function describePlan(placement: Placement, plan: Plan): PlanFigures {
  const members = [...placement.members];
  const before = new Ring({ ...placement, members });
  const after = new Ring({ n: placement.n, members, assignment: applyPlan(placement.assignment, plan) });
  const moved = allPartitions(before.partitions).map((partition) => newOwners(before, after, partition));
  const ids = [...new Set([...before.hosts, ...after.hosts].map((host) => host.id))].toSorted();
  const [efficiencyBefore, efficiencyAfter] = [efficiencyOf(before), efficiencyOf(after)];
  return {
    hosts: ids.map((id) => ({
      id,
      tokens: { before: before.tokensOf(id).length, after: after.tokensOf(id).length },
      replicas: { before: before.ownedBy(id).length, after: after.ownedBy(id).length },
    })),
    partitionsChanged: allPartitions(before.partitions).filter((p) => moved[p]! > 0 || newOwners(after, before, p) > 0)
      .length,
    replicasMoved: sum(moved),
    copies: moved,
    primaryEfficiency: { before: efficiencyBefore.primary, after: efficiencyAfter.primary },
    replicaEfficiency: { before: efficiencyBefore.replica, after: efficiencyAfter.replica },
  };
}

function newOwners(before: Ring, after: Ring, partition: PartitionIndex): number {
  const known = new Set(before.owners(partition));
  return after.owners(partition).filter((owner) => !known.has(owner)).length;
}
