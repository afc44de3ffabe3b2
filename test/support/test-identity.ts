/** Keys that need no cryptography: a signature is a hash of who signs and what. Deterministic, so simulations repeat. */
import { sha256 } from "@noble/hashes/sha2.js";
import { encodeUtf8 } from "lib0/string";
import { equalBytes } from "../../core/bytes/compare.ts";
import type { NodeId } from "../../core/identity.ts";
import type { MemberRecord, MemberStatement } from "../../core/membership/member.ts";
import { encodeStatement, signingInput } from "../../core/membership/signed-member.ts";
import type { Identity } from "../../core/ports.ts";

export function testIdentity(self: NodeId): Identity {
  return {
    sign: async (input) => signatureOf(self, input),
    verify: async (who, input, signature) => equalBytes(signature, signatureOf(who, input)),
  };
}

/** The record as its signer would make it, at once; also one that nobody could have made. */
export function signedRecord(statement: MemberStatement, by: NodeId = statement.id): MemberRecord {
  const payload = encodeStatement(statement);
  return { ...statement, proof: { payload, by, signature: signatureOf(by, signingInput(payload)) } };
}

function signatureOf(who: NodeId, input: Uint8Array): Uint8Array {
  return sha256
    .create()
    .update(encodeUtf8(`key of ${who}:`))
    .update(input)
    .digest();
}
