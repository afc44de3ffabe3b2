/** Random views of a partition, and who may answer in it. */
import fc from "fast-check";
import type { NodeId } from "../../../core/identity.ts";
import type { Completeness, PartitionView } from "../../../core/quorum/holders.ts";

export const hosts = ["a", "b", "c", "d", "e", "f"] as NodeId[];

export const completeness: fc.Arbitrary<Completeness> = fc.constantFrom("complete", "filling");
export const host: fc.Arbitrary<NodeId> = fc.constantFrom(...hosts);

/** One to four owners; any of the hosts may hold the partition, former owners among them. */
export const view: fc.Arbitrary<PartitionView> = fc
  .record({
    owners: fc.integer({ min: 1, max: 4 }),
    holders: fc.uniqueArray(fc.tuple(host, completeness), { selector: ([id]) => id }),
  })
  .map(({ owners, holders }) => ({ owners: hosts.slice(0, owners), holders: new Map(holders) }));

/** Owners first; `former:complete` and the like name further holders. */
export function viewOf(owners: string, states: Record<string, Completeness> = {}): PartitionView {
  const holders = Object.entries(states) as [NodeId, Completeness][];
  return { owners: owners.split(" ") as NodeId[], holders: new Map(holders) };
}
