/**
 * A new member takes its share of the tokens: it plans from its own view and commits the plan as one change (PROTOCOL 2).
 * Partitions that are filling keep their owners, so a join right after another one waits, and is finished here.
 */
import type { Cluster } from "../cluster/cluster.ts";
import { partOf, placementOf, planOptions } from "../cluster/ring-commands.ts";
import { planJoin } from "../placement/plan.ts";
import type { Clock } from "../ports.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

export interface ShareDeps {
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

const retryMs = 100;
/** A plan costs more the larger the ring is, and what is withheld may be so for hours: pauses grow with the time that the ring stays as it is, up to this. */
const retryMsMax = 2_000;
const retryShare = 1 / 100;
const firstDialsMs = 1_000;

/**
 * Goes on until nothing is withheld from this node. Joins at once may take the same tokens, and the merge gives each to
 * one of them: that costs balance, which `rebalance` mends; but a node that is left without any tries again.
 */
export function takeShare(deps: ShareDeps, { isDue }: { readonly isDue: boolean }): void {
  const { cluster, clock, tasks } = deps;
  const startedMs = clock.now();
  let isTaking = false;
  const take = (): void => {
    if (isTaking) return;
    isTaking = true;
    tasks.run("take a share of the ring", async () => {
      let { fingerprint } = cluster.ring;
      let beganMs = clock.now();
      while (!tasks.stopped && cluster.ownRecord.status === "up") {
        // Hosts that are not reached yet would get nothing: give the first dials their time.
        const isReached = cluster.ring.hosts.every(({ id }) => cluster.health.isUp(id));
        const hasWaited = clock.now() - startedMs >= firstDialsMs;
        if (cluster.inContact && (isReached || hasWaited) && (await takeWhatIsFree(deps))) break;
        if (cluster.ring.fingerprint !== fingerprint) {
          ({ fingerprint } = cluster.ring);
          beganMs = clock.now();
        }
        await tasks.sleep(Math.min(Math.max(retryMs, Math.round((clock.now() - beganMs) * retryShare)), retryMsMax));
      }
      isTaking = false;
    });
  };
  if (isDue) take();
  cluster.onChange(() => {
    if (cluster.ownRecord.status === "up" && cluster.ring.host(cluster.self) === undefined) take();
  });
}

/** A host that was started without joining takes what an operator's plan could not give to it at once. */
export function takeShareWhenAsked(deps: ShareDeps): void {
  const { cluster } = deps;
  let isAsked = false;
  cluster.onChange(() => {
    if (isAsked || cluster.ring.host(cluster.self) === undefined) return;
    isAsked = true;
    takeShare(deps, { isDue: true });
  });
}

/** True when this node has its whole share, on its disk. */
async function takeWhatIsFree({ cluster, clock, telemetry }: ShareDeps): Promise<boolean> {
  const plan = planJoin(placementOf(cluster), cluster.self, planOptions(cluster));
  try {
    if (plan.changes.length === 0) await cluster.save();
    else {
      await cluster.commit(partOf(cluster, plan, clock.wallTime()));
      telemetry.event({ kind: "joined", tokens: cluster.ring.tokensOf(cluster.self).length });
    }
  } catch (error: unknown) {
    // A disk that refuses it is asked again.
    telemetry.event({ kind: "task-failed", task: "take a share of the ring", reason: reasonOf(error) });
    return false;
  }
  return plan.withheld === 0;
}
