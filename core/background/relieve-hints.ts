/**
 * Keeps what is owed to a host that stays away, or takes nothing, within bounds (PROTOCOL 7): `hintBytesMax` and `hintAgeMaxMs` per target.
 *
 * A hint over them goes to the owners that are there, and is forgotten when every owner but its target holds it,
 * complete and durably: these owe it to the target then, and anti-entropy pays, for it compares everything with whoever
 * comes back, who has missed the most, first. So no range has to be marked, and no host fills up for another's outage.
 * Invariant: acknowledged data is never dropped, nor left with fewer copies than W: a hint whose copy the other owners
 * cannot make up for (W = N, an owner that was filling, or these are browsers alone) is none that may be spared, and stays
 * whatever its size or age. These are not read again and again for that: a look in vain is repeated when the ring or its members,
 * what these hold, or the hints are others, or after a minute.
 */
import { toHex } from "../bytes/hex.ts";
import type { NodeId } from "../identity.ts";
import { keyOfRow, locate } from "../placement/locate.ts";
import { allPartitions } from "../placement/partition.ts";
import type { HintSummary, StoredHint } from "../replica/hint-store.ts";
import { reasonOf } from "../tasks.ts";
import { hand, type HintDeliveries, type HintDeps, owed } from "./deliver-hints.ts";
import { Retries, whoIsThere } from "./retries.ts";

const intervalMs = 1_000;
const rowsPerPage = 64;
const lookAgainMs = { first: 60_000, max: 60_000 };

/** `isRefusedBy`: see `HintDeliveries`. */
export function relieveHints(deps: HintDeps, { isRefusedBy }: Pick<HintDeliveries, "isRefusedBy">): void {
  const { cluster, clock, replica, tasks } = deps;
  const retries = new Retries<NodeId>(clock, lookAgainMs);
  const isToGo = (summary: HintSummary): boolean => {
    const { target } = summary;
    const takesNone = !cluster.health.isUp(target) || isRefusedBy(target);
    return cluster.isMember(target) && takesNone && isOver(deps, summary);
  };
  const relieveAll = async (summaries: readonly HintSummary[]): Promise<void> => {
    for (const summary of summaries) {
      if (!isToGo(summary)) continue;
      const { target } = summary;
      const situation = situationOf(deps, summary);
      if (!retries.isDue(target, situation)) continue;
      if ((await relieve(deps, target)) === 0) retries.failed(target, situation, { gotOn: false });
      else retries.ended(target);
    }
  };
  tasks.every("relieve hints", intervalMs, () => {
    const summaries = replica.hints.summaries();
    retries.keepOnly(summaries.filter(({ count }) => count > 0).map(({ target }) => target));
    return summaries.some(isToGo) ? relieveAll(summaries) : undefined;
  });
}

/** What decides which of them can be spared. */
function situationOf({ cluster, replica }: HintDeps, { count, bytes }: HintSummary): string {
  const complete = allPartitions(cluster.ring.partitions).filter((each) => replica.holdingOf(each) === "complete");
  const kept = [magnitude(count), magnitude(bytes)];
  return [whoIsThere(cluster), toHex(cluster.digest), complete.length, replica.damaged.keys().length, ...kept].join();
}

/** Another for each fifth more: while writes go on, what is kept is read again for so many new ones, not for each. */
function magnitude(size: number): number {
  return Math.floor(4 * Math.log2(size + 1));
}

function isOver({ clock, config }: HintDeps, { bytes, oldestAtMs }: HintSummary): boolean {
  return bytes > config.hintBytesMax || clock.wallTime() - oldestAtMs > config.hintAgeMaxMs;
}

/** Looks at everything that is kept for the target, once. How many are gone now. */
async function relieve(deps: HintDeps, target: NodeId): Promise<number> {
  const { admission, replica, clock, config, tasks, telemetry } = deps;
  const { hints } = replica;
  const isOverBytes = (): boolean => hints.bytesFor(target) > config.hintBytesMax;
  let relieved = 0;
  let oldestAtMs = Infinity;
  let after: Uint8Array | null | undefined;
  const failures: unknown[] = [];
  // One that cannot be read does not hold up the others.
  const failed = (error: unknown): false => {
    failures.push(error);
    return false;
  };
  try {
    while (after !== null && !tasks.stopped) {
      await admission.turn();
      const page = await hints.page(target, { after, limit: rowsPerPage });
      for (const hint of page.hints) {
        const isTooOld = clock.wallTime() - hint.storedAtMs > config.hintAgeMaxMs;
        const isGone = (isTooOld || isOverBytes()) && (await relieveOne(deps, target, hint).catch(failed));
        if (isGone) relieved += 1;
        else oldestAtMs = Math.min(oldestAtMs, hint.storedAtMs);
      }
      after = page.next;
    }
  } catch (error: unknown) {
    failed(error);
  }
  if (failures.length > 0) {
    const reason = `${failures.length} kept for ${target} could not be looked at: ${reasonOf(failures[0])}`;
    telemetry.event({ kind: "task-failed", task: "relieve hints", reason });
  }
  if (after === null && oldestAtMs < Infinity) hints.oldestIs(target, oldestAtMs);
  if (relieved > 0) telemetry.event({ kind: "hints-relieved", for: target, count: relieved });
  return relieved;
}

/** True when every owner but the target holds it, and it is gone. */
async function relieveOne(deps: HintDeps, target: NodeId, hint: StoredHint): Promise<boolean> {
  const { cluster, replica } = deps;
  if (hint.isDamaged) return false;
  const { ring } = cluster;
  const located = locate(keyOfRow(hint.row), ring.partitions);
  const owners = ring.owners(located.partition);
  const others = owners.filter((owner) => owner !== target);
  if (!owners.includes(target) || others.length === 0 || !hint.isSpare) return false;
  if (!ring.anchors(others)) return false;
  // Nothing is asked of those who cannot answer.
  if (!others.every((owner) => cluster.health.isUp(owner))) return false;
  if (hint.state === undefined) {
    // A pointer of an owner that holds it itself: the others have it from the write, or by anti-entropy.
    if (!others.includes(cluster.self) || (await replica.read(located)).role !== "complete") return false;
  } else {
    const state = (await owed(replica, located, hint))!;
    const roles = await Promise.allSettled(others.map((owner) => hand(deps, owner, { key: located.key, state })));
    if (!roles.every((role) => role.status === "fulfilled" && role.value === "complete")) return false;
  }
  // As in a delivery: owners that came meanwhile may lack it.
  if (cluster.ring.fingerprint !== ring.fingerprint) return false;
  return replica.hintDelivered(located, target, hint);
}
