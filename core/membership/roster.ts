/**
 * The membership state: members, who has which token, who holds what completely. Merged, never replaced.
 * Invariant: merging is commutative, associative and idempotent, so exchanges may be lost, repeated and reordered (PROTOCOL 9).
 */
import type { ClusterParameters } from "../config.ts";
import type { NodeId } from "../identity.ts";
import { type Assignment, emptyAssignment, mergeAssignments } from "../placement/assignment.ts";
import { type ForgettingMarks, mergeMarks } from "./forgetting-marks.ts";
import type { MemberRecord, MemberStatus } from "./member.ts";
import { compareProofs } from "./signed-member.ts";

/** What one host says that it holds: bitmaps over the partitions, absolute. */
export interface HoldingsRecord {
  readonly id: NodeId;
  readonly life: number;
  readonly incarnation: number;
  /** Raised with each change within an incarnation. */
  readonly sequence: number;
  readonly complete: Uint8Array;
  readonly filling: Uint8Array;
  /** Kept beyond its ownership, and counted in no quorum. */
  readonly former: Uint8Array;
  /** Partitions in which it keeps hints with states. */
  readonly hints: Uint8Array;
}

/** One committed change of the ring, for the history. */
export interface RingChange {
  readonly by: NodeId;
  /** By the wall clock of who made it. */
  readonly atMs: number;
  readonly verb: "create" | "join" | "leave" | "remove" | "rebalance" | "lapse";
  readonly subject: NodeId;
  /** Of a lapse the life that it ended: hosts that carry it out at once make one change of it. */
  readonly life?: number;
  /** Tokens that it gave to another host. */
  readonly tokens: number;
}

export interface Roster {
  readonly cluster: ClusterParameters;
  readonly members: ReadonlyMap<NodeId, MemberRecord>;
  readonly assignment: Assignment;
  readonly holdings: ReadonlyMap<NodeId, HoldingsRecord>;
  /** Cluster secrets that seal contexts, 64 hex digits each, sorted. A set: rings that met accept each other's. */
  readonly secrets: readonly string[];
  /** Sorted by time, then text. */
  readonly changes: readonly RingChange[];
  /**
   * Replaced records whose mark the present record of their host does not answer for: kept until it does, so that a host
   * that runs on an old copy of its data hears of the runs that it does not know (PROTOCOL 9, *Restored old copy*).
   */
  readonly questions: readonly MemberRecord[];
  /**
   * What has been forgotten of a partition: its mark grows with each reap of deleted keys, and before entries of clocks are
   * cut (PROTOCOL 3, *Truncation*; 9, *Return*; 10).
   */
  readonly forgettingMarks: ForgettingMarks;
}

/** Some of a roster: what one side has and the other lacks. */
export type RosterPart = Partial<Omit<Roster, "cluster">>;

/** Oldest ring changes are forgotten above this: a history for people, nothing is computed from it. */
const changesMax = 500;
/** A host has as many unknown runs as old copies were brought back in a row; the latest matter. */
const questionsMax = 8;

export function emptyRoster(cluster: ClusterParameters): Roster {
  return {
    cluster,
    members: new Map(),
    assignment: emptyAssignment(cluster.partitions),
    holdings: new Map(),
    secrets: [],
    changes: [],
    questions: [],
    forgettingMarks: new Map(),
  };
}

/** Returns `roster` itself when the part adds nothing. */
export function mergeRoster(roster: Roster, part: RosterPart): Roster {
  const members = mergeMap(roster.members, part.members, newerMember);
  const holdings = mergeMap(roster.holdings, part.holdings, newerHoldings);
  const assignment = part.assignment ? mergeAssignments(roster.assignment, part.assignment) : roster.assignment;
  const forgettingMarks = mergeMap(roster.forgettingMarks, part.forgettingMarks, mergeMarks);
  const secrets = union(roster.secrets, part.secrets, (secret) => secret);
  const changes = mergedChanges(roster.changes, part.changes);
  const questions = mergedQuestions(roster, part, members);
  const unchanged =
    members === roster.members &&
    holdings === roster.holdings &&
    forgettingMarks === roster.forgettingMarks &&
    secrets.length === roster.secrets.length &&
    sameChanges(changes, roster.changes) &&
    questions === roster.questions &&
    assignment === roster.assignment;
  if (unchanged) return roster;
  return { cluster: roster.cluster, members, holdings, assignment, secrets, changes, questions, forgettingMarks };
}

/** Hosts on the ring: they count for N and hold tokens. */
export function ringMembers(roster: Roster): MemberRecord[] {
  return [...roster.members.values()].filter((member) => isOnRing(member.status));
}

/** The life in which a node is on the ring; undefined: it is no member. */
export function lifeOnRing({ members }: Roster, id: NodeId): number | undefined {
  const member = members.get(id);
  return member !== undefined && isOnRing(member.status) ? member.life : undefined;
}

export function isOnRing(status: MemberStatus): boolean {
  return status === "up" || status === "leaving";
}

/** Where the others that are on the ring listen. */
export function addressesOf(roster: Roster, self: NodeId): ReadonlyMap<NodeId, readonly string[]> {
  const others = ringMembers(roster).filter(({ id }) => id !== self);
  return new Map(others.map(({ id, addresses }) => [id, addresses]));
}

/**
 * As the host `self` merges what it hears. Once its membership has ended it keeps the forgetting marks that it knew as a
 * member: by these is told, when it returns, what was forgotten without it (PROTOCOL 9, *Return*).
 */
