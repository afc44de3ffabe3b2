/**
 * Text of bytes that are known to be ASCII. Eight characters a call: a text decoder costs more for what is short, and one
 * character at a time leaves a garbage string for each.
 */
export function asciiText(bytes: Uint8Array, from: number, to: number): string {
  let text = "";
  let at = from;
  for (; at + 8 <= to; at += 8) text += eightCharacters(bytes, at);
  for (; at < to; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

/* oxfmt-ignore */
function eightCharacters(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(
    bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!,
    bytes[at + 4]!, bytes[at + 5]!, bytes[at + 6]!, bytes[at + 7]!,
  );
}
