/**
 * What an owner says to a former one that wants to drop a partition. See `hand-off.ts`.
 * Invariant: it confirms only after its membership and the asker's have met, and only what is on its disk.
 */
import { bitmapOf } from "../bytes/bitmap.ts";
import { parseKey } from "../bytes/key.ts";
import { compare } from "../causality/clock.ts";
import { decodeClock } from "../causality/encoding.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { StoreError } from "../errors.ts";
import type { PartitionIndex } from "../identity.ts";
import { hashBytes } from "../merkle/hash.ts";
import { SharedTrees } from "../merkle/shared-trees.ts";
import { leavesPerPartition } from "../merkle/trees.ts";
import { locate } from "../placement/locate.ts";
import type { Replica } from "../replica/replica.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";

export interface HandOffAnswerDeps {
  readonly server: RpcServer;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly replica: Replica;
}

export function serveHandOff({ server, cluster, exchange, replica }: HandOffAnswerDeps): void {
  server.on(methods.handOff, async (from, { view, partitions }) => {
    await exchange.meetOnOneRing(from, view);
    return { partitions: partitions.map((section) => lookAt(cluster, replica, section)) };
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

function lookAt(
  cluster: Cluster,
  replica: Replica,
  { index, hashes }: { readonly index: number; readonly hashes: Uint8Array },
): { readonly partition: number; readonly state: "complete" | "filling" | "none"; readonly differing: Uint8Array } {
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
