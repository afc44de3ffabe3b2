/**
 * Trial: a store on a disk that really fills up (a small tmpfs; needs root). Not part of the tests, since not every
 * machine may mount.
 * node dist/test/trials/disk-full-storage.js
 *
 * Demanded: no acknowledged write is lost, puts end with `full`, reads go on, deletes are still taken, and once space
 * is free the same instance takes puts again.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StorageError } from "../../core/ports.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";

export interface DiskFullResult {
  /** Puts acknowledged before the first refusal, and the bytes free then. */
  readonly acknowledged: number;
  readonly freeBytesWhenFull: number;
  readonly diskBytes: number;
  /** Kinds of the errors of refused puts, counted. */
  readonly refusals: Readonly<Record<string, number>>;
  /** Acknowledged records that could not be read: while full, after space was freed, after a restart. Must be 0. */
  readonly lost: readonly [full: number, freed: number, restarted: number];
  readonly deleteWhileFull: boolean;
  readonly resumedInMs: number;
}

export interface DiskFullOptions {
  readonly diskMebibytes: number;
  readonly headroomBytes?: number;
  /** Another program takes the last byte while we write: the engine itself runs into the wall. */
  readonly otherProgram: boolean;
}

export async function diskFullTrial({
  diskMebibytes,
  headroomBytes,
  otherProgram,
}: DiskFullOptions): Promise<DiskFullResult> {
  const mount = mkdtempSync(join(tmpdir(), "everwrite-full-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", `size=${diskMebibytes}m`, "tmpfs", mount]);
  try {
    return await fillAndFree(mount, diskMebibytes, headroomBytes === undefined ? {} : { headroomBytes }, otherProgram);
  } finally {
    execFileSync("umount", [mount]);
    rmSync(mount, { recursive: true });
  }
}

async function fillAndFree(
  mount: string,
  mebibytes: number,
  options: { headroomBytes?: number },
  otherProgram: boolean,
): Promise<DiskFullResult> {
  const directory = join(mount, "store");
  const ballast = join(mount, "ballast");
  const open = async () => new RecordStore(await openClassicStorage({ directory, ...options }));
  let store = await open();
  const acknowledged: number[] = [];
  const refusals: Record<string, number> = {};
  let next = 0;
  const put = async () => {
    const index = next++;
    try {
      await store.commit([{ kind: "put", ns: "objects", key: key(index), value: value(index) }]);
      acknowledged.push(index);
      return true;
    } catch (error: unknown) {
      if (!(error instanceof StorageError)) throw error;
      refusals[error.kind] = (refusals[error.kind] ?? 0) + 1;
      return false;
    }
  };
  const lost = async () => {
    const values = await Promise.all(acknowledged.map((index) => store.get("objects", key(index))));
    return values.filter((read, at) => read === undefined || Buffer.compare(read, value(acknowledged[at]!)) !== 0)
      .length;
  };

  if (otherProgram) {
    while (acknowledged.length < 2_000) await put();
    const { freeBytes = 0 } = await store.usage();
    writeFileSync(ballast, Buffer.alloc(freeBytes));
  }
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (await put());
    }),
  );
  for (let more = 0; more < 20; more++) await put();
  const freeBytesWhenFull = (await store.usage()).freeBytes ?? 0;
  const acknowledgedBeforeFull = acknowledged.length;
  const lostWhileFull = await lost();
  const deleted = acknowledged.splice(0, 1)[0]!;
  const deleteWhileFull = await store.commit([{ kind: "delete", ns: "objects", key: key(deleted) }]).then(
    () => true,
    () => false,
  );

  // Space appears: either the other program lets go, or the store is emptied of half its rows.
  if (otherProgram) truncateSync(ballast, 0);
  else
    for (const index of acknowledged.splice(0, acknowledged.length / 2))
      await store.commit([{ kind: "delete", ns: "objects", key: key(index) }], "buffered").catch(() => undefined);
  const freedAt = performance.now();
  while (!(await put()) && performance.now() - freedAt < 10_000)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const resumedInMs = performance.now() - freedAt;
  const lostAfterFreed = await lost();
  await store.close();
  store = await open();
  const lostAfterRestart = await lost();
  await store.close();
  return {
    acknowledged: acknowledgedBeforeFull,
    freeBytesWhenFull,
    diskBytes: mebibytes * 1024 * 1024,
    refusals,
    lost: [lostWhileFull, lostAfterFreed, lostAfterRestart],
    deleteWhileFull,
    resumedInMs,
  };
}

function key(index: number): Uint8Array {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32BE(Math.imul(index + 1, 2654435761) >>> 0, 0);
  bytes.writeUInt32BE(index, 16);
  return bytes;
}

function value(index: number): Uint8Array {
  return Buffer.alloc(1_000, `${index}|`);
}

if (process.argv[1] === import.meta.filename) {
  const trials: DiskFullOptions[] = [
    { diskMebibytes: 40, otherProgram: false },
    { diskMebibytes: 40, otherProgram: true },
    { diskMebibytes: 40, headroomBytes: 0, otherProgram: true },
  ];
  for (const options of trials) console.log(options, await diskFullTrial(options));
}
