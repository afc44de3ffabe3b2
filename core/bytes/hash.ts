/**
 * The hashes that nodes must agree on. Synchronous (no WebCrypto), so that the simulator stays deterministic.
 */
import { md5 } from "@noble/hashes/legacy.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { encodeUtf8 } from "lib0/string";
import { sha256Of } from "./sha256.ts";

/**
 * Ring position of a key (the UTF-8 bytes of `bucket/name`): 16 bytes, read as a big-endian number.
 * MD5 as in the paper (4.2, 6): it spreads keys, it protects nothing.
 */
export function positionOf(keyBytes: Uint8Array): Uint8Array {
  return md5(keyBytes);
}

/** First 64 bits of SHA-256 as 16 hex digits: tells states apart. */
export function shortDigest(text: string): string {
  return bytesToHex(sha256Of(encodeUtf8(text)).slice(0, 8));
}
