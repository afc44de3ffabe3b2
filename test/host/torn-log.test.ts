/**
 * A power cut, or a kill, in the middle of a write: LevelDB's newest log ends inside its last record. Here it is cut there by
 * hand. That is no damage: what is cut off was never acknowledged, so nothing is told, set aside or filled anew. (Of pages:
 * `../browser/torn-log.test.ts`.)
 */
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { before, describe, test } from "node:test";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import { kv } from "../support/http-client.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { check, recordBatch, recordKey } from "./storage-child.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const headBytes = 7;
const blockBytes = 32_768;
/** Of a part of a record: the whole, the first, one between, the last. */
const [whole, first, , last] = [1, 2, 3, 4];

/** Where the parts of a log's records begin and end: a record is divided where a block of the log ends. */
function recordsOf(log: Buffer): number[][] {
  const records: number[][] = [];
  for (let at = 0; at + headBytes <= log.length;) {
    const left = blockBytes - (at % blockBytes);
    if (left < headBytes) {
      at += left;
      continue;
    }
    const type = log[at + 6]!;
    if (type === whole || type === first) records.push([at]);
    at += headBytes + log.readUInt16LE(at + 4);
    records.at(-1)!.push(at);
    assert.ok(type >= whole && type <= last, `type ${type}`);
  }
  return records;
}

/** In its head, behind it, in its middle, before its last byte; and where one part of it ends and the next begins. */
function cutsIn(record: readonly number[]): number[] {
  const [start, end] = [record[0]!, record.at(-1)!];
  const within = [start, start + 1, start + headBytes - 1, start + headBytes, start + headBytes + 1, end - 1, end];
  const parts = record.slice(1, -1).flatMap((at) => [at - 1, at, at + 3, at + headBytes + 1]);
  return [...within, (start + end) >> 1, ...parts];
}

function newestLog(directory: string): string {
  const logs = readdirSync(directory).filter((name) => name.endsWith(".log"));
  return join(directory, logs.toSorted((a, b) => parseInt(a) - parseInt(b)).at(-1)!);
}

