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

export function random(bytes: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(bytes));
}
