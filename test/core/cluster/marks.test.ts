import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Marks } from "../../../core/cluster/marks.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { FaultyStorage } from "../../support/faulty-storage.ts";
import { realRandom as random } from "../../support/memory-cluster.ts";
import { memberRecord } from "../membership/samples.ts";

function directory() {
  const disk = new FaultyStorage(new MemoryStorage());
  const records = new RecordStore(disk);
  return { disk, load: () => Marks.load({ records, random }) };
}

describe("the marks of a data directory", () => {
  test("are all kept, in their order, also across runs; the latest eight are published", async () => {
    const { load } = directory();
    const drawn: string[] = [];
    for (let run = 0; run < 4; run++) {
      const marks = await load();
      for (let i = 0; i < 5; i++) drawn.push(await marks.draw());
    }
    const marks = await load();
    assert.deepEqual(marks.latest, drawn.slice(-8).toReversed());
    assert.ok(drawn.every((mark) => !marks.isStrange(memberRecord({ mark }))));
    assert.ok(marks.isStrange(memberRecord({ mark: "ff".repeat(16) })));
  });

  test("are on the disk before anybody can hear of them", async () => {
    const { disk, load } = directory();
    const marks = await load();
    disk.refusesWrites = "io";
    await assert.rejects(marks.draw());
    assert.deepEqual(marks.latest, []);
  });

  test("that have rotted with their keys are none, and stop no start", async () => {
    const { disk, load } = directory();
    const marks = await load();
    const kept = await marks.draw();
    for (const bits of [0x80, 0x10]) {
      const row = new TextEncoder().encode(`mark ${await marks.draw()}`);
      await disk.rotKey("meta", row, -1, bits);
    }
    assert.deepEqual((await load()).latest, [kept]);
  });

  test("from before its birth are not strange, and the birth is known in later runs, which are not new", async () => {
    const { load } = directory();
    const first = await load();
    await first.bear({ life: 2, incarnation: 5 });
    assert.equal(first.isNew, true);
    const marks = await load();
    assert.equal(marks.isNew, false);
    const said = (life: number, incarnation: number): boolean =>
      marks.isStrange(memberRecord({ life, incarnation, mark: "ff".repeat(16) }));
    assert.deepEqual([said(1, 99), said(2, 4), said(2, 5), said(3, 1)], [false, false, true, true]);
  });

  test("are told apart from a copy that was made before the last one was drawn", async () => {
    const { disk, load } = directory();
    const marks = await load();
    await marks.draw();
    const { rows } = await disk.page("meta", { limit: 100 });
    const last = await marks.draw();
    const copy = new MemoryStorage();
    await copy.batch(
      rows.map((row) => ({ kind: "put", ns: "meta", ...row })),
      "synced",
    );
    const old = await Marks.load({ records: new RecordStore(copy), random });
    assert.equal(old.isStrange(memberRecord({ mark: last })), true);
    assert.equal((await load()).isStrange(memberRecord({ mark: last })), false);
  });
});
