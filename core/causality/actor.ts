/**
 * The one place where actors are made. An actor names a run of events, and PROTOCOL section 3 says how long it may live:
 * reusing one for events that its memory does not back is how stores of this family lose data silently.
 */
import { encodeUtf8 } from "lib0/string";
import { fromHex, hexDigitsOf } from "../bytes/hex.ts";
import { sha256Of } from "../bytes/sha256.ts";
import { invariant, StoreError } from "../errors.ts";
import type { ActorId, Key, NodeId } from "../identity.ts";

/** Random bytes for one actor, and bytes of a write id. */
export const ACTOR_BYTES = 8;

/** A client's name for one put, so that it can be repeated: 16 lower-case hex digits. */
export type WriteId = string;

/** A fresh actor from bytes that must be unpredictable and used once. */
export function actorFromRandom(bytes: Uint8Array): ActorId {
  invariant(bytes.length === ACTOR_BYTES, `an actor takes ${ACTOR_BYTES} random bytes`);
  return hexDigitsOf(bytes, 0, ACTOR_BYTES) as ActorId;
}

/** Whoever mints the put of this id, it is the same event: this actor's only one, with counter 1. */
export function actorOfWriteId(key: Key, writeId: WriteId): ActorId {
  return derivedActor("everwrite/write-id", writeId, key);
}

/** An edge's actor, which a host can check against the edge's authenticated id. The nonce: 16 hex digits. */
export function actorOfEdge(edge: NodeId, nonce: string): ActorId {
  return derivedActor("everwrite/edge", nonce, edge);
}

/** @throws StoreError `bad-request` */
export function parseWriteId(text: string): WriteId {
  if (text.length === 2 * ACTOR_BYTES && fromHex(text) !== undefined) return text;
  throw new StoreError("bad-request", `a write id is ${2 * ACTOR_BYTES} lower-case hex digits, not "${text}"`);
}

/** The digits have a fixed length, so no two pairs of (digits, rest) share their bytes. */
function derivedActor(domain: string, digits: string, rest: string): ActorId {
  invariant(digits.length === 2 * ACTOR_BYTES, "an actor derives from 16 hex digits");
  return hexDigitsOf(sha256Of(encodeUtf8(`${domain}\n${digits}\n${rest}`)), 0, ACTOR_BYTES) as ActorId;
}
