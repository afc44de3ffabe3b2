/**
 * How a node comes into its cluster: it founds it, returns to it, or joins through a seed.
 * Invariant: the own record's incarnation is higher than in any earlier run, and on disk before anyone hears of it.
 */
import { toHex } from "../bytes/hex.ts";
import { type ClusterParameters, clusterDefaults } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { MemberRecord, MemberStatement } from "../membership/member.ts";
import { signMember } from "../membership/signed-member.ts";
import { emptyRoster, isOnRing, mergeRoster, type Roster } from "../membership/roster.ts";
import { initialAssignment } from "../placement/assignment.ts";
import type { Clock, Identity, Random } from "../ports.ts";
import type { Tasks } from "../tasks.ts";
import type { Cluster } from "./cluster.ts";
import { checkSameParameters } from "./exchange.ts";
import type { Marks } from "./marks.ts";

/** What the operator says of this node. */
export interface OwnDescription {
  readonly id: NodeId;
  readonly kind: MemberStatement["kind"];
  readonly capacity: number;
  readonly zone: string;
  readonly deviceGroup: string;
  readonly addresses: readonly string[];
  readonly http: string;
}

/** Parameters given explicitly; those of an existing cluster win, and a difference is refused. */
export type WantedParameters = Partial<Omit<ClusterParameters, "name">> & { readonly name: string };

export interface StartMeans {
  readonly clock: Clock;
  readonly random: Random;
  readonly identity: Identity;
  readonly marks: Marks;
}

/** The first host of a cluster: it has every token, and nothing is missing in an empty cluster. */
export async function foundCluster(own: OwnDescription, wanted: WantedParameters, means: StartMeans): Promise<Roster> {
  const cluster: ClusterParameters = { ...clusterDefaults, ...wanted };
  const version = { life: 1, incarnation: 1 };
  await means.marks.bear(version);
  const record = await ownRecord(own, version, means);
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
export async function returnToCluster(
  own: OwnDescription,
  stored: Roster,
  wanted: WantedParameters,
  means: StartMeans,
): Promise<Roster> {
  checkSameParameters(stored.cluster, wanted);
  const former = stored.members.get(own.id);
  if (former === undefined) {
    const members = [...stored.members.keys()].join(", ");
    throw new StoreError(
      "bad-request",
      `this data directory belongs to another node: ${own.id} is not among ${members}`,
    );
  }
  if (!isOnRing(former.status)) {
    throw new StoreError("not-member", `${own.id} was ${former.status} from the cluster "${stored.cluster.name}"`);
  }
  const record = await ownRecord(own, { life: former.life, incarnation: former.incarnation + 1 }, means);
  return mergeRoster(stored, { members: new Map([[own.id, record]]) });
}

/**
 * A node without data, and what a seed told it: a new member, which takes its share of the tokens next (`takeShare`);
 * one that the cluster knows (its disk was lost, or set aside as an old copy) is a member already and only fills.
 */
export async function joinCluster(
  own: OwnDescription,
  known: Roster,
  wanted: WantedParameters,
  means: StartMeans,
): Promise<Roster> {
  checkSameParameters(known.cluster, wanted);
  const former = known.members.get(own.id);
  const isMember = former !== undefined && isOnRing(former.status);
  const version = isMember
    ? { life: former.life, incarnation: former.incarnation + 1 }
    : { life: (former?.life ?? 0) + 1, incarnation: 1 };
  await means.marks.bear(version);
  // What was before this directory is none of its business, so it answers for it.
  const record = await ownRecord(own, version, means, former === undefined ? [] : [former.mark]);
  return mergeRoster(known, { members: new Map([[own.id, record]]) });
}

/** A new member hears of them in its first exchanges, which its connections bring about. */
const secretPollMs = 5;

/** Or until the tasks are stopped. */
export async function untilToldSecrets(cluster: Pick<Cluster, "roster">, tasks: Tasks): Promise<void> {
  while (cluster.roster.secrets.length === 0 && !tasks.stopped) await tasks.sleep(secretPollMs);
}

async function ownRecord(
  own: OwnDescription,
  version: { readonly life: number; readonly incarnation: number },
  { identity, marks }: StartMeans,
  answers: readonly string[] = marks.latest,
): Promise<MemberRecord> {
  const statement = { ...own, ...version, status: "up" as const, mark: await marks.draw(), answers };
  return signMember(statement, own.id, (input) => identity.sign(input));
}
