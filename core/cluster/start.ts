/**
 * How a node comes into its cluster: it founds it, returns to it, or joins through a seed.
 * Invariant: the own record's incarnation is higher than in any earlier run, and on disk before anyone hears of it.
 */
import { toHex } from "../bytes/hex.ts";
import { type ClusterParameters, clusterDefaults } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { MemberRecord } from "../membership/member.ts";
import { emptyRoster, isOnRing, mergeRoster, type Roster } from "../membership/roster.ts";
import { initialAssignment } from "../placement/assignment.ts";
import type { Clock, Random } from "../ports.ts";
import { checkSameParameters } from "./exchange.ts";

/** What the operator says of this node. */
export interface OwnDescription {
  readonly id: NodeId;
  readonly kind: MemberRecord["kind"];
  readonly capacity: number;
  readonly zone: string;
  readonly deviceGroup: string;
  readonly addresses: readonly string[];
  readonly http: string;
}

/** Parameters given explicitly; those of an existing cluster win, and a difference is refused. */
export type WantedParameters = Partial<Omit<ClusterParameters, "name">> & { readonly name: string };

type Means = { readonly clock: Clock; readonly random: Random };

/** The first host of a cluster: it has every token, and nothing is missing in an empty cluster. */
export function foundCluster(own: OwnDescription, wanted: WantedParameters, means: Means): Roster {
  const cluster: ClusterParameters = { ...clusterDefaults, ...wanted };
  const record = ownRecord(own, { life: 1, incarnation: 1 }, means.random);
  return mergeRoster(emptyRoster(cluster), {
    members: new Map([[own.id, record]]),
    assignment: initialAssignment(own.id, cluster.partitions),
    secrets: [toHex(means.random.bytes(32))],
    changes: [
      { by: own.id, atMs: means.clock.wallTime(), verb: "create", subject: own.id, tokens: cluster.partitions },
    ],
  });
}

/** A restart with data: the same member under the next incarnation. */
export function returnToCluster(own: OwnDescription, stored: Roster, wanted: WantedParameters, random: Random): Roster {
  checkSameParameters(stored.cluster, wanted);
  const former = stored.members.get(own.id);
  if (former === undefined) {
    const members = [...stored.members.keys()].join(", ");
    throw new StoreError(
      "bad-request",
      `this data directory belongs to another node: ${own.id} is not among ${members}`,
    );
  }
  const record = ownRecord(own, { life: former.life, incarnation: former.incarnation + 1 }, random);
  // A restart does not end a departure.
  return mergeRoster(stored, { members: new Map([[own.id, { ...record, status: former.status }]]) });
}

/** Its place on the ring ended: it left, was removed, or its lease lapsed. */
export function isDeparted(id: NodeId, stored: Roster): boolean {
  const former = stored.members.get(id);
  return former !== undefined && !isOnRing(former.status);
}

/** @throws StoreError `not-member`: only an operator brings it back, by naming whom it is to join */
export function checkMayReturn(id: NodeId, stored: Roster, seeds: readonly string[]): void {
  if (seeds.length > 0) return;
  const how = stored.members.get(id)?.status;
  const text = `${id} is no member of the cluster "${stored.cluster.name}" any more (${how})`;
  throw new StoreError("not-member", `${text}: start it with --seed to join again; what it holds is offered then`);
}

/**
 * A node without data, and what a seed told it: a new member, which takes its share of the tokens next (`takeShare`);
 * one that the cluster knows (its disk was lost) is a member already and only fills.
 */
export function joinCluster(own: OwnDescription, known: Roster, wanted: WantedParameters, random: Random): Roster {
  checkSameParameters(known.cluster, wanted);
  const former = known.members.get(own.id);
  const isMember = former !== undefined && isOnRing(former.status);
  const version = isMember
    ? { life: former.life, incarnation: former.incarnation + 1 }
    : { life: (former?.life ?? 0) + 1, incarnation: 1 };
  const status = isMember ? former.status : "up";
  return mergeRoster(known, { members: new Map([[own.id, { ...ownRecord(own, version, random), status }]]) });
}

function ownRecord(
  own: OwnDescription,
  version: { readonly life: number; readonly incarnation: number },
  random: Random,
): MemberRecord {
  return { ...own, ...version, status: "up", mark: toHex(random.bytes(16)) };
}
