/**
 * Placement against its bars (PROTOCOL 2).
 * Efficiencies and movement are a function of the code, and tests hold them; the timings depend on the machine.
 */
import { describePlan } from "../../core/placement/describe-plan.ts";
import { efficiencyOf } from "../../core/placement/efficiency.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { planJoin, planLeave, planRebalance } from "../../core/placement/plan.ts";
import { Ring } from "../../core/placement/ring.ts";
import { commit, fullRing, grow, member } from "../core/placement-cases.ts";
import type { Cluster, Shape } from "../core/placement-cases.ts";
import type { Bench } from "../tools/trial.ts";

interface Bar {
  readonly atLeast?: number;
  readonly atMost?: number;
}

export const bench: Bench = {
  name: "placement",
  summary: "balance and movement of the ring as hosts join and leave, and what planning costs",
  async run({ short }) {
    rows.length = 0;
    equalHosts();
    weights();
    unequalHosts("capacities 1:2:4", (i) => ({ capacity: 100 * 2 ** (i % 3) }));
    unequalHosts("3 zones", (i) => ({ zone: `zone-${i % 3}` }));
    unequalHosts("4 zones", (i) => ({ zone: `zone-${i % 4}` }));
    unequalHosts("2 to a machine", (i) => ({ deviceGroup: `machine-${Math.floor(i / 2)}` }));
    unequalHosts("half pages of capacity 20", (i) => (i % 2 === 1 ? { kind: "browser-host", capacity: 20 } : {}));
    for (const size of [5, 10, 30]) leaving(size);
    if (!short) thousandHosts();
    return [{ title: "", rows }];
  },
};

const rows: { what: string; measured: number; bar: string; met: string }[] = [];

function row(what: string, measured: number, { atLeast, atMost }: Bar = {}): void {
  const met = measured >= (atLeast ?? -Infinity) && measured <= (atMost ?? Infinity);
  const bar = atLeast !== undefined ? `>= ${atLeast}` : atMost !== undefined ? `<= ${atMost}` : "";
  rows.push({ what, measured, bar, met: bar === "" ? "" : met ? "yes" : "NO" });
}

function efficiencyRows(what: string, cluster: Cluster, bars?: { primary: number; replica: number }): void {
  const { primary, replica } = efficiencyOf(new Ring(cluster));
  row(`${what}: primary efficiency`, primary, bars && { atLeast: bars.primary });
  row(`${what}: replica efficiency`, replica, bars && { atLeast: bars.replica });
}

function timed<T>(run: () => T): { ms: number; result: T } {
  const start = performance.now();
  const result = run();
  return { ms: performance.now() - start, result };
}

/** Equal hosts join one by one: the bars proper. */
function equalHosts(): void {
  const { ms, result: steps } = timed(() => grow(30));
  const bars: Record<number, { primary: number; replica: number }> = {
    10: { primary: 0.97, replica: 0.95 },
    30: { primary: 0.94, replica: 0.92 },
  };
  for (const { cluster, hosts } of steps) {
    if ([3, 4, 5, 10, 20, 30].includes(hosts)) efficiencyRows(`${hosts} equal hosts`, cluster, bars[hosts]);
  }
  const moved = steps.map(
    ({ figures, hosts }) => ((figures?.replicasMoved ?? 0) * hosts) / (1024 * Math.min(3, hosts)),
  );
  row("worst movement of the 29 joins, of Q*N/S", Math.max(...moved), { atMost: 1.15 });
  row("all 29 joins with their figures, ms", ms);
}

/** Hosts that differ: what a join moves is compared with what the joining host owns afterwards. */
function unequalHosts(what: string, shape: Shape): void {
  const steps = grow(30, { shape });
  for (const { cluster, hosts } of steps)
    if ([6, 10, 30].includes(hosts)) efficiencyRows(`${what}, ${hosts} hosts`, cluster);
  const extra = steps.slice(1).map(({ cluster, figures }) => {
    const joined = cluster.members.at(-1)!.id;
    return figures!.replicasMoved / figures!.hosts.find((host) => host.id === joined)!.replicas.after;
  });
  row(`${what}: worst movement of a join, of what it owns then`, Math.max(...extra));
}

function weights(): void {
  const ring = new Ring(grow(30, { shape: (i) => ({ capacity: 100 * 2 ** (i % 3) }) }).at(-1)!.cluster);
  const capacity = ring.hosts.reduce((sum, host) => sum + host.capacity, 0);
  const worst = (loads: number[], whole: number): number =>
    Math.max(...loads.map((load, i) => Math.abs((load * capacity) / (whole * ring.hosts[i]!.capacity) - 1)));
  const tokens = ring.hosts.map((host) => ring.tokensOf(host.id).length);
  const replicas = ring.hosts.map((host) => ring.ownedBy(host.id).length);
  row("capacities 1:2:4, 30 hosts: worst error of tokens", worst(tokens, 1024), { atMost: 0.1 });
  row("capacities 1:2:4, 30 hosts: worst error of replicas", worst(replicas, 3072), { atMost: 0.1 });
}

function leaving(size: number): void {
  const { cluster } = grow(size).at(-1)!;
  const leaver = cluster.members[1]!.id;
  const plan = planLeave(cluster, leaver);
  efficiencyRows(`one of ${size} left`, commit(cluster, plan));
  const owned = new Ring(cluster).ownedBy(leaver).length;
  row(`one of ${size} left: movement, of what it owned`, describePlan(cluster, plan).replicasMoved / owned);
}

function everyOwners(ring: Ring): void {
  for (const partition of allPartitions(ring.partitions)) ring.owners(partition);
}

function thousandHosts(): void {
  const cluster = fullRing(1000);
  const joiner = member(5000);
  const before = { ...cluster, members: [...cluster.members, joiner] };
  row("1,000 hosts: owners of a new ring, ms", timed(() => everyOwners(new Ring(cluster))).ms, { atMost: 100 });
  row("1,000 hosts: whole walk of one partition, ms", timed(() => new Ring(cluster).walk(allPartitions(1)[0]!)).ms);
  row("1,000 hosts: fingerprint, ms", timed(() => new Ring(cluster).fingerprint).ms);
  const { ms, result: plan } = timed(() => planJoin(before, joiner.id));
  row("1,000 hosts: plan of a join, ms", ms, { atMost: 2000 });
  row("1,000 hosts: movement of a join, of Q*N/S", describePlan(before, plan).replicasMoved / ((1024 * 3) / 1001));
  row("1,000 hosts: plan of a leave, ms", timed(() => planLeave(cluster, cluster.members[7]!.id)).ms);
  row("1,000 hosts: plan of a rebalance, ms", timed(() => planRebalance(cluster)).ms);
}
