/**
 * What this node holds, as the ring turns and what it hears changes it (PROTOCOL 9, *Filling*, *Former owners*).
 * Invariants: what it owns newly it fills from that moment on; a former owner counts until the owners can do without it.
 */
import { hasBit } from "../bytes/bitmap.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { allPartitions } from "../placement/partition.ts";
import type { Ring } from "../placement/ring.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { MerkleIndex } from "../replica/merkle-index.ts";
import type { Cluster } from "./cluster.ts";

/**
 * What this node owns newly it fills, whatever it still holds from earlier: it missed writes. The same goes for what it lost
 * and won back between two rings that it saw: whoever owned it meanwhile was complete at last, and then writes were
 * acknowledged without this node, which a read of it and of another owner would miss. True: something changed.
 */
export function turnHoldings(holdings: Holdings, self: NodeId, before: Ring, ring: Ring): boolean {
  let changed = false;
  for (const partition of allPartitions(ring.partitions)) {
    const owned = before.owners(partition).includes(self);
    const owns = ring.owners(partition).includes(self);
    if (owns && !owned) changed = holdings.set(partition, "filling") || changed;
    if (owns && owned && wasLost(partition, self, { before, ring })) changed = holdings.refill(partition) || changed;
    if (owned && !owns && holdings.get(partition) === "filling") {
      changed = holdings.set(partition, "former") || changed;
    }
  }
  return changed;
}

/**
 * The tokens by which it owned the partition and owns it again have had another host in between: an epoch is raised only
 * with that. One that it kept made it an owner all the time, for the first N tokens of a walk are never passed over for
 * later ones but for zones. Not all owners find this at once: nobody replaces a second one while the successor of
 * the first fills, and that takes all complete holders but one.
 */
function wasLost(
  partition: PartitionIndex,
  self: NodeId,
  { before, ring }: { readonly before: Ring; readonly ring: Ring },
): boolean {
  const tokens = Array.from({ length: ring.n }, (_, i) => (partition + i) % ring.partitions);
  const own = tokens.filter((token) => [before, ring].every(({ assignment }) => assignment[token]!.host === self));
  return own.length > 0 && own.every((token) => ring.assignment[token]!.epoch > before.assignment[token]!.epoch);
}

/**
 * A former owner stays a complete holder until every owner is one; then it gets no writes any more, and counts nowhere.
 * One owner that is away may be left out where the others, two at least, are there and complete: a dead host must not
 * keep another from leaving, and any W and R of N that meet still meet. True when that happened to a partition.
 *
 * One that has to copy anew what it does not own any more (a part of its disk cannot be read, say) counts nowhere at once:
 * it is not filled from anybody, and would keep its host from leaving for ever.
 */
export function retireFormer(cluster: Cluster, holdings: Holdings): boolean {
  let retired = false;
  for (const partition of allPartitions(cluster.ring.partitions)) {
    const holding = holdings.get(partition);
    if (holding !== "complete" && holding !== "filling") continue;
    const owners = cluster.ring.owners(partition);
    if (owners.includes(cluster.self) || owners.length === 0) continue;
    if (holding === "filling" || areComplete(cluster, owners, partition))
      retired = holdings.set(partition, "former") || retired;
  }
  return retired;
}

/**
 * Rows of partitions that this node does not hold: it counts as a former owner of those, so that the owners are offered what
 * is in the rows before these go. The disk shows them when it is opened anew: it had rejected their batch, and kept it.
 */
export function claimRemains(holdings: Holdings, index: MerkleIndex): boolean {
  const isLeft = (partition: PartitionIndex): boolean =>
    holdings.get(partition) === "none" && index.isSound(partition) && index.trees.keysIn(partition) > 0;
  const remains = allPartitions(holdings.partitions).filter(isLeft);
  for (const partition of remains) holdings.set(partition, "former");
  return remains.length > 0;
}

function areComplete({ roster, health }: Cluster, owners: readonly NodeId[], partition: PartitionIndex): boolean {
  const saysComplete = (owner: NodeId): boolean =>
    hasBit(roster.holdings.get(owner)?.complete ?? new Uint8Array(0), partition);
  const complete = owners.filter(saysComplete);
  if (complete.length === owners.length) return true;
  const rest = owners.filter((owner) => !saysComplete(owner));
  const areThere = complete.length >= 2 && complete.every((owner) => health.isUp(owner));
  return areThere && rest.length === 1 && !health.isUp(rest[0]!);
}
