import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { NodeId, PartitionIndex } from "../../core/identity.ts";
import { initialAssignment, mergeAssignments } from "../../core/placement/assignment.ts";
import { describePlan } from "../../core/placement/describe-plan.ts";
import { efficiencyOf } from "../../core/placement/efficiency.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { applyPlan, planJoin, planLeave, planRebalance, planRemove } from "../../core/placement/plan.ts";
import type { Plan, PlanOptions } from "../../core/placement/plan.ts";
import { Ring } from "../../core/placement/ring.ts";
import { fairShares, quotasOf } from "../../core/placement/shares.ts";
import type { Cluster, Shape } from "./placement-cases.ts";
import { anyCluster, commit, grow, member, nodeId } from "./placement-cases.ts";

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

test("hosts that join one by one share primary and replica load evenly, and a join moves no more than its share", () => {
  for (const { cluster, hosts, figures } of grow(30)) {
    const { primary, replica } = efficiencyOf(new Ring(cluster));
    if (hosts >= 3 && hosts <= 10)
      assert.ok(primary >= 0.97 && replica >= 0.95, `${hosts} hosts: ${primary}, ${replica}`);
    assert.ok(primary >= 0.94 && replica >= 0.92, `${hosts} hosts: ${primary}, ${replica}`);
    if (figures)
      assert.ok(figures.replicasMoved <= (1.15 * 1024 * Math.min(3, hosts)) / hosts, `join of host ${hosts}`);
  }
});

test("the bars hold whatever the hosts are called", () => {
  fc.assert(
    fc.property(fc.string({ minLength: 1, maxLength: 8 }), (prefix) => {
      const shape = (index: number): { id: NodeId } => ({ id: `${prefix}${index}` as NodeId });
      const { primary, replica } = efficiencyOf(new Ring(grow(12, { shape }).at(-1)!.cluster));
      assert.ok(primary >= 0.97 && replica >= 0.95);
    }),
    { numRuns: 10 },
  );
});

test("capacities 1:2:4 are met within 10 % at 30 hosts, in tokens and in replicas", () => {
  const { cluster } = grow(30, { shape: (index) => ({ capacity: 100 * 2 ** (index % 3) }) }).at(-1)!;
  const ring = new Ring(cluster);
  const capacity = sum(ring.hosts.map((host) => host.capacity));
  for (const host of ring.hosts) {
    const share = host.capacity / capacity;
    assert.ok(Math.abs(ring.tokensOf(host.id).length / (1024 * share) - 1) <= 0.1);
    assert.ok(Math.abs(ring.ownedBy(host.id).length / (3072 * share) - 1) <= 0.1);
  }
});

test("any N consecutive tokens lie on distinct hosts, zones and device groups, once there are enough of them", () => {
  const grown = grow(30, { shape: (i) => ({ zone: `zone-${i % 6}`, deviceGroup: `machine-${i % 12}` }) }).at(
    -1,
  )!.cluster;
  for (const [labels, cluster] of [
    ["id", grow(8).at(-1)!.cluster],
    ["zone", grown],
    ["deviceGroup", grown],
  ] as const) {
    const ring = new Ring(cluster);
    const labelAt = (token: number): string => ring.host(cluster.assignment[token % 1024]!.host!)![labels];
    const close = allPartitions(1024).filter(
      (token) => new Set([0, 1, 2].map((step) => labelAt(token + step))).size < 3,
    );
    assert.deepEqual(close, [], labels);
  }
});

test("zones, machines and pages cost little balance: the rules of the ring bound load, the plan keeps to the bounds", () => {
  const shapes: Record<string, Shape> = {
    "3 zones": (i) => ({ zone: `zone-${i % 3}` }),
    "4 zones": (i) => ({ zone: `zone-${i % 4}` }),
    "2 to a machine": (i) => ({ deviceGroup: `machine-${Math.floor(i / 2)}` }),
    "half pages": (i) => (i % 2 === 1 ? { kind: "browser-host", capacity: 20 } : {}),
  };
  for (const [name, shape] of Object.entries(shapes)) {
    const { primary, replica } = efficiencyOf(new Ring(grow(10, { shape }).at(-1)!.cluster));
    assert.ok(primary >= 0.97 && replica >= 0.92, `${name}: ${primary}, ${replica}`);
  }
});

