import assert from "node:assert/strict";
import { test } from "node:test";
import { loadRoster, rosterRow } from "../../../core/cluster/stored-roster.ts";
import type { PartitionIndex } from "../../../core/identity.ts";
import { encodeRoster, RosterMessage, rosterFrom } from "../../../core/membership/exchange.ts";
import { ringName } from "../../../core/membership/forgetting-marks.ts";
import { mergeRoster } from "../../../core/membership/roster.ts";
import { StorageError } from "../../../core/ports.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { unsealRecord } from "../../../core/storage/record.ts";
import { equalBytes } from "../../../core/bytes/compare.ts";
import { eventually } from "../../support/eventually.ts";
import { MemoryCluster } from "../../support/memory-cluster.ts";
import { marksOf } from "../membership/samples.ts";

/** Something was forgotten to which h2 did not consent; h1 tells it once it is started. */
async function outdated(): Promise<MemoryCluster> {
  const cluster = await MemoryCluster.of(2);
  cluster.kill("h1");
  const records = new RecordStore(cluster.disk("h1"));
  const roster = (await loadRoster(records))!;
  const marks = marksOf({ [0 as PartitionIndex]: 7 }, ringName(roster.secrets));
  const value = encodeRoster(mergeRoster(roster, { forgettingMarks: marks }));
  await records.commit([{ kind: "put", ns: "meta", key: rosterRow, value }]);
  return cluster;
}

test("a host whose disk does not let its old copy be set aside says so, and goes on once it does", async () => {
  const cluster = await outdated();
  const disk = cluster.disk("h2");
  try {
    let tries = 0;
    disk.close = async () => {
      tries += 1;
      throw new StorageError("io", "the directory is busy");
    };
    await cluster.start("h1");
    const status = () => cluster.node("h2").status();
    const isTold = async () => (await status()).notices.some((text) => text.includes("the directory is busy"));
    await eventually(async () => tries > 1 && (await isTold()), "h2 to try again");
    assert.equal((await status()).ready, false);
    const told = cluster.events.flatMap(({ event }) => (event.kind === "task-failed" ? [event.reason] : []));
    assert.equal(told.filter((reason) => reason === "the directory is busy").length, 1, "once, however often it tries");
    disk.close = async () => {};
    await eventually(async () => (await status()).ready, "h2 to go on");
    assert.deepEqual((await status()).storage.setAside, ["h2.old"]);
    await cluster.settled(2);
  } finally {
    await cluster.stop();
  }
});

test("what shows that a disk is an old copy is never on that disk, so that a crash finds it again", async () => {
  const cluster = await outdated();
  const disk = cluster.disk("h2");
  const batch = disk.batch.bind(disk);
  const saved: number[] = [];
  disk.batch = async (operations, durability) => {
    for (const { ns, key, ...put } of operations) {
      if (ns !== "meta" || !equalBytes(key, rosterRow) || !("value" in put)) continue;
      saved.push(rosterFrom(RosterMessage.decode(unsealRecord(ns, key, put.value)!)).forgettingMarks.size);
    }
    return batch(operations, durability);
  };
  const setAside = async (): Promise<boolean> => (await cluster.node("h2").status()).storage.setAside.length === 1;
  await cluster.start("h1");
  await eventually(setAside, "h2 to set its old copy aside");
  await cluster.settled(2);
  assert.deepEqual(
    saved.filter((count) => count > 0),
    [],
  );
  await cluster.stop();
});
