/**
 * What one directory may hold at most, set by its operator. To the storage in it that is a disk of so many bytes: a host that
 * comes to its limit is full as on a full disk, in the same way and with the same headroom, and goes on by itself when there is
 * room again.
 */
import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, storageError } from "./classic-errors.ts";
import type { Disk } from "./free-space.ts";

export class ByteLimit {
  /** May change while the storage is open; null: whatever the disk gives. */
  bytesMax: number | null;

  constructor(bytesMax: number | null) {
    this.bytesMax = bytesMax;
  }

  /** For `ClassicStorageOptions.askDisk`. */
  readonly askDisk = async (directory: string): Promise<Disk> => {
    const disk = await statfs(directory);
    if (this.bytesMax === null) return disk;
    const left = Math.max(0, this.bytesMax - (await bytesIn(directory)));
    const [blocks, bavail] = [disk.blocks * disk.bsize, disk.bavail * disk.bsize];
    return { blocks: Math.min(blocks, this.bytesMax), bavail: Math.min(bavail, left), bsize: 1 };
  };
}

/** Of the files right in it. @throws StorageError */
export async function bytesIn(directory: string): Promise<number> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw storageError(error, "read", directory);
  });
  const sizes = await Promise.all(names.map((name) => sizeOf(join(directory, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error: unknown) {
    // A compaction deletes files between the listing and the look.
    if (codeOf(error) === "ENOENT") return 0;
    throw storageError(error, "read", path);
  }
}