test("hosts come and go, and neither balance nor movement wears out", () => {
  const coming = fc.array(fc.tuple(fc.boolean(), fc.nat()), { minLength: 20, maxLength: 20 });
  fc.assert(
    fc.property(coming, (events) => {
      let { cluster } = grow(8).at(-1)!;
      for (const [index, [joins, who]] of events.entries()) {
        const change = joins ? member(100 + index) : cluster.members[who % cluster.members.length]!;
        if (!joins && cluster.members.length <= 5) continue;
        const before = joins ? { ...cluster, members: [...cluster.members, change] } : cluster;
        const plan = joins ? planJoin(before, change.id) : planLeave(before, change.id);
        const figures = describePlan(before, plan);
        const own = figures.hosts.find((host) => host.id === change.id)!.replicas;
        assert.ok(figures.replicasMoved <= 1.05 * Math.max(own.before, own.after));
        cluster = commit(before, plan);
        if (!joins) cluster = { ...cluster, members: cluster.members.filter((m) => m !== change) };
      }
      const { primary, replica } = efficiencyOf(new Ring(cluster));
      assert.ok(primary >= 0.94 && replica >= 0.92, `${primary}, ${replica}`);
    }),
    { numRuns: 20 },
  );
});

test("a join gives tokens to the joining host alone, but where all hosts own everything: there nobody else gets data", () => {
  for (const size of [2, 3, 4, 5, 9]) {
    const steps = grow(size);
    const { cluster } = steps.at(-2)!;
    const joiner = member(size - 1);
    const before = { ...cluster, members: [...cluster.members, joiner] };
    const plan = planJoin(before, joiner.id);
    if (size !== 4) assert.deepEqual(new Set(plan.changes.map((change) => change.to)), new Set([joiner.id]));
    const gained = describePlan(before, plan).hosts.find((host) => host.id === joiner.id)!.replicas.after;
    assert.equal(describePlan(before, plan).replicasMoved, gained, "every replica that moves is the joining host's");
  }
});

test("a host with a thousandth of the capacity still gets a token, one with all of it no more than it can own", () => {
  const { cluster } = grow(8, { shape: (index) => ({ capacity: index === 3 ? 1 : index === 4 ? 100_000 : 100 }) }).at(
    -1,
  )!;
  const ring = new Ring(cluster);
  assert.ok(ring.tokensOf(nodeId(3)).length >= 1);
  assert.ok(Math.abs(ring.tokensOf(nodeId(4)).length / 1024 - 1 / 3) < 0.01);
});

test("where owners must be spread over few zones, each zone's share is what the rule gives it, not its capacity", () => {
  for (const [zones, n, expected] of [
    [["a", "b", "b", "b", "b", "b"], 3, 1 / 3],
    [["a", "a", "a", "a", "a", "b"], 3, 2 / 3],
    [["a", "a", "a", "a", "a", "b", "c", "d"], 3, 1 / 3],
    [["a", "b", "b", "b", "b", "c", "c", "c"], 5, 1 / 5],
    [["a", "a", "b", "c", "d", "e", "f", "g"], 3, 1 / 4],
  ] as const) {
    const hosts = zones.map((zone, index) => member(index, { zone }));
    const share = sum(fairShares(hosts, n).filter((_, index) => zones[index] === "a"));
    assert.ok(Math.abs(share - expected) < 1e-3, `${zones.join("")}, n=${n}: ${share}`);
  }
});

test("quotas are whole tokens next to the share, together Q, and at least one while there are enough", () => {
  const capacities = fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 80 });
  fc.assert(
    fc.property(capacities, fc.integer({ min: 0, max: 10 }), (weights, bits) => {
      const tokens = 2 ** bits;
      const hosts = weights.map((capacity, index) => member(index, { capacity }));
      const shares = fairShares(hosts, 3);
      const quotas = quotasOf(hosts, 3, new Int32Array(tokens));
      assert.ok(Math.abs(sum(shares) - 1) < 1e-9);
      assert.equal(sum(quotas), tokens);
      if (tokens >= weights.length) assert.ok(Math.min(...quotas) >= 1);
      for (const [index, quota] of quotas.entries()) assert.ok(quota <= Math.max(shares[index]! * tokens + 1, 1));
    }),
  );
});

