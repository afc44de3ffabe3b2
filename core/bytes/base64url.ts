/**
 * Base64url without padding (RFC 4648, section 5). Strict: each byte string has one spelling, all others are refused.
 */
import { asciiText } from "./ascii.ts";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const CODE_OF_SEXTET: Uint8Array = Uint8Array.from(ALPHABET, (digit) => digit.charCodeAt(0));
const SEXTET_OF_CODE: Int8Array = new Int8Array(128).fill(-1);
for (let i = 0; i < 64; i++) SEXTET_OF_CODE[CODE_OF_SEXTET[i]!] = i;

export function toBase64url(bytes: Uint8Array): string {
  const codes = new Uint8Array(Math.ceil((bytes.length * 4) / 3));
  let at = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    // What lies behind the end of `codes` is not written: the padding that this spelling leaves out.
    for (let shift = 18; shift >= 0; shift -= 6) codes[at++] = CODE_OF_SEXTET[(group >> shift) & 63]!;
  }
  return asciiText(codes, 0, codes.length);
}

/** Undefined when `text` is not base64url. */
export function fromBase64url(text: string): Uint8Array | undefined {
  if (text.length % 4 === 1) return undefined;
  const bytes = new Uint8Array(Math.floor((text.length * 3) / 4));
  let at = 0;
  let bits = 0;
  let bitCount = 0;
  for (let i = 0; i < text.length; i++) {
    const sextet = SEXTET_OF_CODE[text.charCodeAt(i)] ?? -1;
    if (sextet < 0) return undefined;
    bits = ((bits << 6) | sextet) & 0xfff;
    bitCount += 6;
    if (bitCount < 8) continue;
    bitCount -= 8;
    bytes[at++] = bits >> bitCount;
  }
  return (bits & ((1 << bitCount) - 1)) === 0 ? bytes : undefined;
}
