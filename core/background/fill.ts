/**
 * Copies the partitions that this node owns but does not hold completely (PROTOCOL 9, *Filling*).
 *
 * A partition is complete when it was copied from every complete holder, of which one that is away may be left out while
 * N - 1 others are complete; where fewer are complete, from every holder. Invariant: writes made meanwhile are not missed,
 * for this node is an owner already and gets them; so a scan of what was there before is enough.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { parseKey } from "../bytes/key.ts";
import type { NodeConfig } from "../config.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { locate } from "../placement/locate.ts";
import type { Clock, Transport } from "../ports.ts";
import type { Completeness } from "../quorum/holders.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { Replica } from "../replica/replica.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Admission } from "./admission.ts";

export interface FillDeps {
  readonly admission: Admission;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly holdings: Holdings;
  readonly replica: Replica;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
  readonly config: NodeConfig;
}

const pauseMs = 250;
const scanTimeoutMs = 10_000;

/** Fills whatever needs it, again and again: members come and go while it runs. */
export function keepFilled(deps: FillDeps): void {
  deps.tasks.every("fill partitions", pauseMs, () => fillAll(deps));
}

async function fillAll(deps: FillDeps): Promise<void> {
  const { cluster, holdings, clock, telemetry, config } = deps;
  cluster.claimOwned("filling");
  const waiting = cluster.ring.ownedBy(cluster.self).filter((partition) => holdings.get(partition) === "filling");
  if (waiting.length === 0 || !cluster.inContact) return;
  const startedMs = clock.now();
  const done = { partitions: 0, keys: 0, lost: 0 };
  const next = waiting.values();
  const worker = async (): Promise<void> => {
    for (const partition of next) {
      if (deps.tasks.stopped) return;
      const filled = await fillPartition(deps, partition);
      if (filled === undefined) continue;
      holdings.set(partition, "complete");
      done.partitions += 1;
      done.keys += filled.keys;
      if (filled.lost) done.lost += 1;
    }
  };
  await Promise.all(Array.from({ length: config.fillConcurrency }, worker));
  if (done.partitions === 0) return;
  cluster.publishHoldings();
  await cluster.save();
  if (done.lost > 0) telemetry.event({ kind: "partition-lost", partitions: done.lost });
  telemetry.event({ kind: "filled", partitions: done.partitions, keys: done.keys, ms: clock.now() - startedMs });
}

/** Undefined: not possible now, because somebody who must be asked is away. */
async function fillPartition(
  deps: FillDeps,
  partition: PartitionIndex,
): Promise<{ readonly keys: number; readonly lost: boolean } | undefined> {
  const { cluster } = deps;
  const view = cluster.partitionView(partition);
  const sources = sourcesOf(view.holders, view.owners, cluster);
  const ringBefore = cluster.ring.fingerprint;
  let keys = 0;
  let completeCopied = 0;
  const failed: NodeId[] = [];
  for (const source of sources.nodes) {
    try {
      const copied = await copyFrom(deps, partition, source);
      keys += copied.keys;
      if (copied.isComplete) completeCopied += 1;
      // It passed for complete, and is not: what it lacks must come from the others.
      else if (sources.kind === "complete") failed.push(source);
    } catch (error: unknown) {
      deps.telemetry.event({ kind: "replica-failed", id: source, reason: reasonOf(error) });
      failed.push(source);
    }
  }
  const mayMissOne = sources.kind === "complete" && completeCopied >= cluster.ring.n - 1;
  if (failed.length > (mayMissOne ? 1 : 0)) return undefined;
  if (!metOwners(cluster, view.owners)) return undefined;
  // A ring that changed meanwhile may have given the partition other holders: begin again with those.
  if (cluster.ring.fingerprint !== ringBefore) return undefined;
  return { keys, lost: sources.kind === "lost" };
}

interface Sources {
  /** `lost`: nobody, up or away, claims to be complete; the owners complete it among themselves. */
  readonly kind: "complete" | "all" | "lost";
  readonly nodes: readonly NodeId[];
}

function sourcesOf(holders: ReadonlyMap<NodeId, Completeness>, owners: readonly NodeId[], cluster: Cluster): Sources {
  const states = new Map(holders);
  for (const owner of owners) if (!states.has(owner)) states.set(owner, "complete"); // not heard of: counts as complete
  states.delete(cluster.self);
  const nodes = [...states.keys()];
  const complete = nodes.filter((node) => states.get(node) === "complete");
  if (complete.length === 0) return { kind: "lost", nodes };
  return complete.length >= cluster.ring.n - 1 ? { kind: "complete", nodes: complete } : { kind: "all", nodes };
}

/** Membership was merged with every other owner but at most one that is away. */
function metOwners(cluster: Cluster, owners: readonly NodeId[]): boolean {
  const others = owners.filter((owner) => owner !== cluster.self);
  const unmet = others.filter((owner) => cluster.lastExchangeMs(owner) === undefined);
  return unmet.length === 0 || (unmet.length === 1 && others.length > 1 && !cluster.health.isUp(unmet[0]!));
}

/** How many keys the source had, and whether it says that they are all there are. */
async function copyFrom(
  deps: FillDeps,
  partition: PartitionIndex,
  source: NodeId,
): Promise<{ readonly keys: number; readonly isComplete: boolean }> {
  const { admission, cluster, exchange, replica, transport, config } = deps;
  let keys = 0;
  let isComplete = true;
  let after: Uint8Array | undefined;
  do {
    await admission.turn();
    const request = {
      view: exchange.view(),
      partition,
      bytesMax: config.fillPageBytes,
      ...(after === undefined ? {} : { after }),
    };
    const page = await call(transport, source, methods.scan, request, scanTimeoutMs);
    await Promise.all(
      page.rows.map(({ key, state }) => replica.apply(locate(parseKey(key), cluster.ring.partitions), state)),
    );
    keys += page.rows.length;
    isComplete &&= page.state === "complete";
    after = page.next;
  } while (after !== undefined);
  return { keys, isComplete };
}
