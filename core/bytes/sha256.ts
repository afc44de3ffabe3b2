/**
 * SHA-256 of bytes that are all there. What most often is hashed here is short: then to make the working memory of a hash
 * costs more than the hashing, so it is made once.
 */
import { sha256 } from "@noble/hashes/sha2.js";

const fresh = sha256.create();
const working = sha256.create();

/** 32 bytes. */
export function sha256Of(bytes: Uint8Array): Uint8Array {
  // Hashing is synchronous and never re-entered. A digest wipes what it was made in.
  // oxlint-disable-next-line no-underscore-dangle -- noble's one way to begin anew without new memory
  return fresh._cloneInto(working).update(bytes).digest();
}