/** Any messy cluster, any plan for it, with any hosts unreachable and any partitions busy. */
function onAnyPlan(check: (cluster: Cluster, plan: Plan, options: PlanOptions) => void): void {
  const settings = fc.record({
    which: fc.nat(3),
    who: fc.nat(8),
    down: fc.array(fc.nat(8)),
    busy: fc.array(fc.nat(31)),
    force: fc.boolean(),
  });
  fc.assert(
    fc.property(anyCluster(), settings, (cluster, { which, who, down, busy, force }) => {
      const options: PlanOptions = {
        unreachable: new Set(down.map(nodeId)),
        busy: new Set(busy.filter((partition) => partition < cluster.assignment.length) as PartitionIndex[]),
        force,
      };
      const up = cluster.members.filter((m) => m.status === "up");
      if (which === 3) return check(cluster, planRebalance(cluster, options), options);
      const host = which === 0 ? up[who % up.length]?.id : nodeId(who);
      if (host === undefined) return;
      const planner = [planJoin, planLeave, planRemove][which]!;
      check(cluster, planner(cluster, host, options), options);
    }),
    { numRuns: 1000 },
  );
}

test("a plan raises the epoch of each entry by one and names its holder, once per token", () => {
  onAnyPlan(({ assignment }, { changes }) => {
    for (const { partition, from, to, epoch } of changes) {
      assert.deepEqual(assignment[partition], { host: from, epoch: epoch - 1 });
      assert.notEqual(from, to);
    }
    assert.equal(new Set(changes.map((change) => change.partition)).size, changes.length);
  });
});

test("a plan gives tokens only to reachable members that are up, and never to the one that goes", () => {
  onAnyPlan(({ members }, plan, { unreachable }) => {
    for (const { to } of plan.changes) {
      assert.ok(!unreachable!.has(to));
      assert.equal(members.find((m) => m.id === to)?.status, "up");
      if (plan.kind === "leave" || plan.kind === "remove") assert.notEqual(to, plan.host);
    }
  });
});

test("a plan replaces no owner of a partition that is being filled, unless forced", () => {
  onAnyPlan((cluster, plan, { busy, force }) => {
    if (force || plan.kind === "remove") return;
    const [before, after] = [new Ring(cluster), new Ring(commit(cluster, plan))];
    for (const partition of busy!) {
      for (const owner of before.owners(partition)) {
        assert.ok(after.owners(partition).includes(owner), `${owner} of ${partition}`);
      }
    }
  });
});

test("a join works around a partition that is being filled: it still takes its share elsewhere", () => {
  const { cluster } = grow(6).at(-1)!;
  const joiner = member(6);
  const before = { ...cluster, members: [...cluster.members, joiner] };
  const plan = planJoin(before, joiner.id, {
    busy: new Set([5, 100, 200, 300, 400, 500, 600, 700, 800, 1023] as PartitionIndex[]),
  });
  assert.ok(plan.changes.length >= Math.floor(1024 / 7));
  assert.equal(plan.withheld, 0);
});

test("who leaves or is removed keeps nothing but what was withheld; the others keep all they had", () => {
  onAnyPlan((cluster, plan) => {
    if (plan.kind !== "leave" && plan.kind !== "remove") return;
    const after = commit(cluster, plan).assignment;
    assert.equal(after.filter((entry) => entry.host === plan.host).length, plan.withheld);
    for (const { from } of plan.changes) assert.equal(from, plan.host);
  });
});

test("equal arguments give the equal plan, in whatever order the members are listed", () => {
  fc.assert(
    fc.property(anyCluster(), (cluster) => {
      const reversed = { ...cluster, members: cluster.members.toReversed() };
      assert.deepEqual(planRebalance(cluster), planRebalance(reversed));
      const joiner = cluster.members.find((m) => m.status === "up");
      if (joiner) assert.deepEqual(planJoin(cluster, joiner.id), planJoin(reversed, joiner.id));
      assert.deepEqual(planLeave(cluster, nodeId(0)), planLeave(reversed, nodeId(0)));
    }),
  );
});

test("a plan can be applied twice, and changes nothing in a view that has moved on", () => {
  const { cluster } = grow(5).at(-1)!;
  const plan = planLeave(cluster, nodeId(2));
  const once = applyPlan(cluster.assignment, plan);
  assert.deepEqual(applyPlan(once, plan), once);
  const later = applyPlan(once, planLeave({ ...cluster, assignment: once }, nodeId(3)));
  assert.deepEqual(mergeAssignments(later, applyPlan(cluster.assignment, plan)), later);
});

