/**
 * How a node comes into its cluster: it founds it, returns to it, or joins through a seed.
 * Invariant: the own record's incarnation is higher than in any earlier run, and on disk before anyone hears of it.
 */
import { toHex } from "../bytes/hex.ts";
import { type ClusterParameters, clusterDefaults } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { joinsUntil } from "../membership/exchange.ts";
import type { MemberRecord, MemberStatement } from "../membership/member.ts";
import { lease, problemOfRole } from "../membership/roles.ts";
import { signMember } from "../membership/signed-member.ts";
import { emptyRoster, type HoldingsRecord, isOnRing, mergeRoster, type Roster } from "../membership/roster.ts";
import { initialAssignment } from "../placement/assignment.ts";
import { allPartitions } from "../placement/partition.ts";
import type { Clock, Identity, Random } from "../ports.ts";
import { Consents } from "../replica/consents.ts";
import { HintStore } from "../replica/hint-store.ts";
import { Holdings } from "../replica/holdings.ts";
import type { RecordStore } from "../storage/record-store.ts";
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
  /** Of a browser host: how long it may be silent, ms; the default where not given (`membership/roles.ts`). */
  readonly leaseMs?: number;
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
  const version = { life: 1, incarnation: 1, status: "up" } as const;
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
  checkSameKind(own, former);
  // A restart does not end a departure.
  const { life, incarnation, status } = former;
  const record = await ownRecord(own, { life, incarnation: incarnation + 1, status }, means);
  return withOwn(stored, record);
}

/** Its place on the ring ended: it left, was removed, or its lease lapsed. */
export function isDeparted(id: NodeId, stored: Roster): boolean {
  const former = stored.members.get(id);
  return former !== undefined && !isOnRing(former.status);
}

/**
 * One whose lease lapsed was sent away by nobody: it comes back by itself.
 * @throws StoreError `not-member`: only an operator brings another one back, by naming whom it is to join
 */
export function checkMayReturn(id: NodeId, stored: Roster, seeds: readonly string[]): void {
  const how = stored.members.get(id)?.status;
  if (seeds.length > 0 || how === "lapsed") return;
  const text = `${id} is no member of the cluster "${stored.cluster.name}" any more (${how})`;
  throw new StoreError("not-member", `${text}: start it with --seed to join again; what it holds is offered then`);
}

/** What of the disk of a host that left or was removed cannot be offered to the owners (PROTOCOL 9, *Return*). */
export interface Outdated {
  /** A later run than this directory knows of has been seen. */
  readonly isWhole: boolean;
  /** Something was forgotten there without it, which could come back; with its states its hints go. */
  readonly partitions: readonly PartitionIndex[];
  /** For whom hints are kept. */
  readonly hintTargets: readonly NodeId[];
  /** What it holds without these. */
  readonly held: HoldingsRecord | undefined;
}

/** Its own roster has the forgetting marks that it knew as a member (`mergeAs`). */
export async function outdatedOf(
  id: NodeId,
  { stored, known }: { readonly stored: Roster; readonly known: Roster },
  { records, ...means }: StartMeans & { readonly records: RecordStore },
): Promise<Outdated> {
  const member = known.members.get(id);
  const isWhole = member !== undefined && means.marks.isStrange(member);
  const held = stored.holdings.get(id);
  if (isWhole || held === undefined) return { isWhole, partitions: [], hintTargets: [], held };
  const holdings = new Holdings(stored.cluster.partitions, means.random);
  holdings.restore(held);
  const consents = new Consents(records, stored);
  const nobody = { event: () => {} }; // hints are only counted here
  const hints = new HintStore({ ...means, records, holdings, telemetry: nobody });
  await Promise.all([consents.open(), hints.open()]);
  const isKept = (each: PartitionIndex): boolean => holdings.get(each) !== "none" || holdings.isHinted(each);
  const partitions = consents.takeUncovered(known).filter(isKept);
  for (const each of partitions) holdings.set(each, "none");
  const hintTargets = hints.summaries().map(({ target }) => target);
  return { isWhole, partitions, hintTargets, held: { ...held, ...holdings.bitmaps() } };
}

/**
 * A node without data, and what a seed told it: a new member, which takes its share of the tokens next (`takeShare`);
 * one that the cluster knows (its disk was lost, or set aside as an old copy) is a member already and only fills.
 * `keepsData`: it left or was removed and has its data still, which it offers to the owners.
 */
