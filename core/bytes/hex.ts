/**
 * Bytes as lower-case hex digits and back. Upper case is refused: one value has one spelling, so that names compare as text.
 */
const DIGITS_OF_BYTE: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function toHex(bytes: Uint8Array): string {
  return hexDigitsOf(bytes, 0, bytes.length);
}

/** The digits of `count` bytes of a buffer, which must hold them. */
export function hexDigitsOf(buffer: Uint8Array, start: number, count: number): string {
  let digits = "";
  for (let i = start; i < start + count; i++) digits += DIGITS_OF_BYTE[buffer[i]!]!;
  return digits;
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
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}