test("two hosts that join at once both get tokens, nobody falls off the ring, and a rebalance evens it out", () => {
  for (const size of [1, 2, 3, 4, 10]) {
    const { cluster } = grow(size).at(-1)!;
    const members = [...cluster.members, member(100), member(101)];
    const views = [member(100), member(101)].map((joiner) =>
      commit({ ...cluster, members }, planJoin({ ...cluster, members }, joiner.id)),
    );
    const merged = { ...cluster, members, assignment: mergeAssignments(views[0]!.assignment, views[1]!.assignment) };
    assert.equal(new Ring(merged).hosts.length, size + 2);
    const mended = commit(merged, planRebalance(merged));
    const { primary, replica } = efficiencyOf(new Ring(mended));
    assert.ok(primary >= 0.97 && replica >= 0.95, `${size} + 2 hosts: ${primary}, ${replica}`);
  }
});

test("a rebalance that waits for partitions which fill, or for a host, says so, also where each host has its share (seed 6001226)", () => {
  const { cluster } = grow(6).at(-1)!;
  // One host's tokens lie side by side: the two next to them own all its partitions.
  const isOfFirst = ({ host }: { readonly host: NodeId | null }): number => Number(host === nodeId(0));
  const uneven = { ...cluster, assignment: cluster.assignment.toSorted((a, b) => isOfFirst(a) - isOfFirst(b)) };
  const wanted = planRebalance(uneven).changes.length;
  assert.ok(wanted > 0);
  const waiting = planRebalance(uneven, { busy: new Set(allPartitions(1024)) });
  assert.deepEqual([waiting.changes, waiting.withheld], [[], wanted]);
  const others = cluster.members.map(({ id }) => id);
  const alone = planRebalance(uneven, { unreachable: new Set(others) });
  assert.deepEqual([alone.changes, alone.withheld], [[], wanted]);
  assert.equal(planRebalance(uneven).withheld, 0);
});

test("a ring that grew by joins needs no rebalance", () => {
  for (const { cluster } of grow(12)) assert.deepEqual(planRebalance(cluster).changes, []);
});

test("hosts leave one by one down to one, and load stays even", () => {
  let { cluster } = grow(12).at(-1)!;
  for (let left = 11; left >= 1; left -= 1) {
    const leaver = cluster.members.at(-1)!.id;
    const before = new Ring(cluster).ownedBy(leaver).length;
    const plan = planLeave(cluster, leaver);
    if (left >= 3) assert.ok(describePlan(cluster, plan).replicasMoved <= 1.15 * before, `${left} hosts left`);
    cluster = { ...commit(cluster, plan), members: cluster.members.slice(0, -1) };
    const { primary, replica } = efficiencyOf(new Ring(cluster));
    assert.ok(primary >= 0.9 && replica >= 0.85, `${left} hosts left: ${primary}, ${replica}`);
  }
});

test("the last host has nobody to leave its tokens to: they are withheld", () => {
  const cluster = { n: 3, members: [member(0)], assignment: initialAssignment(nodeId(0), 8) };
  const plan = planLeave(cluster, nodeId(0));
  assert.deepEqual([plan.changes, plan.withheld], [[], 8]);
});

test("tokens of a removed host go to those who lack some", () => {
  const { cluster } = grow(6).at(-1)!;
  const members = cluster.members.map((m) => (m.id === nodeId(2) ? { ...m, status: "removed" as const } : m));
  const removed = { ...cluster, members };
  assert.equal(new Ring(removed).hosts.length, 5);
  for (const plan of [planRemove(removed, nodeId(2)), planRebalance(removed)]) {
    const after = commit(removed, plan);
    assert.ok(after.assignment.every((entry) => entry.host !== nodeId(2)));
    const { primary, replica } = efficiencyOf(new Ring(after));
    assert.ok(primary >= 0.95 && replica >= 0.95, `${plan.kind}: ${primary}, ${replica}`);
  }
});

test("a plan's figures say what changes hands", () => {
  const { cluster } = grow(4).at(-1)!;
  const joiner = member(4);
  const before = { ...cluster, members: [...cluster.members, joiner] };
  const plan = planJoin(before, joiner.id);
  const figures = describePlan(before, plan);
  assert.deepEqual(figures.hosts.find((host) => host.id === joiner.id)?.tokens, {
    before: 0,
    after: plan.changes.length,
  });
  assert.equal(sum(figures.hosts.map((host) => host.tokens.after)), 1024);
  assert.equal(figures.replicasMoved, 3 * plan.changes.length);
  assert.equal(figures.partitionsChanged, 3 * plan.changes.length);
});
