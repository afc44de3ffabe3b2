/**
 * Verifies the block checksums of LevelDB's table files, which LevelDB writes but does not check when it reads (it
 * would, if classic-level passed `verify_checksums` on). Finds what the checksum of a record cannot: a key that turned
 * into another, so that its record seems absent, and blocks on which LevelDB would abort the process.
 * File format: leveldb/doc/table_format.md. The footer points to two directories of blocks.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "../core/storage/crc32c.ts";
import { codeOf, storageError } from "./classic-errors.ts";

/** Two block handles, padded to 40 bytes, and the magic number. */
const footerBytes = 48;
const magic = 0xdb4775248b80fb57n;

interface Block {
  readonly at: number;
  readonly bytes: number;
}

/** Names of the table files that are damaged. Rejects only when the directory cannot be read. */
export async function damagedTables(directory: string): Promise<readonly string[]> {
  const damaged: string[] = [];
  for (const name of await readdir(directory)) {
    if (name.endsWith(".ldb") && !(await isSoundFile(join(directory, name)))) damaged.push(name);
  }
  return damaged;
}

async function isSoundFile(path: string): Promise<boolean> {
  try {
    return isSoundTable(await readFile(path));
  } catch (error: unknown) {
    // Deleted by a compaction since it was listed.
    if (codeOf(error) === "ENOENT") return true;
    throw storageError(error, "read", path);
  }
}

function isSoundTable(table: Buffer): boolean {
  // The footer is written last. Without it this is a table that was being written when the process ended: LevelDB deletes
  // it at the next opening. (Should it be one that LevelDB knows of, then LevelDB itself says so when it reads it.)
  if (table.length < footerBytes || table.readBigUInt64LE(table.length - 8) !== magic) return true;
  try {
    const footer = new Cursor(table, table.length - footerBytes);
    // The first directory points to the Bloom filter: damage there makes keys seem absent. The second points to the data.
    for (const directory of [footer.block(), footer.block()]) {
      if (!isSoundBlock(table, directory)) return false;
      if (!blocksOf(table, directory).every((block) => isSoundBlock(table, block))) return false;
    }
    return true;
  } catch (error: unknown) {
    // A length that points outside the file.
    if (error instanceof RangeError) return false;
    throw error;
  }
}

function isSoundBlock(table: Buffer, { at, bytes }: Block): boolean {
  const crc = crc32c(table.subarray(at, at + bytes + 1));
  // LevelDB "masks" stored checksums, so that the checksum of data that holds checksums stays a good one.
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  return table.readUInt32LE(at + bytes + 1) === masked;
}

/** The values of a directory block are handles of other blocks. We never compress, so it can be read as it lies. */
function blocksOf(table: Buffer, { at, bytes }: Block): Block[] {
  const restarts = table.readUInt32LE(at + bytes - 4);
  const end = at + bytes - 4 * (restarts + 1);
  const entry = new Cursor(table, at);
  const blocks: Block[] = [];
  while (entry.at < end) {
    entry.varint(); // bytes shared with the key before
    const keyBytes = entry.varint();
    entry.varint(); // bytes of the value
    entry.at += keyBytes;
    blocks.push(entry.block());
  }
  return blocks;
}

class Cursor {
  at: number;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  block(): Block {
    return { at: this.varint(), bytes: this.varint() };
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#bytes.readUInt8(this.at++);
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }
}
