/**
 * What an owner says to a former one that wants to drop a partition. See `hand-off.ts`.
 * Invariant: it confirms only after its membership and the asker's have met, and only what is on its disk. Trees
 * tell what was written there; before the asker drops anything the rows are read, for they may have rotted since, unnoticed,
 * at every owner that is asked (seed 605).
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
import type { Replica } from "../replica/replica.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";
import type { RecordPage } from "../storage/record-store.ts";

export interface HandOffAnswerDeps {
  readonly server: RpcServer;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly replica: Replica;
}

type Answered = Infer<typeof methods.handOff.response>["partitions"][number];

/** Of one request: takes a disk about a second, of the asker's ten. At least one partition is answered. */
const readBytesMax = 268_435_456;
const pageLimits = { limit: 1_000, maxBytes: 1_048_576 };

export function serveHandOff({ server, cluster, exchange, replica }: HandOffAnswerDeps): void {
  server.on(methods.handOff, async (from, { view, partitions, toDrop }) => {
    await exchange.meetOnOneRing(from, view);
    const answered: Answered[] = [];
    let bytesLeft = readBytesMax;
    for (const section of partitions) {
      if (bytesLeft <= 0) break;
      let answer = lookAt(cluster, replica, section);
      if (toDrop && answer.state === "complete") {
        bytesLeft -= await readRows({ cluster, replica }, answer.partition as PartitionIndex);
        answer = lookAt(cluster, replica, section);
      }
      answered.push(answer);
    }
    return { partitions: answered };
  });
  server.on(methods.covers, async (from, { view, keys }) => {
    await exchange.meetOnOneRing(from, view);
    const uncovered: number[] = [];
    for (const [i, { key, clock }] of keys.entries()) {
      const { role, held } = await replica.read(locate(parseKey(key), cluster.ring.partitions));
      const relation = compare(held.state, decodeClock(clock));
      if (role !== "complete" || (relation !== "equal" && relation !== "after")) uncovered.push(i);
    }
    return { uncovered: bitmapOf(keys.length, uncovered) };
  });
}

/** Reads all rows of a partition, and marks those that are damaged: its tree counts as not built then. The bytes of them. */
async function readRows(
  deps: Pick<HandOffAnswerDeps, "cluster" | "replica">,
  partition: PartitionIndex,
): Promise<number> {
  const range = rangeOfPartition(partition, deps.cluster.ring.partitions);
  let bytes = 0;
  for (let gte: Uint8Array | null = range.gte; gte !== null;) {
    const page: RecordPage = await deps.replica.page({ ...range, gte, ...pageLimits });
    if (!(await noteUnreadable(deps, partition, { page, met: "before others drop theirs" }))) break;
    for (const row of page.rows) bytes += row.key.length + ("corrupt" in row ? 0 : row.value.length);
    gte = page.next;
  }
  return bytes;
}

function lookAt(
  cluster: Cluster,
  replica: Replica,
  { index, hashes }: { readonly index: number; readonly hashes: Uint8Array },
): Answered {
  if (hashes.length !== leavesPerPartition * hashBytes) {
    throw new StoreError("bad-request", `${hashes.length} bytes are not the leaves of a partition`);
  }
  const partition = index as PartitionIndex;
  const nothing = { partition: index, differing: new Uint8Array(0) };
  if (index >= cluster.ring.partitions || !cluster.ring.owners(partition).includes(cluster.self)) {
    return { ...nothing, state: "none" };
  }
  // A tree that is not built yet says nothing of what is on the disk: it soon is.
  if (replica.holdingOf(partition) !== "complete" || !replica.index.isSound(partition)) {
    return { ...nothing, state: "filling" };
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
