/**
 * Clusters for the placement tests and their benchmark.
 */
import * as fc from "fast-check";
import type { NodeId } from "../../core/identity.ts";
import type { PlacedMember } from "../../core/membership/member.ts";
import { initialAssignment } from "../../core/placement/assignment.ts";
import type { Assignment, AssignmentEntry } from "../../core/placement/assignment.ts";
import { describePlan } from "../../core/placement/describe-plan.ts";
import type { PlanFigures } from "../../core/placement/describe-plan.ts";
import { applyPlan, planJoin } from "../../core/placement/plan.ts";
import type { Plan } from "../../core/placement/plan.ts";

export interface Cluster {
  readonly n: number;
  readonly members: readonly PlacedMember[];
  readonly assignment: Assignment;
}

export function nodeId(index: number): NodeId {
  return `host-${String(index).padStart(4, "0")}` as NodeId;
}

export function member(index: number, shape: Partial<PlacedMember> = {}): PlacedMember {
  return { id: nodeId(index), life: 1, status: "up", kind: "host", capacity: 100, zone: "", deviceGroup: "", ...shape };
}

export function commit(cluster: Cluster, plan: Plan): Cluster {
  return { ...cluster, assignment: applyPlan(cluster.assignment, plan) };
}

/** What is special about the host that joins as the index-th. */
export type Shape = (index: number) => Partial<PlacedMember>;

interface Growth {
  readonly cluster: Cluster;
  readonly hosts: number;
  readonly figures?: PlanFigures;
}

/** A cluster after each of its joins, one by one. */
export function grow(
  hosts: number,
  { shape = () => ({}), partitions = 1024, n = 3 }: { shape?: Shape; partitions?: number; n?: number } = {},
): Growth[] {
  const first = member(0, shape(0));
  let cluster: Cluster = { n, members: [first], assignment: initialAssignment(first.id, partitions) };
  const steps: Growth[] = [{ cluster, hosts: 1 }];
  for (let index = 1; index < hosts; index += 1) {
    const joiner = member(index, shape(index));
    const before = { ...cluster, members: [...cluster.members, joiner] };
    const plan = planJoin(before, joiner.id);
    cluster = commit(before, plan);
    steps.push({ cluster, hosts: index + 1, figures: describePlan(before, plan) });
  }
  return steps;
}

/** Tokens dealt out one by one. */
export function fullRing(hosts: number, partitions = 1024): Cluster {
  const members = Array.from({ length: hosts }, (_, index) => member(index));
  const assignment = Array.from({ length: partitions }, (_, token) => ({ host: nodeId(token % hosts), epoch: 1 }));
  return { n: 3, members, assignment };
}

/** Any views of the same few tokens: entries that collide in epoch, in host, or in neither. */
export function anyAssignment(partitions: number): fc.Arbitrary<Assignment> {
  const host = fc.option(fc.nat(3).map(nodeId));
  return fc.array(anyEntry(host), { minLength: partitions, maxLength: partitions });
}

/** Any members with zones, device groups, kinds and statuses, and any tokens, also of hosts that nobody knows. */
export function anyCluster(): fc.Arbitrary<Cluster> {
  const shape = fc.record({
    status: fc.constantFrom("up", "up", "up", "leaving", "left", "removed", "lapsed"),
    kind: fc.constantFrom("host", "browser-host"),
    capacity: fc.integer({ min: 1, max: 400 }),
    zone: fc.constantFrom("", "a", "b", "c"),
    deviceGroup: fc.constantFrom("", "", "g", "h"),
  }) as fc.Arbitrary<Partial<PlacedMember>>;
  return fc
    .tuple(
      fc.integer({ min: 1, max: 4 }),
      fc.array(shape, { minLength: 1, maxLength: 9 }),
      fc.integer({ min: 0, max: 5 }),
    )
    .chain(([n, shapes, bits]) => {
      const host = fc.option(fc.nat(shapes.length).map(nodeId), { freq: 9 });
      const assignment = fc.array(anyEntry(host), { minLength: 2 ** bits, maxLength: 2 ** bits });
      return assignment.map((tokens) => ({
        n,
        members: shapes.map((s, index) => member(index, s)),
        assignment: tokens,
      }));
    });
}

function anyEntry(host: fc.Arbitrary<NodeId | null>): fc.Arbitrary<AssignmentEntry> {
  return fc.record({ host, epoch: fc.nat(3) }, { noNullPrototype: true });
}
