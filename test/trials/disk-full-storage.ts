/**
 * The storage adapter alone on a disk that fills up, by its own rows or by another program.
 * Demanded: no acknowledged write is lost, puts end as `storage-full`, reads go on, and once space is free the same instance
 * takes puts again.
 */
import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { StoreError } from "../../core/errors.ts";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { SmallDisk } from "../support/small-disk.ts";
import type { Figure, Trial } from "../tools/trial.ts";

interface Case {
  readonly name: string;
  /** Left to the adapter's own choice where absent. */
  readonly headroomBytes?: number;
  /** Another program takes the last byte while we write: the engine itself runs into the wall. */
  readonly otherProgram: boolean;
}

const cases: readonly Case[] = [
  { name: "filled by itself", otherProgram: false },
  { name: "filled by another program", otherProgram: true },
  { name: "no headroom", headroomBytes: 0, otherProgram: true },
];
const diskMebibytes = 40;
/** Before the other program strikes. */
const rowsBefore = 2_000;

export const trial: Trial = {
  name: "disk-full-storage",
  summary: "the storage adapter on a full disk: no acknowledged row is lost, and puts resume when there is space",
  needs: ["tmpfs"],
  async run({ folder }) {
    const figures: Figure[] = [];
    const failures: string[] = [];
    for (const [i, each] of cases.entries()) {
      using disk = new SmallDisk(join(folder, `disk-${i}`), diskMebibytes);
      const result = await fillAndFree(disk.path, each);
      const { acknowledged, refusals, lost, deleteWhileFull, resumedMs } = result;
      const others = Object.keys(refusals).filter((code) => code !== "storage-full" && code !== "closed");
      if (others.length > 0) failures.push(`${each.name}: puts were refused as ${others.join(", ")}`);
      figures.push(
        { name: `${each.name}: rows acknowledged until it was full`, value: acknowledged, unit: "" },
        {
          name: `${each.name}: lost, while full, after, and after a restart`,
          value: lost,
          unit: "",
          bar: { atMost: 0 },
        },
        { name: `${each.name}: deletes taken while full`, value: Number(deleteWhileFull), unit: "" },
        { name: `${each.name}: puts resume after`, value: resumedMs, unit: "ms", bar: { atMost: 10_000 } },
      );
    }
    return { figures, failures };
  },
};

/** A store with a memory: which rows it acknowledged, and how it refused the others. */
class Rows {
  readonly acknowledged: number[] = [];
  readonly refusals: Record<string, number> = {};
  #next = 0;

  async put(store: RecordStore): Promise<boolean> {
    const index = this.#next++;
    try {
      await store.commit([{ kind: "put", ns: "objects", key: key(index), value: value(index) }]);
      this.acknowledged.push(index);
      return true;
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.refusals[error.code] = (this.refusals[error.code] ?? 0) + 1;
      return false;
    }
  }

  /** No longer asked for, whatever becomes of the delete. */
  async delete(store: RecordStore, count: number): Promise<boolean> {
    const deletes = this.acknowledged
      .splice(0, count)
      .map((index) => ({ kind: "delete", ns: "objects", key: key(index) }) as const);
    return store.commit(deletes, { durability: "buffered" }).then(
      () => true,
      () => false, // a figure of the trial
    );
  }

  async lost(store: RecordStore): Promise<number> {
    const values = await Promise.all(this.acknowledged.map((index) => store.get("objects", key(index))));
    return values.filter((read, i) => read === undefined || !value(this.acknowledged[i]!).equals(read)).length;
  }
}

async function fillAndFree(path: string, { headroomBytes, otherProgram }: Case) {
  const options = { directory: join(path, "store"), ...(headroomBytes === undefined ? {} : { headroomBytes }) };
  const open = async (): Promise<RecordStore> => new RecordStore(await openClassicStorage(options));
  const ballast = join(path, "ballast");
  const rows = new Rows();
  let store = await open();
  if (otherProgram) {
    while (rows.acknowledged.length < rowsBefore) await rows.put(store);
    writeFileSync(ballast, Buffer.alloc((await store.usage()).freeBytes ?? 0));
  }
  const fill = async (): Promise<void> => {
    while (await rows.put(store));
  };
  await Promise.all(Array.from({ length: 16 }, fill));
  for (let more = 0; more < 20; more++) await rows.put(store);
  const acknowledged = rows.acknowledged.length;
  let lost = await rows.lost(store);
  const deleteWhileFull = await rows.delete(store, 1);

  if (otherProgram) truncateSync(ballast, 0);
  else for (let half = acknowledged / 2; half > 0; half -= 100) await rows.delete(store, 100);
  const freedMs = performance.now();
  while (!(await rows.put(store)) && performance.now() - freedMs < 10_000)
    await new Promise((resolve) => setTimeout(resolve, 20));
  const resumedMs = performance.now() - freedMs;
  lost += await rows.lost(store);
  await store.close();
  store = await open();
  lost += await rows.lost(store);
  await store.close();
  return { acknowledged, refusals: rows.refusals, lost, deleteWhileFull, resumedMs };
}

function key(index: number): Uint8Array {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt32BE(Math.imul(index + 1, 2_654_435_761) >>> 0, 0);
  bytes.writeUInt32BE(index, 16);
  return bytes;
}

function value(index: number): Buffer {
  return Buffer.alloc(1_000, `${index}|`);
}
