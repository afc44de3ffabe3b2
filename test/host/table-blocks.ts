/**
 * Where the blocks of a LevelDB table lie, for tests that damage one of them: they follow each other, each with five bytes
 * behind it, its type and the checksum of both.
 */
import { crc32c } from "../../core/storage/crc32c.ts";

/** The end of the block in which `at` lies. */
export function endOfBlock(table: Buffer, at: number): number {
  let end = blockBytes(table);
  while (end < at) end += 5 + blockBytes(table.subarray(end + 5));
  return end;
}

/** Of the block at the start of `table`: the first end at which the checksum that follows is that of everything before it. */
function blockBytes(table: Buffer): number {
  for (let end = 1; ; end++) {
    const crc = crc32c(table.subarray(0, end + 1));
    if (table.readUInt32LE(end + 1) === (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0) return end;
  }
}
