/** Names that nobody else draws. A cart's is its only key: who has the link has the cart. */

/** 16 letters and digits, 80 bits. */
export function newId(): string {
  const letters = "abcdefghijklmnopqrstuvwxyz234567";
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => letters[byte % letters.length]).join("");
}
