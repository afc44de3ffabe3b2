/** A page with one store, whose methods the test calls, and which writes much at once. */
import { NetworkSwitch, openStore, type OpenStoreOptions } from "../../../core/browser/index.ts";
import { StoreError } from "../../../core/errors.ts";
import type { Store, StoreStatus } from "../../../core/store/store.ts";
import { expose } from "../expose.ts";
import { idOf, valueOf } from "../storm-values.ts";
import { badTransactions, seenTransactions, type SeenTransaction } from "../transactions.ts";

interface Schema {
  readonly notes: string;
}

/** What was told of a key, and when (ms since 1970). */
interface Told {
  readonly key: string;
  readonly values: readonly string[];
  readonly atMs: number;
}

/** Writes that are told by their value's first word. */
export interface Storm {
  readonly ids: readonly string[];
  readonly keys: readonly string[];
  readonly valueBytes: number;
}

/** What a page tells from inside an acknowledgement. */
export interface Report {
  readonly acknowledged: readonly string[];
  readonly transactions: number;
  readonly bad: readonly SeenTransaction[];
}

let store: Store<Schema>;
const networkSwitch = new NetworkSwitch();
const told: Told[] = [];

const notes = () => store.bucket("notes");

const functions = {
  open,
  openAborted: (options: OpenStoreOptions, afterMs: number) =>
    open({ ...options, signal: AbortSignal.timeout(afterMs) }),
  /** Aborts the signal when the store is open. */
  async openThenAbort(options: OpenStoreOptions): Promise<number | string> {
    const opening = new AbortController();
    const opened = await open({ ...options, signal: opening.signal });
    opening.abort();
    return opened;
  },
  /** What a browser says before it stops the page, and after. */
  dispatch: (event: "freeze" | "resume") => void document.dispatchEvent(new Event(event)),
  close: () => store.close(),
  cut: () => networkSwitch.cut(),
  heal: () => networkSwitch.heal(),
  slow: (delayMs: number) => networkSwitch.slow(delayMs),
  status: (): StoreStatus => ({ ...store.status() }),
  connected: () => store.connected,
  settled: () => store.settled,
  flush: (timeoutMs: number) => store.flush({ timeoutMs }),

  async put(key: string, value: string, context?: string) {
    const { dot, localOnly, context: next } = await notes().put(key, value, { context });
    return { dot, localOnly, context: next };
  },
  /** The code of what a put was refused with; undefined where it was acknowledged. */
  async refusal(key: string, value: string): Promise<string | undefined> {
    try {
      await notes().put(key, value);
      return undefined;
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      return error.code;
    }
  },
  async get(key: string, options: { readonly r?: "local" } = {}) {
    const { values, source, pending, context } = await notes().get(key, options);
    return { values, source, pending, context };
  },
  dots: async (key: string) => (await notes().get(key)).raw.siblings.map(({ dot }) => dot),
  /** Milliseconds since 1970 when it was asked for. */
  async join(key: string): Promise<number> {
    const atMs = Date.now();
    const { values, context } = await notes().get(key);
    await notes().put(key, values.toSorted().join(" and "), { context });
    return atMs;
  },

  subscribe(key: string): void {
    notes().subscribe(key, ({ loaded, values }) => loaded && told.push({ key, values, atMs: Date.now() }));
  },
  watch(prefix: string): void {
    const watching = async (): Promise<void> => {
      for await (const { key, values } of notes().watch({ prefix })) told.push({ key, values, atMs: Date.now() });
    };
    void watching();
  },
  told: () => told,

  /** Ids of the writes that this page knows of, and of those that are not what was written. */
  async known(keys: readonly string[], valueBytes: number): Promise<{ whole: string[]; damaged: string[] }> {
    const reads = await Promise.all(keys.map((key) => notes().get(key, { r: "local" })));
    const values = reads.flatMap(({ values }) => values);
    const isWhole = (value: string): boolean => value === valueOf(idOf(value), valueBytes);
    const damaged = values.filter((value) => !isWhole(value)).map(idOf);
    return { whole: values.filter(isWhole).map(idOf), damaged };
  },

  /** All at once. */
  write: (storm: Storm) => Promise.all(writes(storm)),
  /** In the `reportAt`-th acknowledgement the page tells synchronously which writes were acknowledged. */
  async writeUntilKilled(storm: Storm & { readonly reportAt: number; readonly path: string }): Promise<void> {
    const acknowledged: string[] = [];
    const lanes = writes(storm).map(async (write) => {
      acknowledged.push(await write);
      if (acknowledged.length === storm.reportAt) report(storm.path, acknowledged);
    });
    await Promise.all(lanes);
  },

  /** What the page has loaded. */
  scripts: () => performance.getEntriesByType("resource").map(({ name }) => name),
};

export type Functions = typeof functions;

expose(functions);

/** Milliseconds it took, or what it was refused with. */
async function open(options: OpenStoreOptions): Promise<number | string> {
  const beginMs = performance.now();
  try {
    store = await openStore<Schema>({ ...options, networkSwitch });
  } catch (error: unknown) {
    if (!(error instanceof StoreError)) throw error;
    return `${error.code}: ${error.message}`;
  }
  return performance.now() - beginMs;
}

/** Each beside all others of its key; resolves with its id. */
function writes({ ids, keys, valueBytes }: Storm): Promise<string>[] {
  return ids.map(async (id, i) => {
    await notes().put(keys[i % keys.length]!, valueOf(id, valueBytes));
    return id;
  });
}

/** Synchronous: nothing of this page, and nothing that it has asked for, goes on before the answer, which never comes. */
function report(path: string, acknowledged: readonly string[]): void {
  const seen = seenTransactions();
  const body: Report = { acknowledged, transactions: seen.length, bad: badTransactions(seen) };
  const request = new XMLHttpRequest();
  request.open("POST", path, false);
  request.send(JSON.stringify(body));
}
