/** How fast a page writes and reads: through RecordStore, and with a raw strict transaction for each put. */
import { openIndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { RecordStore } from "../../../core/storage/record-store.ts";
import { expose } from "../expose.ts";
import { measure, openRaw, putRaw, random } from "../speed.ts";

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
    const speed = await measure(inFlight, ms, () => putRaw(database, { keyBytes, valueBytes, commitsAtOnce }));
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
