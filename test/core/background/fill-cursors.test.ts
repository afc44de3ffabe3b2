import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FillCursors } from "../../../core/background/fill-cursors.ts";
import { bitmapOf } from "../../../core/bytes/bitmap.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { Holdings } from "../../../core/replica/holdings.ts";
import { KeyQueue } from "../../../core/replica/key-queue.ts";
import { PartitionDrop } from "../../../core/replica/partition-drop.ts";
import type { Stillness } from "../../../core/replica/stillness.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { realRandom } from "../../support/memory-cluster.ts";
import { node } from "../cluster/world.ts";

const [first, second] = [0, 1] as PartitionIndex[] as [PartitionIndex, PartitionIndex];
const ring = "0123456789abcdef";
const source = node("h2");

/** A process starts on the disk, which says that two partitions are filling. */
async function start(disk: FaultyStorage) {
  const records = new RecordStore(disk);
  const holdings = new Holdings(4, realRandom);
  const none = bitmapOf(4, []);
  holdings.restore({ complete: none, filling: bitmapOf(4, [first, second]), former: none });
  const cursors = new FillCursors({ records, holdings });
  await cursors.open(ring);
  return { records, holdings, cursors };
}

/** The first partition was copied, and is on the disk as copied. */
async function copied() {
  const disk = new FaultyStorage(new MemoryStorage());
  const run = await start(disk);
  run.cursors.set(first, source, {});
  await run.cursors.save(ring);
  return { disk, ...run };
}

describe("what a restart finds copied", () => {
  test("is what was copied before, on the same ring", async () => {
    const { disk } = await copied();
    const { cursors, records, holdings } = await start(disk);
    assert.deepEqual([cursors.isDone(first, source), cursors.isDone(second, source)], [true, false]);
    const elsewhere = new FillCursors({ records, holdings });
    await elsewhere.open("f".repeat(16));
    assert.equal(elsewhere.isDone(first, source), false);
  });

  test("is nothing where rows turned out to be missing since: not even where nobody is there to copy from", async () => {
    const { disk, holdings, cursors } = await copied();
    holdings.refill(first);
    await cursors.sweep();
    assert.equal((await start(disk)).cursors.isDone(first, source), false);
  });

  test("is nothing where the start before found that all is to be filled anew, and got no further than to say so", async () => {
    const { disk } = await copied();
    const { holdings, cursors } = await start(disk);
    holdings.refillAll();
    await cursors.clean();
    assert.equal((await start(disk)).cursors.isDone(first, source), false);
  });

  test("is nothing of a partition that a damaged row was removed from, whose key nobody knows", async () => {
    const { disk, records, holdings } = await copied();
    const row = Uint8Array.of(...new Uint8Array(16), 0xff);
    await records.commit([{ kind: "put", ns: "objects", key: row, value: row }]);
    holdings.refill(first);
    const unused = { stillness: {} as Stillness, letGo: async () => {} };
    const drop = new PartitionDrop({
      records,
      holdings,
      queue: new KeyQueue(),
      telemetry: { event: () => {} },
      ...unused,
    });
    await drop.dropStray(row);
    assert.equal((await start(disk)).cursors.isDone(first, source), false);
  });

  test("is nothing of those either while another partition is being copied", async () => {
    const { disk, holdings, cursors } = await copied();
    holdings.refill(first);
    cursors.set(second, source, { next: Uint8Array.of(1) });
    await cursors.save(ring);
    const { cursors: found } = await start(disk);
    assert.deepEqual([found.get(first, source), found.get(second, source)], [undefined, { next: Uint8Array.of(1) }]);
  });

  test("is what is copied anew where that could not be written at first", async () => {
    const { disk, holdings, cursors } = await copied();
    holdings.refill(first);
    const again = { next: Uint8Array.of(1) };
    cursors.set(first, source, again);
    disk.refusesWrites = "io";
    await assert.rejects(cursors.save(ring));
    disk.refusesWrites = undefined;
    await cursors.save(ring);
    assert.deepEqual((await start(disk)).cursors.get(first, source), again);
  });

  test("is nothing where rows turned out to be missing while the disk is full", async () => {
    const { disk, holdings, cursors } = await copied();
    holdings.refill(first);
    cursors.set(first, source, { next: Uint8Array.of(1) });
    disk.fullFor = "all";
    await assert.rejects(cursors.save(ring));
    assert.equal((await start(disk)).cursors.get(first, source), undefined);
  });

  test("is nothing where the record of it is none, and the node starts", async () => {
    const { disk, records } = await copied();
    const { rows } = await records.page("meta", { limit: 1 });
    await records.commit([{ kind: "put", ns: "meta", key: rows[0]!.key, value: Uint8Array.of(255, 255, 255) }]);
    assert.equal((await start(disk)).cursors.isDone(first, source), false);
  });
});
