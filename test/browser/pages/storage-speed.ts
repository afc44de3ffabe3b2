/** How fast a page writes and reads: through RecordStore, and with a raw strict transaction for each put. */
import { openIndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { expose } from "../expose.ts";

export interface Speed {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

const keyBytes = 32;
const valueBytes = 200;

const stores: RecordStore[] = [];

const functions = {
  storePuts: async (inFlight: number, ms: number) => {
    const store = await opened();
    return measure(inFlight, ms, () =>
      store.commit([{ kind: "put", ns: "objects", key: random(keyBytes), value: random(valueBytes) }]),
    );
  },

  rawPuts: async (inFlight: number, ms: number, commitsAtOnce: boolean) => {
    const database = await openRaw();
    const speed = await measure(inFlight, ms, () => putRaw(database, commitsAtOnce));
    database.close();
    return speed;
  },

  /** Of what `storePuts` has written. */
  storeGets: async (inFlight: number, ms: number) => {
    const store = await opened();
    const { rows } = await store.page("objects", { limit: 10_000, keysOnly: true });
    let at = 0;
    return measure(inFlight, ms, () => store.get("objects", rows[at++ % rows.length]!.key));
  },

  /** Milliseconds until a page with that many rows has been opened and read from end to end; and how many there were. */
  openAndRead: async (limit: number) => {
    await Promise.all(stores.splice(0).map((store) => store.close()));
    const beginMs = performance.now();
    const store = await opened();
    let rows = 0;
    let gte: Uint8Array | null = new Uint8Array();
    while (gte !== null && rows < limit) {
      const page: Awaited<ReturnType<RecordStore["page"]>> = await store.page("objects", { gte, limit: limit - rows });
      rows += page.rows.length;
      gte = page.next;
    }
    return { ms: performance.now() - beginMs, rows };
  },
};

export type Functions = typeof functions;

expose(functions);

async function opened(): Promise<RecordStore> {
  stores[0] ??= new RecordStore(await openIndexedDbStorage({ name: "speed" }));
  return stores[0];
}

async function measure(inFlight: number, ms: number, work: () => Promise<unknown>): Promise<Speed> {
  const latencies: number[] = [];
  const beginMs = performance.now();
  const lane = async (): Promise<void> => {
    for (let nowMs = performance.now(); nowMs < beginMs + ms;) {
      await work();
      const thenMs = nowMs;
      nowMs = performance.now();
      latencies.push(nowMs - thenMs);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const elapsedMs = performance.now() - beginMs;
  latencies.sort((a, b) => a - b);
  const quantile = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? 0;
  return { perSecond: (latencies.length / elapsedMs) * 1_000, p50Ms: quantile(0.5), p99Ms: quantile(0.99) };
}

function openRaw(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("raw", 1);
    request.addEventListener("upgradeneeded", () => request.result.createObjectStore("rows"));
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

function putRaw(database: IDBDatabase, commitsAtOnce: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("rows", "readwrite", { durability: "strict" });
    transaction.objectStore("rows").put(random(valueBytes), random(keyBytes));
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () => reject(transaction.error));
    if (commitsAtOnce) transaction.commit();
  });
}

function random(bytes: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(bytes));
}
