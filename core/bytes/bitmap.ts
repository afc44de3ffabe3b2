/**
 * A set of partitions as bits, lowest first: Q=1024 is 128 bytes. Immutable once it was handed on.
 */
export function bitmapOf(size: number, members: Iterable<number>): Uint8Array {
  const bits = new Uint8Array(Math.ceil(size / 8));
  for (const member of members) bits[member >> 3]! |= 1 << (member & 7);
  return bits;
}

/** False beyond the end, so that a short bitmap from a peer is harmless. */
export function hasBit(bits: Uint8Array, index: number): boolean {
  return ((bits[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
}

/** Takes `first` to `last` out of a bitmap that nobody else has yet. */
export function clearBits(bits: Uint8Array, first: number, last: number): void {
  for (let index = first; index <= last; index++) bits[index >> 3]! &= ~(1 << (index & 7));
}
