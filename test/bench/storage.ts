/**
 * Durable puts per second of RecordStore over LevelDB, beside the limit of the disk in the same run: append + fdatasync.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";
import type { Bench, Table } from "../tools/trial.ts";

const valueBytes = 200;
const keyBytes = 32;

export const bench: Bench = {
  name: "storage",
  summary: "durable puts and gets per second of one store, beside append + fdatasync",
  async run({ folder, short }) {
    const ms = short ? 500 : 2_000;
    const rows: Row[] = [];
    for (const inFlight of [1, 16, 64]) {
      const log = await appendLog(join(folder, `log-${inFlight}`));
      rows.push(await measure("append + fdatasync", log, { inFlight, ms }));
      const store = await recordStore(join(folder, `store-${inFlight}`));
      rows.push(await measure("RecordStore put", store, { inFlight, ms }));
    }
    const gets = { store: "RecordStore get, 16 in flight", "per second": await reads(join(folder, "store-64")) };
    return [
      { title: "puts", rows },
      { title: "gets", rows: [gets] },
    ];
  },
};

type Row = Table["rows"][number];

interface Subject {
  put(): Promise<void>;
  close(): Promise<void>;
}

/** The limit: one writer, everything that gathered during one flush goes into the next. */
async function appendLog(path: string): Promise<Subject> {
  const file = await open(path, "a");
  const record = Buffer.alloc(keyBytes + valueBytes, 1);
  let waiting: (() => void)[] = [];
  let flushing = false;
  const flush = async () => {
    flushing = true;
    while (waiting.length > 0) {
      const group = waiting;
      waiting = [];
      await file.appendFile(Buffer.concat(group.map(() => record)));
      await file.datasync();
      for (const resolve of group) resolve();
      await Promise.resolve();
    }
    flushing = false;
  };
  return {
    put: () =>
      new Promise((resolve) => {
        waiting.push(resolve);
        if (!flushing) void flush();
      }),
    close: () => file.close(),
  };
}

async function recordStore(path: string): Promise<Subject> {
  const store = new RecordStore(await openClassicStorage({ directory: path }));
  return {
    put: () => store.commit([{ kind: "put", ns: "objects", key: key(), value: value() }]),
    close: () => store.close(),
  };
}

async function measure(
  store: string,
  subject: Subject,
  { inFlight, ms }: { readonly inFlight: number; readonly ms: number },
): Promise<Row> {
  const latencies: number[] = [];
  const cpu = process.cpuUsage();
  const begin = performance.now();
  const lane = async (): Promise<void> => {
    for (let now = performance.now(); now < begin + ms;) {
      await subject.put();
      const then = now;
      now = performance.now();
      latencies.push(now - then);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const elapsedMs = performance.now() - begin;
  const { user, system } = process.cpuUsage(cpu);
  await subject.close();
  latencies.sort((a, b) => a - b);
  const quantile = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return {
    store,
    "in flight": inFlight,
    "per second": Math.round((latencies.length / elapsedMs) * 1_000),
    "p50 ms": quantile(0.5),
    "p99 ms": quantile(0.99),
    "CPU us/put": (user + system) / latencies.length,
  };
}

async function reads(path: string): Promise<number> {
  const store = new RecordStore(await openClassicStorage({ directory: path }));
  const { rows } = await store.page("objects", { limit: 10_000, keysOnly: true });
  const begin = performance.now();
  let at = 0;
  const lane = async (): Promise<void> => {
    while (at < 100_000) await store.get("objects", rows[at++ % rows.length]!.key);
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  const perSecond = Math.round((at / (performance.now() - begin)) * 1_000);
  await store.close();
  return perSecond;
}

/** Random, as ring positions are. */
function key(): Uint8Array {
  const bytes = Buffer.allocUnsafe(keyBytes);
  for (let word = 0; word < keyBytes; word += 4) bytes.writeUInt32LE(Math.floor(Math.random() * 0x1_0000_0000), word);
  return bytes;
}

/** Half text, half noise: compresses about as well as an encoded cart. */
function value(): Uint8Array {
  const bytes = Buffer.alloc(valueBytes, '{"item":"4711","quantity":1},');
  for (let at = 0; at < valueBytes; at += 2) bytes[at] = Math.random() * 256;
  return bytes;
}
