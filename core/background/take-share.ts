/**
 * A new member takes its share of the tokens: it plans from its own view and commits the plan as one change (PROTOCOL 2).
 * Partitions that are filling keep their owners, so a join right after another one waits, and is finished here.
 */
import type { Cluster } from "../cluster/cluster.ts";
import { hasBit } from "../bytes/bitmap.ts";
import type { PartitionIndex } from "../identity.ts";
import { ringMembers } from "../membership/roster.ts";
import { allPartitions } from "../placement/partition.ts";
import { applyPlan, planJoin } from "../placement/plan.ts";
import type { Clock } from "../ports.ts";
import type { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

export interface ShareDeps {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

const retryMs = 100;
const firstDialsMs = 1_000;

/**
 * Goes on until nothing is withheld from this node. Joins at once may take the same tokens, and the merge gives each to
 * one of them: that costs balance, which `rebalance` mends; but a node that is left without any tries again.
 */
export function takeShare(deps: ShareDeps, { joins }: { readonly joins: boolean }): void {
  const { cluster, clock, tasks } = deps;
  const startedMs = clock.now();
  let isTaking = false;
  const take = (): void => {
    if (isTaking) return;
    isTaking = true;
    tasks.run("take a share of the ring", async () => {
      while (!tasks.stopped && cluster.ownRecord.status === "up") {
        // Hosts that are not reached yet would get nothing: give the first dials their time.
        const isReached = cluster.ring.hosts.every(({ id }) => cluster.health.isUp(id));
        const hasWaited = clock.now() - startedMs >= firstDialsMs;
        if (cluster.inContact && (isReached || hasWaited) && (await takeWhatIsFree(deps))) break;
        await tasks.sleep(retryMs);
      }
      isTaking = false;
    });
  };
  if (joins || cluster.ring.host(cluster.self) === undefined) take();
  // Joins at once may leave anybody without tokens, the founder too.
  cluster.onChange(() => {
    if (cluster.ring.host(cluster.self) === undefined) take();
  });
}

/** True when this node has its whole share. */
async function takeWhatIsFree({ cluster, clock, telemetry }: ShareDeps): Promise<boolean> {
  const { roster, self, health } = cluster;
  const members = ringMembers(roster);
  const placement = { n: roster.cluster.n, members, assignment: roster.assignment };
  const unreachable = new Set(members.flatMap(({ id }) => (health.isUp(id) ? [] : [id])));
  const plan = planJoin(placement, self, { unreachable, busy: busyPartitions(cluster) });
  if (plan.changes.length > 0) {
    const change = {
      by: self,
      atMs: clock.wallTime(),
      verb: "join" as const,
      subject: self,
      tokens: plan.changes.length,
    };
    await cluster.commit({ assignment: applyPlan(roster.assignment, plan), changes: [change] });
    telemetry.event({ kind: "joined", tokens: cluster.ring.tokensOf(self).length });
  }
  return plan.withheld === 0;
}

/** An owner of these is filling: replacing another one could leave nobody complete. */
function busyPartitions(cluster: Cluster): ReadonlySet<PartitionIndex> {
  const { ring, roster } = cluster;
  const filling = [...roster.holdings.values()].filter(({ id }) => cluster.isMember(id));
  const isBusy = (partition: PartitionIndex): boolean =>
    filling.some(({ id, filling: bits }) => hasBit(bits, partition) && ring.owners(partition).includes(id));
  return new Set(allPartitions(ring.partitions).filter(isBusy));
}
