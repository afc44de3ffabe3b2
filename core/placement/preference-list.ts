/**
 * The preference list of a partition as it is used now: the first N healthy hosts of the walk, each fallback named with the
 * owner that it stands for (sloppy quorum, paper 4.6; annotated as in Riak).
 * Invariant: no owner is stood for twice, and every owner is a target, stood for, or `uncovered`; a page stands for a Node
 * host only where no Node host stands for a page: that one forgets its copy once the page is back, and pages alone would have it.
 */
import type { NodeId, PartitionIndex } from "../identity.ts";
import type { Ring } from "./ring.ts";

export interface Target {
  readonly node: NodeId;
  /** The owner that is down, where `node` is a fallback: it keeps the data as a hint for this one. */
  readonly standsFor?: NodeId;
}

export interface HealthyTargets {
  /** Owners that are up, then fallbacks, in order of preference. At most N. */
  readonly targets: readonly Target[];
  /** Owners that are down and have no stand-in: too few hosts are up. */
  readonly uncovered: readonly NodeId[];
}

export function healthyTargets(ring: Ring, partition: PartitionIndex, isUp: (node: NodeId) => boolean): HealthyTargets {
  const owners = ring.owners(partition);
  const up = owners.filter(isUp);
  if (up.length === owners.length) return { targets: owners.map((node) => ({ node })), uncovered: [] };

  const down = owners.filter((owner) => !up.includes(owner));
  const standIns = chooseStandIns(ring, up, ring.walk(partition).slice(owners.length).filter(isUp), down.length);
  // What a stand-in keeps is gone once its owner is back: so Node hosts stand for Node hosts while they can.
  const owed = nodesFirst(ring, down);
  const standsFor = new Map(nodesFirst(ring, standIns).map((node, index) => [node, owed[index]!]));
  const fallbacks = standIns.map((node) => ({ node, standsFor: standsFor.get(node)! }));
  return { targets: [...up.map((node) => ({ node })), ...fallbacks], uncovered: owed.slice(standIns.length) };
}

/** The next healthy hosts of the walk; where no Node host would be among the targets, the last gives way to the next one. */
function chooseStandIns(ring: Ring, up: readonly NodeId[], candidates: readonly NodeId[], count: number): NodeId[] {
  const isNode = (id: NodeId): boolean => isNodeHost(ring, id);
  const chosen = candidates.slice(0, count);
  const next = candidates.find(isNode);
  // An ack needs one durable Node copy (PROTOCOL 2), so pages alone would refuse writes that a Node host could take.
  if (next !== undefined && ![...up, ...chosen].some(isNode)) chosen[count - 1] = next;
  return chosen;
}

function nodesFirst(ring: Ring, ids: readonly NodeId[]): NodeId[] {
  return ids.toSorted((a, b) => Number(isNodeHost(ring, b)) - Number(isNodeHost(ring, a)));
}

function isNodeHost(ring: Ring, id: NodeId): boolean {
  return ring.host(id)?.kind === "host";
}
