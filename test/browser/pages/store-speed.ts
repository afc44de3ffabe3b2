/** How fast a page's store writes, reads, opens and hears, beside a raw strict transaction for each put. */
import { openStore } from "../../../core/browser/index.ts";
import type { PageEdgeOptions } from "../../../core/browser/page-options.ts";
import type { Store } from "../../../core/store/store.ts";
import { expose } from "../expose.ts";
import { atRate, fillRaw, getRaw, measure, openRaw, putRaw, watchLongTasks } from "../speed.ts";

interface Schema {
  readonly notes: string;
}

/** A value, and when it was written or heard: ms since 1970, with fractions. */
export interface Moment {
  readonly value: string;
  readonly atMs: number;
}

const valueBytes = 200;
const keyBytes = 32;

let store: Store<Schema>;
const heard: Moment[] = [];
/** By key: the context that its last put gave. */
const written = new Map<string, string | undefined>();
const longTasks = watchLongTasks();

const notes = () => store.bucket("notes");
const nowMs = (): number => performance.timeOrigin + performance.now();

const functions = {
  /** Milliseconds until the store is open and has read one key. */
  async open(options: PageEdgeOptions): Promise<number> {
    const beginMs = performance.now();
    store = await openStore<Schema>(options);
    await notes().get("k0", { r: "local" });
    return performance.now() - beginMs;
  },
  close: () => store.close(),
  connected: () => store.connected,
  flush: () => store.flush(),
  pending: () => store.status().pending,

  /** Each to a key of its own, as the raw ones are. */
  async puts(inFlight: number, ms: number) {
    let at = 0;
    return measure(inFlight, ms, () => notes().put(`k${at++}`, valueOf(at)));
  },
  /** One to each of `keys` keys. */
  async fill(keys: number): Promise<void> {
    await Promise.all(Array.from({ length: keys }, (_, i) => notes().put(`k${i}`, valueOf(i))));
  },
  gets(inFlight: number, ms: number, keys: number) {
    let at = 0;
    return measure(inFlight, ms, () => notes().get(`k${at++ % keys}`, { r: "local" }));
  },
  async rawPuts(inFlight: number, ms: number, commitsAtOnce: boolean) {
    const database = await openRaw();
    const speed = await measure(inFlight, ms, () => putRaw(database, { keyBytes, valueBytes, commitsAtOnce }));
    database.close();
    return speed;
  },
  async rawFill(rows: number): Promise<void> {
    const database = await openRaw();
    await fillRaw(database, { rows, keyBytes, valueBytes });
    database.close();
  },
  /** Each of a row of its own, as ours. */
  async rawGets(inFlight: number, ms: number, rows: number) {
    const database = await openRaw();
    let at = 0;
    const speed = await measure(inFlight, ms, () => getRaw(database, at++ % rows, keyBytes));
    database.close();
    return speed;
  },

  /** Puts over 1,000 keys, each with what a read before it tells, or else the last put of the key; see `atRate`. */
  write(perSecond: number, ms: number, bytes: number, reads = true): Promise<number[]> {
    const value = "v".repeat(bytes);
    return atRate(perSecond, ms, async () => {
      const key = `k${Math.floor(Math.random() * 1_000)}`;
      const context = reads ? (await notes().get(key)).context : written.get(key);
      written.set(key, (await notes().put(key, value, { context })).context);
    });
  },
  longTasks,

  hear(key: string): void {
    notes().subscribe(key, ({ value }) => value !== undefined && heard.push({ value, atMs: nowMs() }));
  },
  heard: () => heard,
  /** One after another, `everyMs` apart. */
  async tell(key: string, count: number, everyMs: number): Promise<Moment[]> {
    const told: Moment[] = [];
    for (let i = 0; i < count; i += 1) {
      const { context } = await notes().get(key, { r: "local" });
      told.push({ value: valueOf(i), atMs: nowMs() });
      await notes().put(key, valueOf(i), { context });
      await new Promise((resolve) => setTimeout(resolve, everyMs));
    }
    return told;
  },
};

export type Functions = typeof functions;

expose(functions);

function valueOf(i: number): string {
  return `${i} `.padEnd(valueBytes, "v");
}
