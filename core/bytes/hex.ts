/**
 * Bytes as lower-case hex digits and back. Upper case is refused: one value has one spelling, so that names compare as text.
 */
const codeOfDigit = (nibble: number): number => "0123456789abcdef".charCodeAt(nibble);
/** Character codes of the two digits of each byte. */
const HIGH: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => codeOfDigit(byte >> 4));
const LOW: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => codeOfDigit(byte & 15));
const NIBBLE_OF_CODE: Int8Array = new Int8Array(256).fill(-1);
for (let nibble = 0; nibble < 16; nibble++) NIBBLE_OF_CODE[codeOfDigit(nibble)] = nibble;

export function toHex(bytes: Uint8Array): string {
  return hexDigitsOf(bytes, 0, bytes.length);
}

/** The digits of `count` bytes of a buffer, which must hold them. */
export function hexDigitsOf(buffer: Uint8Array, start: number, count: number): string {
  const end = start + count;
  let digits = "";
  let at = start;
  // Actors have 8 bytes and are most of what is read: made in one call they take a quarter of the time.
  for (; at + 8 <= end; at += 8) digits += eightBytes(buffer, at);
  for (; at < end; at++) digits += String.fromCharCode(HIGH[buffer[at]!]!, LOW[buffer[at]!]!);
  return digits;
}

/* oxfmt-ignore */
function eightBytes(buffer: Uint8Array, at: number): string {
  const a = buffer[at]!, b = buffer[at + 1]!, c = buffer[at + 2]!, d = buffer[at + 3]!;
  const e = buffer[at + 4]!, f = buffer[at + 5]!, g = buffer[at + 6]!, h = buffer[at + 7]!;
  return String.fromCharCode(
    HIGH[a]!, LOW[a]!, HIGH[b]!, LOW[b]!, HIGH[c]!, LOW[c]!, HIGH[d]!, LOW[d]!,
    HIGH[e]!, LOW[e]!, HIGH[f]!, LOW[f]!, HIGH[g]!, LOW[g]!, HIGH[h]!, LOW[h]!,
  );
}

/** Undefined when `digits` are not pairs of lower-case hex digits. */
export function fromHex(digits: string): Uint8Array | undefined {
  if (digits.length % 2 !== 0) return undefined;
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) {
    const byte = (nibbleOf(digits.charCodeAt(2 * i)) << 4) | nibbleOf(digits.charCodeAt(2 * i + 1));
    if (byte < 0) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

/** Value of one digit given by its character code; -1 (all bits set, so it survives shifts and ors) for anything else. */
export function nibbleOf(code: number): number {
  return NIBBLE_OF_CODE[code] ?? -1;
}
