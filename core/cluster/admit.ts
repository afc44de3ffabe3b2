/**
 * What of a roster that somebody sent may be merged. Every record that is not known already, byte for byte, is verified;
 * a bad one is refused alone: whoever sent it could have left it out, so nothing is gained by refusing the rest, and one
 * damaged record on one disk would cut its host off for ever.
 * Invariant: what is not signed (tokens, holdings, secrets, history) counts only from a member.
 */
import type { ClusterParameters } from "../config.ts";
import type { NodeId } from "../identity.ts";
import { membersMax, type Told } from "../membership/exchange.ts";
import type { MemberRecord } from "../membership/member.ts";
import { problemOfRole } from "../membership/roles.ts";
import { type HoldingsRecord, isOnRing, newerMember, type Roster, type RosterPart } from "../membership/roster.ts";
import { compareProofs, isSaidByOthers, signingInput } from "../membership/signed-member.ts";
import type { Identity } from "../ports.ts";

export interface Admitted {
  readonly part: RosterPart;
  readonly refused: readonly { readonly about: NodeId; readonly reason: string }[];
}

export async function admit(identity: Identity, roster: Roster, from: NodeId, told: Told): Promise<Admitted> {
  const { records } = told;
  const members = new Map<NodeId, MemberRecord>();
  const questions: MemberRecord[] = [];
  const refused: { about: NodeId; reason: string }[] = [];
  const known = (id: NodeId): MemberRecord | undefined => newest(members.get(id), roster.members.get(id));
  const check = async (record: MemberRecord, accept: () => void): Promise<void> => {
    const reason = await problemOf(identity, roster.cluster, record, known(record.proof.by) !== undefined);
    if (reason === undefined) accept();
    else refused.push({ about: record.id, reason });
  };
  // What members said themselves first: who carried a removal out may have been unknown until now.
  const ownFirst = [...(records.members?.values() ?? [])].toSorted(
    (a, b) => Number(isByOther(a)) - Number(isByOther(b)),
  );
  let room = membersMax - roster.members.size;
  for (const record of ownFirst) {
    const { id } = record;
    const own = roster.members.get(id);
    if (own !== undefined && compareProofs(own, record) === 0) continue;
    const accept = (): void => {
      members.set(id, record);
      if (own === undefined) room -= 1;
    };
    if (own !== undefined || room > 0) await check(record, accept);
    else refused.push({ about: id, reason: `it is one host too many: at most ${membersMax}` });
  }
  for (const record of records.questions ?? []) {
    if (roster.questions.some((each) => compareProofs(each, record) === 0)) questions.push(record);
    else await check(record, () => void questions.push(record));
  }
  if (!isTrusted(known(from))) return { part: { members, questions }, refused };
  const holdings = new Map([...(records.holdings ?? [])].filter(([id, held]) => isOfARun(held, known(id))));
  return { part: { ...told.sections(), members, questions, holdings }, refused };
}

/** Secrets go to hosts alone: to those that are on the ring, and so were admitted. */
export function mayKnowSecrets(roster: Roster, peer: NodeId): boolean {
  const member = roster.members.get(peer);
  return member !== undefined && isOnRing(member.status);
}

function isByOther({ id, proof }: MemberRecord): boolean {
  return proof.by !== id;
}

/** Undefined: none. */
async function problemOf(
  identity: Identity,
  cluster: ClusterParameters,
  record: MemberRecord,
  isSignerKnown: boolean,
): Promise<string | undefined> {
  const { id, status, proof } = record;
  const badRole = problemOfRole(record);
  if (badRole !== undefined) return badRole;
  if (proof.by !== id && !isSaidByOthers(status)) return `only ${id} itself can say that it is ${status}`;
  if (proof.by !== id && !isSignerKnown) return `${proof.by}, which says that ${id} was ${status}, is no member`;
  if (!isAdmitted(cluster, id)) return `${id} has no grant for this cluster`;
  const isGenuine = await identity.verify(proof.by, signingInput(proof.payload), proof.signature);
  return isGenuine ? undefined : `the signature is not of ${proof.by}`;
}

/** Who may become a member. Grants are looked up here where the cluster asks for them (PROTOCOL 14). */
function isAdmitted({ admission }: ClusterParameters, _id: NodeId): boolean {
  return admission === "open";
}

/** One that left may still have news of the time before; one that was removed need not be believed. */
function isTrusted(record: MemberRecord | undefined): boolean {
  return record !== undefined && (isOnRing(record.status) || record.status === "left");
}

/**
 * Nobody holds anything in a run that its own record does not tell of: so a wrong number cannot hide what it holds. But a
 * final record may be of an earlier run than the last: what its host said then counts nowhere, and all must agree on it.
 */
function isOfARun({ life, incarnation }: HoldingsRecord, record: MemberRecord | undefined): boolean {
  if (record === undefined || life > record.life) return false;
  return life < record.life || incarnation <= record.incarnation || !isOnRing(record.status);
}

function newest(a: MemberRecord | undefined, b: MemberRecord | undefined): MemberRecord | undefined {
  return a !== undefined && b !== undefined ? newerMember(a, b) : (a ?? b);
}
