/**
 * CRC-32C (Castagnoli; RFC 3720 B.4): the checksum under every stored record.
 * Invariant: `crc32c(b, crc32c(a))` equals the checksum of `a` followed by `b`, so nothing is ever joined to be summed.
 */

/** Castagnoli's polynomial, bits reversed: finds every burst of up to 32 bits, and any 3 flips in records of our size. */
const polynomial = 0x82f63b78;

/**
 * "Slicing by 8" (Kounavis and Berry, 2005): table k holds the effect of a byte with k more bytes behind it,
 * so that eight bytes need eight independent look-ups instead of eight dependent ones. 8 KiB, within the L1 cache.
 */
const tables = (() => {
  const slices = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? polynomial : 0);
    slices[byte] = crc;
  }
  for (let index = 256; index < slices.length; index++) {
    const before = slices[index - 256]!;
    slices[index] = (before >>> 8) ^ slices[before & 0xff]!;
  }
  return slices;
})();

/** Checksum of `bytes`, continued from `crc`, that of the bytes before them. A signed 32-bit integer: cheap to compare. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  const end = bytes.length;
  const endOfEights = end - (end % 8);
  let state = ~crc;
  let at = 0;
  for (; at < endOfEights; at += 8) {
    state ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    state =
      tables[1792 + (state & 0xff)]! ^
      tables[1536 + ((state >>> 8) & 0xff)]! ^
      tables[1280 + ((state >>> 16) & 0xff)]! ^
      tables[1024 + (state >>> 24)]! ^
      tables[768 + bytes[at + 4]!]! ^
      tables[512 + bytes[at + 5]!]! ^
      tables[256 + bytes[at + 6]!]! ^
      tables[bytes[at + 7]!]!;
  }
  for (; at < end; at++) state = (state >>> 8) ^ tables[(state ^ bytes[at]!) & 0xff]!;
  return ~state;
}