export async function joinCluster(
  own: OwnDescription,
  known: Roster,
  wanted: WantedParameters,
  means: StartMeans,
  { keepsData = false } = {},
): Promise<Roster> {
  checkSameParameters(known.cluster, wanted);
  const former = known.members.get(own.id);
  const isMember = former !== undefined && isOnRing(former.status);
  if (isMember) checkSameKind(own, former);
  if (former === undefined) checkHasRoom(known);
  const version = isMember
    ? { life: former.life, incarnation: former.incarnation + 1 }
    : { life: (former?.life ?? 0) + 1, incarnation: 1 };
  const statement = { ...version, status: isMember ? former.status : ("up" as const) };
  if (keepsData) return withOwn(known, await ownRecord(own, statement, means));
  await means.marks.bear(version);
  // What was before this directory is none of its business, so it answers for it.
  return withOwn(known, await ownRecord(own, statement, means, former === undefined ? [] : [former.mark]));
}

/** A new member hears of them in its first exchanges, which its connections bring about. */
const secretPollMs = 5;

/** Or until the tasks are stopped, or somebody has removed this node meanwhile: nobody tells them to it any more. */
export async function untilToldSecrets(cluster: Pick<Cluster, "roster" | "ownRecord">, tasks: Tasks): Promise<void> {
  const isTold = (): boolean => cluster.roster.secrets.length > 0 || !isOnRing(cluster.ownRecord.status);
  while (!isTold() && !tasks.stopped) await tasks.sleep(secretPollMs);
}

/** Above what connections take; where the others are away, a host that comes back works alone after this. */
const contactMsMax = 1_000;
/** What connections take as a rule: after this the rest is not waited for. */
const restMsMax = 100;
const contactPollMs = 20;

/**
 * Until most owners of each partition are connected, for before that who comes back meets no quorum, and a little longer for
 * the rest; or until it has waited for `contactMsMax`, or stops.
 */
export async function untilInContact({
  cluster,
  clock,
  tasks,
}: {
  readonly cluster: Pick<Cluster, "ring" | "health">;
  readonly clock: Clock;
  readonly tasks: Tasks;
}): Promise<void> {
  const startedMs = clock.now();
  const isMet = (partition: PartitionIndex): boolean => {
    const owners = cluster.ring.owners(partition);
    const up = owners.filter((owner) => cluster.health.isUp(owner)).length;
    return up === owners.length || (2 * up > owners.length && clock.now() - startedMs >= restMsMax);
  };
  const partitions = allPartitions(cluster.ring.partitions);
  const isOver = (): boolean => clock.now() - startedMs >= contactMsMax || partitions.every(isMet);
  while (!isOver() && !tasks.stopped) await tasks.sleep(contactPollMs);
}

/** @throws StoreError `bad-request` for an edge, a lease that its kind does not have, a capacity below 1 */
export function checkRole({ kind, leaseMs, capacity }: Pick<OwnDescription, "kind" | "leaseMs" | "capacity">): void {
  // A caller in JavaScript may say anything.
  const isMember = kind === "host" || kind === "browser-host";
  const stated = { kind, status: "up" as const, capacity, ...leaseOf({ kind, leaseMs }) };
  const problem = isMember ? problemOfRole(stated) : `a node of kind "${String(kind)}" is never a member of the ring`;
  if (problem !== undefined) throw new StoreError("bad-request", problem);
}

function leaseOf({
  kind,
  leaseMs,
}: {
  readonly kind: MemberStatement["kind"];
  readonly leaseMs?: number | undefined;
}): {
  readonly leaseMs?: number;
} {
  if (leaseMs !== undefined) return { leaseMs };
  return kind === "browser-host" ? { leaseMs: lease.defaultMs } : {};
}

/** @throws StoreError `overloaded` */
function checkHasRoom({ cluster, members }: Roster): void {
  if (members.size < joinsUntil) return;
  const text = `the cluster "${cluster.name}" knows ${members.size} hosts, former ones included`;
  throw new StoreError("overloaded", `${text}: at most ${joinsUntil} can join`);
}

/** Within a life a member's kind stays: who ends the membership of a browser host may not meet a host. */
function checkSameKind({ id, kind }: OwnDescription, former: MemberRecord): void {
  if (kind === former.kind) return;
  throw new StoreError(
    "bad-request",
    `${id} is a ${former.kind} of the cluster: it leaves before it becomes a ${kind}`,
  );
}

async function ownRecord(
  own: OwnDescription,
  version: Pick<MemberStatement, "life" | "incarnation" | "status">,
  { identity, marks }: StartMeans,
  answers: readonly string[] = marks.latest,
): Promise<MemberRecord> {
  const statement = { ...own, ...leaseOf(own), ...version, mark: await marks.draw(), answers };
  return signMember(statement, own.id, (input) => identity.sign(input));
}

function withOwn(roster: Roster, record: MemberRecord): Roster {
  return mergeRoster(roster, { members: new Map([[record.id, record]]) });
}
