/**
 * Copies of bytes, for whoever may change or keep his own. Many share one piece of memory, since each piece costs more than the
 * copying: a simulated cluster copies every message and every row. What is in one piece is freed together.
 */
const pieceBytes = 65_536;
/** A larger one gets a piece of its own. */
const sharedBytesMax = 8_192;

let piece = new Uint8Array(pieceBytes);
let used = 0;

export function copyOf(bytes: Uint8Array): Uint8Array {
  const { length } = bytes;
  if (length > sharedBytesMax) return Uint8Array.from(bytes);
  if (used + length > pieceBytes) {
    piece = new Uint8Array(pieceBytes);
    used = 0;
  }
  const copy = new Uint8Array(piece.buffer, used, length);
  copy.set(bytes);
  used += length;
  return copy;
}
