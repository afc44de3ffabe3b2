/**
 * What an owner says to a former one that wants to drop a partition. See `hand-off.ts`.
 * Invariant: it confirms only after its membership and the asker's have met, and only what is on its disk. Trees
 * tell what was written there; before the asker drops anything the rows are read, for they may have rotted since, unnoticed,
 * at every owner that is asked (seed 605). A partition may take longer to read than a request may take: then the asker
 * keeps how far that is, and asks from there; what was read is not forgotten by a restart here, nor when the ask ends.
 */
import { bitmapOf } from "../bytes/bitmap.ts";
import type { Infer } from "../bytes/codec.ts";
import { parseKey } from "../bytes/key.ts";
import { compare } from "../causality/clock.ts";
import { decodeClock } from "../causality/encoding.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { noteUnreadable } from "../cluster/unreadable.ts";
import { StoreError } from "../errors.ts";
import type { PartitionIndex } from "../identity.ts";
import { hashBytes } from "../merkle/hash.ts";
import { SharedTrees } from "../merkle/shared-trees.ts";
import { leavesPerPartition } from "../merkle/trees.ts";
import { locate, rangeOfPartition } from "../placement/locate.ts";
import { partitionOf } from "../placement/partition.ts";
import type { Clock } from "../ports.ts";
import type { Replica } from "../replica/replica.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";
import type { ObjectPage } from "../replica/object-rows.ts";
import type { Admission } from "./admission.ts";
import { Steps } from "./steps.ts";

export interface HandOffAnswerDeps {
  readonly admission: Admission;
  readonly clock: Clock;
  readonly server: RpcServer;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly replica: Replica;
}

type Asked = Infer<typeof methods.handOff.request>["partitions"][number];
type Answered = Infer<typeof methods.handOff.response>["partitions"][number];

/** A page is two milliseconds of checksums at most. */
const pageLimits = { limit: 1_000, maxBytes: 262_144 };
/** Of a step, which is about a millisecond: any page, what is in it, and a key that is looked up, perhaps on the disk. */
const share = { ofPage: 1 / 16, ofRow: 1 / 512, ofByte: 1 / 131_072, ofKey: 1 / 32 };

export function serveHandOff(deps: HandOffAnswerDeps): void {
  const { server, admission, clock, cluster, exchange, replica } = deps;
  server.on(methods.handOff, async (from, { view, partitions, toDrop }, deadlineMs) => {
    await exchange.meetOnOneRing(from, view);
    const answered: Answered[] = [];
    // The other half is for the way, and for a page that takes long.
    const endMs = (clock.now() + deadlineMs) / 2;
    const steps = new Steps(admission);
    for (const asked of partitions) {
      const answer = lookAt(cluster, replica, asked);
      if (!toDrop || answer.state !== "complete") {
        answered.push(answer);
        continue;
      }
      const next = await readRows(deps, asked, { steps, endMs });
      answered.push(next === null ? lookAt(cluster, replica, asked) : { ...nothingOf(asked), state: "reading", next });
      if (clock.now() >= endMs) break;
    }
    if (toDrop) await replica.commits.settle();
    return { partitions: answered };
  });
  server.on(methods.covers, async (from, { view, keys }, deadlineMs) => {
    await exchange.meetOnOneRing(from, view);
    const steps = new Steps(admission);
    const uncovered: number[] = [];
    for (const [i, { key, clock: theirs }] of keys.entries()) {
      if (!(await steps.turn(deadlineMs))) throw new StoreError("not-ready", "this host is busy with its clients");
      steps.did(share.ofKey);
      const { role, held } = await replica.read(locate(parseKey(key), cluster.ring.partitions));
      const relation = compare(held.state, decodeClock(theirs));
      if (role !== "complete" || (relation !== "equal" && relation !== "after")) uncovered.push(i);
    }
    await replica.commits.settle();
    return { uncovered: bitmapOf(keys.length, uncovered) };
  });
}

/**
 * Reads rows of a partition until `endMs`, and marks those that are damaged: its tree counts as not built then.
 * The row to go on from; null: there are no more.
 */
async function readRows(
  { clock, cluster, replica }: HandOffAnswerDeps,
  { index, readFrom }: Asked,
  { steps, endMs }: { readonly steps: Steps; readonly endMs: number },
): Promise<Uint8Array | null> {
  const partition = index as PartitionIndex;
  const { partitions } = cluster.ring;
  if (readFrom !== undefined && partitionOf(readFrom, partitions) !== partition) {
    throw new StoreError("bad-request", `what is to be read of partition ${index} begins in another one`);
  }
  const range = rangeOfPartition(partition, partitions);
  let gte = readFrom ?? range.gte;
  while (clock.now() < endMs && (await steps.turn(endMs))) {
    const page: ObjectPage = await replica.page({ ...range, gte, ...pageLimits });
    steps.did(shareOf(page));
    if (!(await noteUnreadable({ cluster, replica }, partition, { page, met: "before others drop theirs" })))
      return null;
    if (page.next === null) return null;
    gte = page.next;
  }
  return gte;
}

function shareOf({ rows }: ObjectPage): number {
  const bytes = rows.reduce((sum, row) => sum + ("corrupt" in row ? 0 : row.value.length), 0);
  return share.ofPage + Math.max(rows.length * share.ofRow, bytes * share.ofByte);
}

function lookAt(cluster: Cluster, replica: Replica, asked: Asked): Answered {
  const { index, hashes } = asked;
  if (hashes.length !== leavesPerPartition * hashBytes) {
    throw new StoreError("bad-request", `${hashes.length} bytes are not the leaves of a partition`);
  }
  const partition = index as PartitionIndex;
  if (index >= cluster.ring.partitions || !cluster.ring.owners(partition).includes(cluster.self)) {
    return { ...nothingOf(asked), state: "none" };
  }
  // A tree that is not built yet says nothing of what is on the disk: it soon is.
  if (replica.holdingOf(partition) !== "complete" || !replica.index.isSound(partition)) {
    return { ...nothingOf(asked), state: "filling" };
  }
  const first = index * leavesPerPartition;
  const leaves = new SharedTrees(replica.index.trees, [partition]).leavesDiffering({ index, hashes });
  return {
    partition: index,
    state: "complete",
    differing: bitmapOf(
      leavesPerPartition,
      leaves.map((leaf) => leaf - first),
    ),
  };
}

function nothingOf({ index }: Asked): Pick<Answered, "partition" | "differing"> {
  return { partition: index, differing: new Uint8Array(0) };
}
