/**
 * Placement against its bars (PROTOCOL 2): `node dist/test/bench/placement.js`.
 * Efficiencies and movement are a function of the code; only the timings vary.
 */
import { describePlan } from "../../core/placement/describe-plan.ts";
import { efficiencyOf } from "../../core/placement/efficiency.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { planJoin, planLeave, planRebalance } from "../../core/placement/plan.ts";
import { Ring } from "../../core/placement/ring.ts";
import { commit, fullRing, grow, member } from "../core/placement-cases.ts";
import type { Cluster } from "../core/placement-cases.ts";

const rows: { what: string; measured: string; bar: string; met: string }[] = [];

function row(what: string, measured: number, bar: { atLeast?: number; atMost?: number } = {}): void {
  const { atLeast, atMost } = bar;
  const met = (atLeast === undefined || measured >= atLeast) && (atMost === undefined || measured <= atMost);
  const text = atLeast !== undefined ? `>= ${atLeast}` : atMost !== undefined ? `<= ${atMost}` : "";
  rows.push({ what, measured: measured.toFixed(3), bar: text, met: text === "" ? "" : met ? "yes" : "NO" });
}

function rowsOfEfficiency(what: string, cluster: Cluster, bars?: { primary: number; replica: number }): void {
  const { primary, replica } = efficiencyOf(new Ring(cluster));
  row(`${what}: primary efficiency`, primary, bars && { atLeast: bars.primary });
  row(`${what}: replica efficiency`, replica, bars && { atLeast: bars.replica });
}

function timed<T>(run: () => T): { ms: number; result: T } {
  const start = performance.now();
  const result = run();
  return { ms: performance.now() - start, result };
}

/** The worst ratio of replicas moved to Q*N/S over the joins of a growing cluster. */
function growth(
  what: string,
  shape: (index: number) => Partial<ReturnType<typeof member>>,
  sizes: readonly number[],
): void {
  let worst = 0;
  const { ms } = timed(() => {
    for (const { cluster, hosts, figures } of grow(Math.max(...sizes), { shape })) {
      const share = (1024 * Math.min(3, hosts)) / hosts;
      if (figures) worst = Math.max(worst, figures.replicasMoved / share);
      if (process.argv.includes("--each") && figures)
        console.log(
          what,
          hosts,
          (figures.replicasMoved / share).toFixed(3),
          figures.primaryEfficiency.after.toFixed(3),
          figures.replicaEfficiency.after.toFixed(3),
        );
      if (sizes.includes(hosts))
        rowsOfEfficiency(`${what}, ${hosts} hosts`, cluster, what === "equal" ? bars[hosts] : undefined);
    }
  });
  row(`${what}: worst movement of a join, of Q*N/S`, worst, what === "equal" ? { atMost: 1.15 } : {});
  row(`${what}: all joins and their figures, ms`, ms);
}

const bars: Record<number, { primary: number; replica: number }> = {
  10: { primary: 0.97, replica: 0.95 },
  30: { primary: 0.94, replica: 0.92 },
};

growth("equal", () => ({}), [3, 4, 5, 10, 30]);
growth("3 zones", (i) => ({ zone: `z${i % 3}` }), [10, 30]);
growth("2 zones", (i) => ({ zone: `z${i % 2}` }), [10, 30]);
growth("5 zones, uneven", (i) => ({ zone: `z${Math.floor(Math.sqrt(i))}` }), [10, 25]);
growth("pairs on one device", (i) => ({ deviceGroup: `d${i >> 1}` }), [10, 30]);
growth("1:2:4", (i) => ({ capacity: 100 * 2 ** (i % 3) }), [10, 30]);
growth("half pages of capacity 20", (i) => (i % 2 ? { kind: "browser-host", capacity: 20 } : {}), [10, 30]);

{
  const [last] = grow(30, { shape: (i) => ({ capacity: 100 * 2 ** (i % 3) }) }).slice(-1);
  const ring = new Ring(last!.cluster);
  const total = ring.hosts.reduce((sum, host) => sum + host.capacity, 0);
  const error = (load: (id: (typeof ring.hosts)[number]["id"]) => number, whole: number): number =>
    Math.max(...ring.hosts.map((host) => Math.abs(load(host.id) / ((whole * host.capacity) / total) - 1)));
  row(
    "1:2:4 at 30 hosts: worst error of tokens",
    error((id) => ring.tokensOf(id).length, 1024),
    { atMost: 0.1 },
  );
  row(
    "1:2:4 at 30 hosts: worst error of replicas",
    error((id) => ring.ownedBy(id).length, 3072),
    { atMost: 0.1 },
  );
}

for (const size of [5, 6, 10, 30]) {
  const [last] = grow(size).slice(-1);
  const { cluster } = last!;
  const leaver = cluster.members[1]!.id;
  const plan = planLeave(cluster, leaver);
  const figures = describePlan(cluster, plan);
  rowsOfEfficiency(`one of ${size} left`, commit(cluster, plan));
  row(
    `one of ${size} left: movement, of its replicas`,
    figures.replicasMoved / new Ring(cluster).ownedBy(leaver).length,
  );
  const mended = planRebalance(commit(cluster, plan));
  rowsOfEfficiency(`  then rebalanced`, commit(commit(cluster, plan), mended));
  row(
    `  rebalance: movement, of Q*N/S`,
    describePlan(commit(cluster, plan), mended).replicasMoved / ((1024 * 3) / (size - 1)),
  );
}

{
  const cluster = fullRing(1000);
  const { ms } = timed(() => {
    const ring = new Ring(cluster);
    for (const partition of allPartitions(1024)) ring.owners(partition);
  });
  row("1,000 hosts: owners of a new ring, ms", ms, { atMost: 100 });
  row(
    "1,000 hosts: whole walks of a new ring, ms",
    timed(() => allPartitions(1024).map((p) => new Ring(cluster).walk(p))).ms,
  );
  row("1,000 hosts: fingerprint, ms", timed(() => new Ring(cluster).fingerprint).ms);
  const joiner = member(5000);
  const before = { ...cluster, members: [...cluster.members, joiner] };
  const join = timed(() => planJoin(before, joiner.id));
  row("1,000 hosts: plan of a join, ms", join.ms, { atMost: 2000 });
  row(
    "1,000 hosts: movement of a join, of Q*N/S",
    describePlan(before, join.result).replicasMoved / ((1024 * 3) / 1001),
  );
  row("1,000 hosts: plan of a leave, ms", timed(() => planLeave(cluster, cluster.members[7]!.id)).ms);
  row("1,000 hosts: plan of a rebalance, ms", timed(() => planRebalance(cluster)).ms);
}

console.table(rows);
if (rows.some((line) => line.met === "NO")) process.exitCode = 1;
