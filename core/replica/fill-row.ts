/** In `meta`: how far a partition was copied here (`background/fill-cursors.ts`). */
import { encodeUtf8 } from "lib0/string";
import type { PartitionIndex } from "../identity.ts";

export const fillRowPrefix: Uint8Array = encodeUtf8("fill/");

export function fillRow(partition: PartitionIndex): Uint8Array {
  const row = new Uint8Array(fillRowPrefix.length + 2);
  row.set(fillRowPrefix);
  row.set([partition >> 8, partition & 255], fillRowPrefix.length);
  return row;
}
