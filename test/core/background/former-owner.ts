import type { methods } from "../../../core/rpc/rpc.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { allPartitions } from "../../../core/placement/partition.ts";
import { oneNode, type OneNode, rosterOf, type RosterSpec } from "../cluster/world.ts";

export const owners = ["h2", "h3", "h4"];

type Section = ReturnType<typeof methods.handOff.response.decode>["partitions"][number];

export const confirmed = ({ index }: { readonly index: number }): Section => ({
  partition: index,
  state: "complete",
  differing: new Uint8Array(0),
});

const complete = { h2: "complete", h3: "complete", h4: "complete" } as const;

/** h1 holds all partitions as a former owner. */
export async function formerOwner(up: readonly string[], spec: RosterSpec): Promise<OneNode> {
  const roster = rosterOf(owners, { ...spec, holdings: { ...complete, ...spec.holdings } });
  const { members } = rosterOf(["h1"]);
  const one = oneNode("h1", { ...roster, members: new Map([...roster.members, ...members]) }, up);
  for (const partition of allPartitions(roster.cluster.partitions)) one.holdings.set(partition, "former");
  await one.replica.index.build({ isStopped: () => false, throttle: async () => {} });
  return one;
}

export function stillHeld({ holdings }: OneNode): PartitionIndex[] {
  return allPartitions(holdings.partitions).filter((partition) => holdings.get(partition) !== "none");
}
