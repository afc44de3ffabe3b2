/**
 * Durable puts per second of RecordStore over LevelDB, beside the limit of the disk in the same run: append + fdatasync.
 * node dist/test/bench/storage.js [seconds per line]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RecordStore } from "../../core/storage/record-store.ts";
import { openClassicStorage } from "../../node-host/classic-storage.ts";

const seconds = Number(process.argv[2] ?? 2);
const valueBytes = 200;
const keyBytes = 32;

const directory = mkdtempSync(join(tmpdir(), "everwrite-bench-"));
try {
  for (const clients of [1, 16, 64]) {
    await report(`append + fdatasync  C=${clients}`, clients, await appendLog(join(directory, `log-${clients}`)));
    await report(`RecordStore put     C=${clients}`, clients, await recordStore(join(directory, `store-${clients}`)));
  }
  await reportReads(join(directory, "store-64"));
} finally {
  rmSync(directory, { recursive: true, force: true });
}

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

async function report(name: string, clients: number, subject: Subject): Promise<void> {
  const latencies: number[] = [];
  const cpu = process.cpuUsage();
  const begin = performance.now();
  const end = begin + seconds * 1000;
  const client = async () => {
    for (let now = performance.now(); now < end;) {
      await subject.put();
      const then = now;
      now = performance.now();
      latencies.push(now - then);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  const elapsed = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await subject.close();
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)]?.toFixed(2).padStart(6);
  console.log(
    `${name.padEnd(26)} ${(latencies.length / elapsed).toFixed(0).padStart(7)} puts/s` +
      `   p50 ${at(0.5)} ms   p99 ${at(0.99)} ms   ${((user + system) / latencies.length).toFixed(1).padStart(6)} us cpu/put`,
  );
}

async function reportReads(path: string): Promise<void> {
  const store = new RecordStore(await openClassicStorage({ directory: path }));
  const { rows } = await store.page("objects", { limit: 10_000, keysOnly: true });
  const begin = performance.now();
  let at = 0;
  const client = async () => {
    while (at < 100_000) await store.get("objects", rows[at++ % rows.length]!.key);
  };
  await Promise.all(Array.from({ length: 16 }, client));
  console.log(
    `RecordStore get     C=16    ${((at / (performance.now() - begin)) * 1000).toFixed(0).padStart(7)} gets/s`,
  );
  await store.close();
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