describe("a log that ends inside its last record", { timeout: 60_000 }, () => {
  const batches = 100;
  const sound = temporaryDirectory();
  let records: number[][] = [];
  /** Of three rows, in five blocks of the log. */
  const large = Array.from(
    { length: 3 },
    (_, at) =>
      ({ kind: "put", ns: "objects", key: Buffer.from(`large ${at}`), value: Buffer.alloc(40_000, at) }) as const,
  );

  before(async () => {
    const store = new RecordStore(await openClassicStorage({ directory: sound }));
    for (let index = 0; index < batches; index++) await store.commit(recordBatch(index));
    await store.commit(large);
    // As a kill leaves it.
    cpSync(sound, `${sound}.killed`, { recursive: true });
    await store.close();
    records = recordsOf(readFileSync(newestLog(`${sound}.killed`))).slice(-batches - 1);
    assert.ok(records.at(-1)!.length > 4 && records.at(-2)!.length === 2, "a divided one, and a whole one");
  });

  /** A copy whose log was changed. */
  function torn(change: (log: Buffer) => Buffer): string {
    const directory = temporaryDirectory();
    cpSync(`${sound}.killed`, directory, { recursive: true });
    const log = newestLog(directory);
    writeFileSync(log, change(readFileSync(log)));
    return directory;
  }

  /** What was written before `cut` is there, whole; nothing else is. Returns what the opening told. */
  async function opened(directory: string, cut: number): Promise<number> {
    const storage = await openClassicStorage({ directory });
    const store = new RecordStore(storage);
    const rows = [...Array.from({ length: batches }, (_, index) => recordBatch(index)), large];
    for (const [index, batch] of rows.entries()) {
      const keys = batch.map(({ key }) => key);
      const found = await store.getMany("objects", keys);
      const isThere = records[index]!.at(-1)! <= cut;
      const expected = batch.map(({ value }) => (isThere ? Buffer.from(value) : undefined));
      const read = found.map((value) => (value instanceof Uint8Array ? Buffer.from(value) : value));
      assert.deepEqual(read, expected, `batch ${index}, cut at ${cut}, its record is ${records[index]!.join(" to ")}`);
    }
    assert.equal(storage.setAsideAs, undefined);
    assert.deepEqual(readdirSync(dirname(directory)), ["store"], "nothing was set aside");
    await store.close();
    return storage.droppedLogBytes;
  }

  test("has all before that record, nothing of it, and tells no damage, wherever it was cut", async () => {
    for (const cut of [...cutsIn(records.at(-1)!), ...cutsIn(records.at(-2)!), ...cutsIn(records.at(-40)!)]) {
      const told = await opened(
        torn((log) => log.subarray(0, cut)),
        cut,
      );
      assert.equal(told, 0, `cut at ${cut}`);
    }
  });

  test("the record may be there as zeros: the same, and what was begun of it is told as lost", async () => {
    const record = records.at(-2)!;
    for (const [cut, isTold] of [
      [record[0]!, false],
      [record[0]! + headBytes + 100, true],
    ] as const) {
      const told = await opened(
        torn((log) => Buffer.concat([log.subarray(0, cut), Buffer.alloc(record[1]! - cut)])),
        cut,
      );
      assert.equal(told > 0, isTold, `${told} bytes`);
    }
  });

  test("what is written behind it is found at the starts after it, even if the next run is killed, too", async () => {
    const [start, end] = records.at(-2)!;
    const directory = torn((log) => log.subarray(0, (start! + end!) >> 1));
    const storage = await openClassicStorage({ directory });
    const store = new RecordStore(storage);
    await store.commit(recordBatch(batches - 1));
    await store.commit(recordBatch(batches));
    const killed = temporaryDirectory();
    cpSync(directory, killed, { recursive: true });
    await store.close();
    const log = newestLog(killed);
    truncateSync(log, recordsOf(readFileSync(log)).at(-1)!.at(-1)! - 1);
    const found = await check(killed, (batches + 1) * 3);
    assert.deepEqual([found.right, found.missing, found.droppedLogBytes], [batches * 3, 3, 0]);
    const again = new RecordStore(await openClassicStorage({ directory: killed }));
    assert.equal(await again.get("objects", recordKey(batches * 3)), undefined, "it does not come back");
    await again.close();
  });
});

test("a host whose log was cut in its last write starts, has all others, and takes that one again", async () => {
  await using hosts = await HostProcesses.of(1, dirname(temporaryDirectory()));
  const [w1, r1] = [{ query: "w=1" }, "r=1"];
  const value = (i: number) => `${i}|`.repeat(50);
  for (let i = 0; i < 30; i++) assert.equal((await kv(hosts.url(0)).put(`torn/key${i}`, value(i), w1)).status, 200);
  await hosts.signal(0, "SIGKILL");
  const log = newestLog(join(hosts.data(0), "store"));
  const content = readFileSync(log);
  writeFileSync(log, content.subarray(0, content.lastIndexOf(value(29)) + 20));
  hosts.start(0);
  await hosts.ready(0);
  for (let i = 0; i < 29; i++) {
    assert.deepEqual((await kv(hosts.url(0)).get(`torn/key${i}`, r1)).values, [value(i)], `key${i}`);
  }
  assert.deepEqual((await kv(hosts.url(0)).get("torn/key29", r1)).values, []);
  const { storage } = await hosts.status(0);
  assert.deepEqual([storage.state, storage.corruptRecords, storage.setAside], ["ok", 0, []]);
  assert.doesNotMatch(hosts.log(0), /the storage lost|set aside/);
  assert.equal((await kv(hosts.url(0)).put("torn/key29", value(29), w1)).status, 200);
  assert.deepEqual((await kv(hosts.url(0)).get("torn/key29", r1)).values, [value(29)]);
});
