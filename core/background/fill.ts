/**
 * Copies the partitions that this node owns but does not hold completely (PROTOCOL 9, *Filling*).
 *
 * A partition is complete when it was copied from every complete holder, of which one that is away may be left out while
 * N - 1 others are complete; where fewer are complete, from every holder. Invariant: writes made meanwhile are not missed,
 * for this node is an owner already and gets them; so a scan of what was there before is enough.
 */
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { hasBit } from "../bytes/bitmap.ts";
import { parseKey } from "../bytes/key.ts";
import type { NodeConfig } from "../config.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { locate } from "../placement/locate.ts";
import type { Clock, Transport } from "../ports.ts";
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
/** Of a step of background work: what asking for a page costs that turns out to be empty. */
const pageShareMin = 1 / 16;

/** Fills whatever needs it, again and again: members come and go while it runs. */
export function keepFilled(deps: FillDeps): void {
  deps.tasks.every("fill partitions", pauseMs, async () => {
    deps.cluster.retireFormerHoldings();
    await fillAll(deps);
  });
}

async function fillAll(deps: FillDeps): Promise<void> {
  const { cluster, holdings, clock, telemetry, config } = deps;
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

/** Undefined: not possible now, because somebody who must be asked is away, or not complete after all. */
async function fillPartition(
  deps: FillDeps,
  partition: PartitionIndex,
): Promise<{ readonly keys: number; readonly lost: boolean } | undefined> {
  const { cluster, telemetry } = deps;
  const ring = cluster.ring.fingerprint;
  const sources = sourcesOf(cluster, partition);
  const mayMissOne = sources.complete.length > Math.max(1, cluster.ring.n - 1) ? 1 : 0;
  const away = sources.all.filter((node) => !cluster.health.isUp(node));
  // Looked at before anything is copied: a fill that cannot end must not copy everything again and again.
  if (away.length > mayMissOne || !hasMetOwners(cluster, partition)) return undefined;
  let keys = 0;
  let missed = away.length;
  for (const source of sources.all) {
    if (away.includes(source)) continue;
    try {
      const copied = await copyFrom(deps, partition, source);
      keys += copied.keys;
      if (!copied.isComplete && sources.complete.includes(source)) missed += 1;
    } catch (error: unknown) {
      telemetry.event({ kind: "replica-failed", id: source, reason: reasonOf(error) });
      missed += 1;
    }
  }
  // A ring that changed meanwhile may have given the partition other holders: begin again with those.
  if (missed > mayMissOne || cluster.ring.fingerprint !== ring) return undefined;
  return { keys, lost: sources.complete.length === 0 };
}

/** Whom to copy from: the complete holders, where there are enough; else everybody who holds anything. */
function sourcesOf(
  cluster: Cluster,
  partition: PartitionIndex,
): { readonly all: readonly NodeId[]; readonly complete: readonly NodeId[] } {
  const { ring, self, roster } = cluster;
  const { owners, holders } = cluster.partitionView(partition);
  const states = new Map(holders);
  for (const owner of owners) if (!states.has(owner)) states.set(owner, "complete"); // not heard of: counts as complete
  states.delete(self);
  const nodes = [...states.keys()];
  const complete = nodes.filter((node) => states.get(node) === "complete");
  if (complete.length >= Math.max(1, ring.n - 1)) return { all: complete, complete };
  if (complete.length > 0) return { all: nodes, complete };
  // Nobody, up or away, claims to be complete: the owners complete it among themselves, and from whatever is left.
  const former = [...roster.holdings.values()].filter(
    ({ id, former: bits }) => id !== self && cluster.isMember(id) && hasBit(bits, partition) && !nodes.includes(id),
  );
  return { all: [...nodes, ...former.map(({ id }) => id)], complete };
}

/** Membership was merged, on this ring, with every other owner but at most one that is away. */
function hasMetOwners(cluster: Cluster, partition: PartitionIndex): boolean {
  const { fingerprint } = cluster.ring;
  const others = cluster.ring.owners(partition).filter((owner) => owner !== cluster.self);
  const unmet = others.filter((owner) => cluster.lastExchange(owner)?.ring !== fingerprint);
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
    const request = {
      view: exchange.view(),
      partition,
      bytesMax: config.fillPageBytes,
      ...(after === undefined ? {} : { after }),
    };
    const page = await call(transport, source, methods.scan, request, scanTimeoutMs);
    await Promise.all(
      // Copied, for a row that is kept in memory must not keep the whole page there.
      page.rows.map(({ key, state }) => replica.apply(locate(parseKey(key), cluster.ring.partitions), state.slice())),
    );
    keys += page.rows.length;
    const bytes = page.rows.reduce((sum, { state }) => sum + state.length, 0);
    await admission.done(Math.max(pageShareMin, bytes / config.fillPageBytes));
    isComplete &&= page.state === "complete";
    after = page.next;
  } while (after !== undefined);
  return { keys, isComplete };
}
