/** What a host counts as asked for, of what was forgotten: what it consented to, and what it was told as it joined. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { PartitionIndex } from "../../../core/identity.ts";
import { type RingName, unnamedRing } from "../../../core/membership/forgetting-marks.ts";
import { Consents, type MarkedRoster } from "../../../core/replica/consents.ts";
import { MemoryStorage } from "../../../core/storage/memory-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { bothRings, marksOf, otherRing, otherSecret, ring, secret } from "../membership/samples.ts";

describe("a joiner", () => {
  const [at, other] = [3 as PartitionIndex, 4 as PartitionIndex];
  const consentsOf = (secrets: readonly string[], records = new RecordStore(new MemoryStorage())): Consents =>
    new Consents(records, { forgettingMarks: new Map(), secrets });
  /** Of a member: 5 and 7 are open in one partition, 6 was carried out in the other. */
  async function told(): Promise<Uint8Array> {
    const consents = consentsOf([secret]);
    await consents.consent(at, 5);
    await consents.consent(at, 7);
    await consents.consent(other, 6);
    return consents.tell({ forgettingMarks: marksOf({ [other]: 6 }) });
  }
  const under = (marks: Readonly<Record<number, number>>): MarkedRoster => ({
    forgettingMarks: marksOf(marks),
    secrets: [secret],
  });

  test("counts as asked for what those who take it in had consented to, also after a restart", async () => {
    const records = new RecordStore(new MemoryStorage());
    const joiner = consentsOf([], records);
    joiner.hear(await told());
    await joiner.settle({ secrets: [secret] });
    const again = consentsOf([secret], records);
    await again.open();
    for (const each of [joiner, again]) {
      assert.deepEqual(each.takeUncovered(under({ [at]: 5 })), []);
      assert.deepEqual(each.takeUncovered(under({ [at]: 7 })), []);
      assert.deepEqual(each.takeUncovered(under({ [at]: 8, [other]: 6 })), [at, other]);
    }
  });

  test("that has been a member before, and so may hold something, is told nothing", async () => {
    const records = new RecordStore(new MemoryStorage());
    await consentsOf([], records).settle({ secrets: [secret] });
    const back = consentsOf([], records);
    await back.open();
    back.hear(await told());
    assert.deepEqual(back.takeUncovered(under({ [at]: 5 })), [at]);
  });
});

describe("consents of a directory that came into one ring", () => {
  const at = 3 as PartitionIndex;
  const met = [secret, otherSecret];
  const under = (name: RingName, mark: number, secrets: readonly string[] = met): MarkedRoster => ({
    forgettingMarks: marksOf({ [at]: mark }, name),
    secrets,
  });
  /** Its disk says that it has met the other one, or not. */
  async function consentsOf(records: RecordStore, secrets: readonly string[]): Promise<Consents> {
    const consents = new Consents(records, { forgettingMarks: new Map(), secrets });
    await consents.open();
    await consents.settle({ secrets });
    return consents;
  }

  test("miss marks of that ring and of what it became, and none of a ring that was founded apart", async () => {
    const fresh = () => consentsOf(new RecordStore(new MemoryStorage()), [secret]);
    assert.deepEqual((await fresh()).takeUncovered(under(otherRing, 7)), []);
    assert.deepEqual((await fresh()).takeUncovered(under(ring, 7)), [at]);
    assert.deepEqual((await fresh()).takeUncovered(under(bothRings, 7)), [at]);
  });

  test("still miss them after a start with what the other ring knew: it came into the one that it came into", async () => {
    const records = new RecordStore(new MemoryStorage());
    await consentsOf(records, [secret]);
    assert.deepEqual((await consentsOf(records, met)).takeUncovered(under(ring, 7)), [at]);
    assert.deepEqual((await consentsOf(records, met)).takeUncovered(under(otherRing, 7)), []);
  });

  test("of a joiner begin with the ring that told it its secrets", async () => {
    const records = new RecordStore(new MemoryStorage());
    await consentsOf(records, []);
    // Of either, too: what one of them forgets alone may have been copied from it.
    assert.deepEqual((await consentsOf(records, met)).takeUncovered(under(ring, 7)), [at]);
    assert.deepEqual((await consentsOf(records, met)).takeUncovered(under(bothRings, 8)), [at]);
  });

  test("do not miss a mark that was heard when marks named no ring, nor one before it", async () => {
    const heard = { forgettingMarks: marksOf({ [at]: 7 }, unnamedRing), secrets: [secret] };
    const records = new RecordStore(new MemoryStorage());
    await consentsOf(records, [secret]);
    const consents = new Consents(records, heard);
    await consents.open();
    assert.deepEqual(consents.takeUncovered(under(ring, 7, [secret])), []);
    assert.deepEqual(consents.takeUncovered(under(ring, 8, [secret])), [at]);
  });

  test("miss marks that name no ring while there is one alone, as versions did that told none apart", async () => {
    const fresh = () => consentsOf(new RecordStore(new MemoryStorage()), [secret]);
    assert.deepEqual((await fresh()).takeUncovered(under(unnamedRing, 7, [secret])), [at]);
    assert.deepEqual((await fresh()).takeUncovered(under(unnamedRing, 7)), []);
  });

  test("that are given at the same time are both remembered, also after a restart", async () => {
    const records = new RecordStore(new MemoryStorage());
    const consents = await consentsOf(records, [secret]);
    await consents.consent(at, 5);
    await Promise.all([consents.consent(at, 7), consents.consent(at, 9)]);
    for (const mark of [7, 9]) {
      const again = await consentsOf(records, [secret]);
      assert.deepEqual(again.takeUncovered(under(ring, mark)), []);
      assert.deepEqual(consents.takeUncovered(under(ring, mark)), []);
    }
  });

  test("are remembered until their mark is heard, also when later ones were given meanwhile", async () => {
    const records = new RecordStore(new MemoryStorage());
    const consents = await consentsOf(records, [secret]);
    for (const mark of [5, 7]) await consents.consent(at, mark);
    const again = await consentsOf(records, met);
    for (const each of [consents, again]) {
      assert.equal(each.mayForget(at, marksOf({ [at]: 9 }, otherRing)), true, "what another ring forgets says nothing");
      assert.deepEqual(each.takeUncovered(under(ring, 5)), []);
      assert.deepEqual(each.takeUncovered(under(bothRings, 7)), []);
      assert.equal(each.mayForget(at, marksOf({ [at]: 7 }, bothRings)), false);
    }
  });
});
