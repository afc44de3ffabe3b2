/**
 * What a broken or hostile peer may send in place of a message: a bit flipped, the end missing, noise, nothing.
 * Invariant: what is sent cannot be read as any message. Against a peer that lies in well-formed messages the store does
 * not guard (PROTOCOL 14), so such damage is left out.
 */
import { DecodeError } from "../../core/bytes/codec.ts";
import { decodeVersioned } from "../../core/causality/encoding.ts";
import { ErrorMessage } from "../../core/rpc/common-messages.ts";
import { type Method, methods } from "../../core/rpc/rpc.ts";
import type { Chance } from "./chance.ts";

type AnyMethod = Method<unknown, unknown>;

const byNumber = new Map<number, AnyMethod>(
  Object.values(methods).map((method) => [method.number, method as unknown as AnyMethod]),
);

export function spoiledRequest(chance: Chance, body: Uint8Array): Uint8Array {
  return spoiled(chance, body, (bytes) => {
    const method = byNumber.get(bytes[0] ?? 0);
    return method !== undefined && isReadable(() => method.request.decode(bytes.subarray(1)));
  });
}

export function spoiledAnswer(chance: Chance, number: number, body: Uint8Array): Uint8Array {
  const { response } = byNumber.get(number)!;
  return spoiled(chance, body, (bytes) => {
    if (bytes[0] === 0) return isReadable(() => response.decode(bytes.subarray(1)));
    return bytes[0] === 1 && isReadable(() => ErrorMessage.decode(bytes.subarray(1)));
  });
}

const triesMax = 4;
/** No method and no kind of answer. */
const nonsense = Uint8Array.of(255);

function spoiled(chance: Chance, body: Uint8Array, isMessage: (bytes: Uint8Array) => boolean): Uint8Array {
  for (let tries = 0; tries < triesMax; tries++) {
    const bytes = chance.pick(ways)(chance, body);
    if (!isMessage(bytes)) return bytes;
  }
  return nonsense;
}

const ways: readonly ((chance: Chance, body: Uint8Array) => Uint8Array)[] = [
  (chance, body) => {
    const bytes = body.slice();
    bytes[chance.whole(0, bytes.length - 1)]! ^= 1 << chance.whole(0, 7);
    return bytes;
  },
  (chance, body) => body.slice(0, chance.whole(0, body.length - 1)),
  // Lengths that lead beyond the end, or short of it.
  (chance, body) => {
    const bytes = body.slice();
    bytes[chance.whole(1, Math.min(40, bytes.length - 1))] = chance.pick([0, 1, 127, 128, 255]);
    return bytes;
  },
  (chance, body) => Uint8Array.from([body[0] ?? 0, ...chance.bytes(chance.whole(0, 200))]),
  (chance) => chance.bytes(chance.whole(0, 200)),
];

/** A message, and so is every state in it. */
function isReadable(decode: () => unknown): boolean {
  try {
    checkStates(decode());
    return true;
  } catch (error: unknown) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

function checkStates(message: unknown): void {
  if (Array.isArray(message)) message.forEach(checkStates);
  if (typeof message !== "object" || message === null || message instanceof Uint8Array) return;
  for (const [name, value] of Object.entries(message)) {
    if (name === "state" && value instanceof Uint8Array) decodeVersioned(value);
    else checkStates(value);
  }
}
