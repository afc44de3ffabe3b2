/**
 * A page of hashes as one thread sends it to another: a few buffers, which are handed over and not copied. As 500 objects it
 * would take longer to send than to use.
 */
import type { HashedPage, HashedRow } from "../core/ports.ts";

export interface PackedPage {
  readonly keys: Uint8Array<ArrayBuffer>;
  /** Of each row: where its key ends, both lanes of its hash, and whether it is damaged. */
  readonly rows: Uint32Array<ArrayBuffer>;
  readonly next: Uint8Array | null;
  readonly damaged: boolean;
}

const wordsOfRow = 4;

export function packPage({ rows, next, damaged }: HashedPage): PackedPage {
  const keys = new Uint8Array(rows.reduce((sum, { key }) => sum + key.length, 0));
  const packed = new Uint32Array(wordsOfRow * rows.length);
  let end = 0;
  let at = 0;
  for (const { key, hash } of rows) {
    keys.set(key, end);
    end += key.length;
    packed[at] = end;
    packed[at + 1] = hash?.high ?? 0;
    packed[at + 2] = hash?.low ?? 0;
    packed[at + 3] = Number(hash === undefined);
    at += wordsOfRow;
  }
  return { keys, rows: packed, next, damaged };
}

export function unpackPage({ keys, rows: packed, next, damaged }: PackedPage): HashedPage {
  const rows: HashedRow[] = [];
  for (let at = 0, start = 0; at < packed.length; at += wordsOfRow) {
    const end = packed[at]!;
    const hash = packed[at + 3] === 1 ? undefined : { high: packed[at + 1]!, low: packed[at + 2]! };
    rows.push({ key: keys.subarray(start, end), hash });
    start = end;
  }
  return { rows, next, damaged };
}
