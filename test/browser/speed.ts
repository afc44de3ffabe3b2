/** How pages measure themselves, and what they compare with: a raw strict transaction for each put. */

export interface Speed {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** `work` again and again in so many lanes. In the page. */
export async function measure(inFlight: number, ms: number, work: () => Promise<unknown>): Promise<Speed> {
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

/** `work` at that rate, whatever is under way. How long each took, ms; failures as Infinity. In the page. */
export async function atRate(perSecond: number, ms: number, work: () => Promise<unknown>): Promise<number[]> {
  const beginMs = performance.now();
  const working: Promise<number>[] = [];
  const timed = async (): Promise<number> => {
    const startMs = performance.now();
    await work();
    return performance.now() - startMs;
  };
  while (performance.now() < beginMs + ms) {
    while (working.length < ((performance.now() - beginMs) * perSecond) / 1_000) {
      working.push(timed().catch(() => Infinity));
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return Promise.all(working);
}

/** How long each task above 50 ms took since the last call, ms: at the first one since the page began to load. In the page. */
export function watchLongTasks(): () => number[] {
  const durations: number[] = [];
  const keep = (entries: PerformanceEntryList): number => durations.push(...entries.map(({ duration }) => duration));
  const observer = new PerformanceObserver((list) => keep(list.getEntries()));
  observer.observe({ type: "longtask", buffered: true });
  return () => {
    keep(observer.takeRecords());
    return durations.splice(0);
  };
}

/** A database with one object store, without anything of ours. */
export function openRaw(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("raw", 1);
    request.addEventListener("upgradeneeded", () => request.result.createObjectStore("rows"));
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", () => reject(request.error));
  });
}

/** One put in a strict transaction of its own. */
export function putRaw(
  database: IDBDatabase,
  {
    keyBytes,
    valueBytes,
    commitsAtOnce,
  }: { readonly keyBytes: number; readonly valueBytes: number; readonly commitsAtOnce: boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("rows", "readwrite", { durability: "strict" });
    transaction.objectStore("rows").put(random(valueBytes), random(keyBytes));
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () => reject(transaction.error));
    if (commitsAtOnce) transaction.commit();
  });
}

/** Rows under numbered keys, in one transaction. */
export function fillRaw(
  database: IDBDatabase,
  { rows, keyBytes, valueBytes }: { readonly rows: number; readonly keyBytes: number; readonly valueBytes: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("rows", "readwrite", { durability: "strict" });
    for (let n = 0; n < rows; n += 1) transaction.objectStore("rows").put(random(valueBytes), numbered(n, keyBytes));
    transaction.addEventListener("complete", () => resolve());
    transaction.addEventListener("abort", () => reject(transaction.error));
  });
}

/** One row of `fillRaw`, in a transaction of its own. */
export function getRaw(database: IDBDatabase, n: number, keyBytes: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction("rows", "readonly");
    const request = transaction.objectStore("rows").get(numbered(n, keyBytes));
    request.addEventListener("success", () => (request.result === undefined ? reject(new Error("no row")) : resolve()));
    request.addEventListener("error", () => reject(request.error));
  });
}

function numbered(n: number, keyBytes: number): Uint8Array<ArrayBuffer> {
  const key = new Uint8Array(keyBytes);
  new DataView(key.buffer).setUint32(0, Math.imul(n, 0x9e3779b1)); // spread, as ours lie in the order of the ring
  return key;
}

export function random(bytes: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(bytes));
}