export function mergeAs(self: NodeId, roster: Roster, part: RosterPart): Roster {
  const merged = mergeRoster(roster, part);
  if (part.forgettingMarks === undefined || isOnRing(merged.members.get(self)!.status)) return merged;
  const { forgettingMarks: _raised, ...rest } = part;
  return mergeRoster(roster, rest);
}

/** Higher life; within a life the final statuses whatever the incarnation; else higher incarnation (memberlist#311). */
export function newerMember(a: MemberRecord, b: MemberRecord): MemberRecord {
  if (a.life !== b.life) return a.life > b.life ? a : b;
  const finalA = !isOnRing(a.status);
  const finalB = !isOnRing(b.status);
  if (finalA !== finalB) return finalA ? a : b;
  if (a.incarnation !== b.incarnation) return a.incarnation > b.incarnation ? a : b;
  // One node never signs two records of one incarnation; a copied identity may. Any rule will do, as long as all use it.
  return compareProofs(a, b) >= 0 ? a : b;
}

/** Whether a host that says this knows the run in which the other record was written. */
export function answersFor(present: MemberRecord, { mark }: Pick<MemberRecord, "mark">): boolean {
  return present.mark === mark || present.answers.includes(mark);
}

/** Questions of both sides, and the records that lost just now; without those that are answered. */
function mergedQuestions(
  roster: Roster,
  part: RosterPart,
  members: ReadonlyMap<NodeId, MemberRecord>,
): readonly MemberRecord[] {
  const heard = [...(part.members?.values() ?? [])];
  const replaced = heard.flatMap(({ id }) => roster.members.get(id) ?? []);
  const all = [...roster.questions, ...(part.questions ?? []), ...heard, ...replaced];
  if (all.length === 0) return roster.questions;
  const open = new Map<string, MemberRecord>();
  for (const record of all) {
    const present = members.get(record.id);
    // What others said of it is no run of its own.
    if (present === undefined || record.proof.by !== record.id || answersFor(present, record)) continue;
    const name = `${record.id} ${record.mark}`;
    const before = open.get(name);
    if (before === undefined || laterFirst(record, before) < 0) open.set(name, record);
  }
  const perHost = new Map<NodeId, number>();
  const kept = [...open.values()].toSorted(laterFirst).filter(({ id }) => {
    perHost.set(id, (perHost.get(id) ?? 0) + 1);
    return perHost.get(id)! <= questionsMax;
  });
  const isSame =
    kept.length === roster.questions.length && kept.every((each, i) => compareProofs(each, roster.questions[i]!) === 0);
  return isSame ? roster.questions : kept;
}

function laterFirst(a: MemberRecord, b: MemberRecord): number {
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return b.life - a.life || b.incarnation - a.incarnation || compareProofs(b, a);
}

/** Two records of one sequence: as with members, a copied identity may write them. */
export function newerHoldings(a: HoldingsRecord, b: HoldingsRecord): HoldingsRecord {
  if (a.life !== b.life) return a.life > b.life ? a : b;
  if (a.incarnation !== b.incarnation) return a.incarnation > b.incarnation ? a : b;
  if (a.sequence !== b.sequence) return a.sequence > b.sequence ? a : b;
  return bitsOf(a) >= bitsOf(b) ? a : b;
}

function bitsOf({ complete, filling, former, hints }: HoldingsRecord): string {
  return [complete, filling, former, hints].map((bits) => bits.join()).join(";");
}

function mergeMap<K, V>(
  ours: ReadonlyMap<K, V>,
  theirs: ReadonlyMap<K, V> | undefined,
  newer: (ours: V, theirs: V) => V,
): ReadonlyMap<K, V> {
  let merged: Map<K, V> | undefined;
  for (const [id, value] of theirs ?? []) {
    const own = ours.get(id);
    const winner = own === undefined ? value : newer(own, value);
    if (winner !== own) (merged ??= new Map(ours)).set(id, winner);
  }
  return merged ?? ours;
}

function union<T>(ours: readonly T[], theirs: readonly T[] | undefined, orderOf: (item: T) => string): readonly T[] {
  if (theirs === undefined || theirs.length === 0) return ours;
  const byOrder = new Map([...ours, ...theirs].map((item) => [orderOf(item), item]));
  if (byOrder.size === ours.length) return ours;
  return [...byOrder.entries()].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, item]) => item);
}

/** Of those that are one change the latest stays: then what fell off the end cannot come back in another order of merging. */
function mergedChanges(ours: readonly RingChange[], theirs: readonly RingChange[] | undefined): readonly RingChange[] {
  const all = union(ours, theirs, changeOrder);
  if (all === ours) return ours;
  const latest = new Map(all.map((change) => [changeName(change), change]));
  return all.filter((change) => latest.get(changeName(change)) === change).slice(-changesMax);
}

function changeName(change: RingChange): string {
  return change.verb === "lapse" ? `lapse ${change.subject} ${change.life}` : changeOrder(change);
}

/** By change: they are compared in each merge, and never change. */
const orders = new WeakMap<RingChange, string>();

function changeOrder(change: RingChange): string {
  let order = orders.get(change);
  if (order === undefined) {
    const { atMs, by, verb, subject, tokens, life = 0 } = change;
    orders.set(change, (order = [String(atMs).padStart(16, "0"), by, verb, subject, tokens, life].join(" ")));
  }
  return order;
}

function sameChanges(a: readonly RingChange[], b: readonly RingChange[]): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((change, i) => change === b[i] || changeOrder(change) === changeOrder(b[i]!));
}
