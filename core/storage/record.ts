/**
 * How one record lies in storage: the value, then the CRC-32C of namespace, key and value (4 bytes, little-endian).
 * Invariant: `unsealRecord` returns exactly the bytes that `sealRecord` was given under that namespace and key, or
 * undefined. Engines do not promise this: LevelDB as we run it returned wrong values for 13 of 20 flipped bits.
 */
import { encodeUtf8 } from "lib0/string";
import type { Namespace } from "../ports.ts";
import { crc32c } from "./crc32c.ts";

/** Bytes that a stored record is longer than its value. */
export const sealBytes = 4;

/** The namespace is summed too: one flipped bit of a one-letter prefix must not move a record into another namespace. */
const seedOf: Readonly<Record<Namespace, number>> = {
  objects: crc32c(encodeUtf8("objects")),
  hints: crc32c(encodeUtf8("hints")),
  meta: crc32c(encodeUtf8("meta")),
  merkle: crc32c(encodeUtf8("merkle")),
};

export function sealRecord(ns: Namespace, key: Uint8Array, value: Uint8Array): Uint8Array {
  const length = value.length;
  const sealed = new Uint8Array(length + sealBytes);
  sealed.set(value);
  const crc = crc32c(value, crc32c(key, seedOf[ns]));
  sealed[length] = crc;
  sealed[length + 1] = crc >>> 8;
  sealed[length + 2] = crc >>> 16;
  sealed[length + 3] = crc >>> 24;
  return sealed;
}

/** A view of the value, without a copy; undefined when the record is damaged. */
export function unsealRecord(ns: Namespace, key: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  const length = sealed.length - sealBytes;
  if (length < 0) return undefined;
  // Not `subarray`: engines hand out `Buffer`s, whose `slice` shares memory where that of a `Uint8Array` copies.
  const value = new Uint8Array(sealed.buffer, sealed.byteOffset, length);
  const stored =
    sealed[length]! | (sealed[length + 1]! << 8) | (sealed[length + 2]! << 16) | (sealed[length + 3]! << 24);
  return crc32c(value, crc32c(key, seedOf[ns])) === stored ? value : undefined;
}
