/** Damage to the files of a store whose host is stopped. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Flips `bits` of the byte at `index` of `text`, in every table that holds it. */
export function flipInside(
  directory: string,
  text: string,
  { index, bits }: { readonly index: number; readonly bits: number },
): void {
  let flips = 0;
  for (const name of readdirSync(directory)) {
    if (!/\.(?:ldb|sst)$/.test(name)) continue;
    const bytes = readFileSync(join(directory, name));
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
      bytes[at + index]! ^= bits;
      flips += 1;
    }
    writeFileSync(join(directory, name), bytes);
  }
  assert.ok(flips > 0, "the text is in a table");
}
