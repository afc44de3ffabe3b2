/**
 * Member statements as bytes, signed as libp2p's signed envelopes are (RFC 0002): the signature is over domain, payload
 * type and payload, each with its length, so that it can never be taken for a signature of something else. The public
 * key is not carried: the signer's id holds it.
 * Invariants: a record is exactly what its payload says, unknown fields of a newer version included, for the payload
 * travels and is stored as it was signed; nothing else of a record is signed, and nothing of it is not.
 */
import { encodeUtf8 } from "lib0/string";
import {
  bytes,
  choice,
  DecodeError,
  field,
  hex,
  type Infer,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../bytes/codec.ts";
import { compareBytes } from "../bytes/compare.ts";
import { sha256Of } from "../bytes/sha256.ts";
import type { NodeId } from "../identity.ts";
import type { MemberRecord, MemberStatement, MemberStatus, Proof } from "./member.ts";

/** A host that starts every second for 30,000 years. Above it a number could not be raised any more. */
export const versionMax = 2 ** 40;
/** Two days of hourly marks, or so many questions at once. */
const answersMax = 48;

const Statement = message("MemberStatement", {
  id: field(1, text(128)),
  life: field(2, varint),
  incarnation: field(3, varint),
  status: field(4, choice({ up: 0, leaving: 1, left: 2, removed: 3, lapsed: 4 })),
  /** An edge never is a member; its number is there to be told so. */
  kind: field(5, choice({ host: 0, "browser-host": 1, edge: 2 })),
  capacity: field(6, varint),
  zone: field(7, text(128)),
  deviceGroup: field(8, text(128)),
  addresses: repeated(9, text(512), 64),
  http: field(10, text(512)),
  mark: field(11, hex(16)),
  answers: repeated(12, hex(16), answersMax),
  leaseMs: optional(13, varint),
});

/** As records travel and are stored. */
export const SignedMember = message("SignedMember", {
  payload: field(1, bytes(65_536)),
  by: field(2, text(128)),
  signature: field(3, bytes(512)),
});
export type SignedMember = Infer<typeof SignedMember>;

const domain = encodeUtf8("everwrite-member");
const payloadType = encodeUtf8("/everwrite/1/member");

/** What is signed of a payload: each part with its length as a LEB128 varint (libp2p RFC 0002). */
export function signingInput(payload: Uint8Array): Uint8Array {
  const input: number[] = [];
  for (const part of [domain, payloadType, payload]) {
    for (let rest = part.length; ; rest >>>= 7) {
      input.push(rest < 128 ? rest : (rest & 127) | 128);
      if (rest < 128) break;
    }
    for (const byte of part) input.push(byte);
  }
  return Uint8Array.from(input);
}

/** The record that says so, signed by `by` with its key. */
export async function signMember(
  statement: MemberStatement,
  by: NodeId,
  sign: (input: Uint8Array) => Promise<Uint8Array>,
): Promise<MemberRecord> {
  const payload = encodeStatement(statement);
  return recordOf({ payload, by, signature: await sign(signingInput(payload)) });
}

export function encodeStatement(statement: MemberStatement): Uint8Array {
  return Statement.encode(statement);
}

/** Not verified: see `cluster/admit.ts`. @throws DecodeError when the payload is no statement of a member, or a number is beyond all reason */
export function recordOf({ payload, by, signature }: SignedMember | Proof): MemberRecord {
  const statement = Statement.decode(payload);
  const { id, kind, life, incarnation } = statement;
  if (kind === "edge") throw new DecodeError(`${id} is an edge, which is never a member of the ring`);
  if (life > versionMax || incarnation > versionMax) {
    throw new DecodeError(`life ${life} and incarnation ${incarnation} of ${id} cannot be: at most ${versionMax}`);
  }
  // Copies: a record is kept, the message that it came in is not.
  return {
    ...statement,
    kind,
    id: id as NodeId,
    proof: { payload: payload.slice(), by: by as NodeId, signature: signature.slice() },
  };
}

/** Whether a host other than the member itself may state this of it. */
export function isSaidByOthers(status: MemberStatus): boolean {
  return status === "removed" || status === "lapsed";
}

/** 0 exactly when two records are equal byte for byte, signature included; else an order on which all nodes agree. */
export function compareProofs({ proof: a }: MemberRecord, { proof: b }: MemberRecord): number {
  if (a === b) return 0;
  const byPayload = compareBytes(a.payload, b.payload);
  if (byPayload !== 0) return byPayload;
  const bySigner = a.by < b.by ? -1 : a.by > b.by ? 1 : 0;
  return bySigner === 0 ? compareBytes(a.signature, b.signature) : bySigner;
}

/** 8 bytes that name a record. */
export function recordDigest({ proof }: MemberRecord): Uint8Array {
  return sha256Of(SignedMember.encode(proof)).slice(0, 8);
}
