/**
 * A host that was told to leave drains (PROTOCOL 9): its tokens go, its partitions are handed over, its hints passed on,
 * and when the others hold everything and know that it is gone, it ends. A restart in between goes on with it, also one after which only
 * the others are to be told.
 * Invariant: it is `left` only with nothing on its disk that counts: no partition held (but for rows that the disk cannot
 * tell), no hint kept, no request under way, nor what one still sends to owners after its answer (seed 16000968). Of hosts that all leave at once one stays: nobody else could take their data.
 */
import type { Cluster } from "../cluster/cluster.ts";
import { noteTold } from "../cluster/departure.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { partOf, placementOf, planOptions } from "../cluster/ring-commands.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import { ringMembers } from "../membership/roster.ts";
import { allPartitions } from "../placement/partition.ts";
import { planLeave } from "../placement/plan.ts";
import type { Clock } from "../ports.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { Replica } from "../replica/replica.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

export interface LeaveDeps {
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly holdings: Holdings;
  readonly replica: Replica;
  readonly records: RecordStore;
  /** Of clients: refused from the call of `close` on. */
  readonly requests: { close(reason: StoreError): void; readonly isIdle: boolean };
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

const intervalMs = 250;
/** A member that takes longer to answer hears of it from the others. */
const tellMs = 10_000;

/** What `status` says of it. */
export interface Leaving {
  readonly notices: readonly string[];
}

/** `onLeft`: everything is done, the process may end. */
export function leaveWhenTold(deps: LeaveDeps, onLeft: () => void): Leaving {
  const { cluster, records, tasks, telemetry } = deps;
  let isOver = false;
  let hasStayed = false;
  const leave = async (status: "leaving" | "left"): Promise<void> => {
    if (status === "leaving") {
      if (isToStay(cluster)) {
        hasStayed = true;
        return cluster.amend({ status: "up" });
      }
      await giveTokens(deps);
      if (!isDrained(deps)) return;
    }
    // From here on nothing new may begin that would need this disk.
    deps.requests.close(new StoreError("not-ready", "this host is leaving the cluster: ask another one"));
    if (status === "leaving") {
      if (!deps.requests.isIdle || !isDrained(deps)) return;
      await cluster.amend({ status: "left" });
    }
    // A disk that refuses it is asked again: nobody hears of it before it is there.
    await cluster.save();
    if (!(await tellOthers(deps))) return;
    await noteTold(records, cluster.ownRecord.life);
    isOver = true;
    telemetry.event({ kind: "left" });
    onLeft();
  };
  tasks.every("leave", intervalMs, () => {
    const { status } = cluster.ownRecord;
    return !isOver && (status === "leaving" || status === "left") ? leave(status) : undefined;
  });
  return {
    get notices() {
      const isShown = hasStayed && cluster.ownRecord.status === "up";
      return isShown ? ["told to leave, and stays: every other host leaves as well, or is gone"] : [];
    },
  };
}

/** The commands were given at hosts that did not know of each other's. Where two cannot see each other, both stay. */
function isToStay({ ring, roster, health, self }: Cluster): boolean {
  if (ringMembers(roster).some(({ status }) => status === "up")) return false;
  const [first] = ring.hosts.filter(({ id }) => id === self || health.isUp(id));
  return first?.id === self;
}

/** Those that were withheld at first: their partitions were filling, or nobody was reachable. */
async function giveTokens({ cluster, clock }: LeaveDeps): Promise<void> {
  if (cluster.ring.host(cluster.self) === undefined) return;
  const plan = planLeave(placementOf(cluster), cluster.self, planOptions(cluster));
  if (plan.changes.length > 0) await cluster.commit(partOf(cluster, plan, clock.wallTime()));
}

function isDrained({ cluster, holdings, replica }: LeaveDeps): boolean {
  return (
    cluster.ring.host(cluster.self) === undefined &&
    allPartitions(holdings.partitions).every((each) => holdings.get(each) === "none" || replica.drop.isUnseen(each)) &&
    replica.hints.summaries().every(({ count }) => count === 0)
  );
}

/** True when every member that can be reached has stored it, and one at least: from there the others hear of it. */
async function tellOthers({ cluster, exchange, clock, tasks, telemetry }: LeaveDeps): Promise<boolean> {
  const leftMs = clock.now();
  // One that a peer began, or that began before, may have told the status of then.
  const isTold = (id: NodeId): boolean => (cluster.lastAskedMs(id) ?? -Infinity) >= leftMs;
  while (!tasks.stopped) {
    const others = [...cluster.roster.members.keys()].filter((id) => id !== cluster.self && cluster.isMember(id));
    const untold = others.filter((id) => cluster.health.isUp(id) && !isTold(id));
    const isLate = clock.now() - leftMs >= tellMs;
    if ((untold.length === 0 || isLate) && others.some(isTold)) return true;
    const results = await Promise.allSettled(untold.map((id) => exchange.with(id)));
    for (const [i, result] of results.entries()) {
      if (result.status === "fulfilled") continue;
      telemetry.event({ kind: "replica-failed", id: untold[i]!, reason: `leaving: ${reasonOf(result.reason)}` });
    }
    await tasks.sleep(intervalMs);
  }
  return false;
}
