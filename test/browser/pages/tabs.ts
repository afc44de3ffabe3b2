/** One of several tabs of a store: it writes, watches, and tells of both. */
import { NetworkSwitch, openStore, type OpenStoreOptions } from "../../../core/browser/index.ts";
import type { StoreError } from "../../../core/errors.ts";
import { systemClock } from "../../../core/libp2p/system-ports.ts";
import type { Store } from "../../../core/store/store.ts";
import { lww } from "../../../core/values/conflict-rules.ts";
import { type Counter, counter } from "../../../core/values/counter.ts";
import { expose } from "../expose.ts";
import { badTransactions, seenTransactions } from "../transactions.ts";

interface Schema {
  readonly notes: string;
  readonly sessions: string;
  readonly counts: Counter;
}

/** A write of this tab: what became of it, and how long that took. */
export interface Told {
  readonly key: string;
  readonly dot?: string;
  readonly error?: string;
  readonly ms: number;
}

/** A change that this tab's watch told. */
export interface Seen {
  readonly key: string;
  readonly values: readonly string[];
  readonly pending: boolean;
  /** `performance.now()` */
  readonly atMs: number;
}

const inFlight = 4;
/** Much longer than a transaction takes. */
const answerMs = 500;
let store: Store<Schema>;
const writing = { goesOn: false };
let writers: Promise<unknown> = Promise.resolve();
const told: Told[] = [];
const seen: Seen[] = [];
const watching = new AbortController();
const networkSwitch = new NetworkSwitch();
const discarded: string[] = [];

const notes = () => store.bucket("notes");
const sessions = () => store.bucket("sessions", { conflict: lww() });
const counts = () => store.bucket("counts", { conflict: counter() });

async function write(key: string): Promise<void> {
  const beginMs = performance.now();
  const outcome = await notes()
    .put(key, `value of ${key}`)
    .then(
      ({ dot }) => ({ dot }),
      ({ code, message }: StoreError) => ({ error: `${code}: ${message}` }),
    );
  told.push({ key, ...outcome, ms: performance.now() - beginMs });
}

async function hasDatabase(name: string): Promise<boolean> {
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    const opening = indexedDB.open(name);
    opening.addEventListener("success", () => resolve(opening.result));
    opening.addEventListener("error", () => reject(opening.error));
  });
  // To write anywhere: a transaction that only reads holds up those that write where it reads.
  const asking = database.transaction(database.objectStoreNames, "readwrite", { durability: "strict" });
  const answered = new Promise<boolean>((resolve) => asking.addEventListener("complete", () => resolve(true)));
  asking.objectStore("meta").count();
  asking.commit();
  const late = new Promise<boolean>((resolve) => setTimeout(() => resolve(false), answerMs));
  const has = await Promise.race([answered, late]);
  database.close();
  return has;
}

const functions = {
  async open(options: OpenStoreOptions): Promise<void> {
    store = await openStore<Schema>(options);
  },
  /** With a clock that is so far ahead, and a network that can be cut, as long as this tab runs the node. */
  async openSkewed(aheadMs: number, options: Pick<OpenStoreOptions, "name" | "seeds">): Promise<void> {
    const clock = { ...systemClock, wallTime: () => systemClock.wallTime() + aheadMs };
    store = await openStore<Schema>({ ...options, clock, networkSwitch });
    store.on("conflict", ({ discardedDot }) => discarded.push(discardedDot));
  },
  cut: () => networkSwitch.cut(),
  heal: () => networkSwitch.heal(),
  putSession: async (key: string, value: string) => (await sessions().put(key, value)).dot,
  session: async (key: string) => (await sessions().get(key)).value,
  /** Dots of lww values that lost unseen, as this tab was told of them. */
  discarded: () => discarded,
  /** So many updates, all asked for at once. */
  async increment(key: string, times: number): Promise<void> {
    const bucket = counts();
    await Promise.all(Array.from({ length: times }, () => bucket.update(key, (count) => count.add(1))));
  },
  total: async (key: string) => (await counts().get(key)).value?.total,
  id: () => store.status().id,
  close: () => store.close(),
  connected: () => store.connected,
  status: () => ({ ...store.status() }),
  /** Whether this tab runs the node of a store. */
  async owns(name: string): Promise<boolean> {
    const mark = `mark ${Math.random()}`;
    return navigator.locks.request(mark, async () => {
      const { held = [] } = await navigator.locks.query();
      const holder = (lock: string) => held.find((each) => each.name === lock)?.clientId;
      return holder(mark) === holder(`everwrite/${name}`);
    });
  },
  /** Whether the databases of a store answer, of which a host has two: no transaction of a stopped tab is in the way. */
  async hasDatabases(name: string): Promise<boolean> {
    const all = (await indexedDB.databases()).map((database) => database.name ?? "");
    const answers = await Promise.all(all.filter((each) => each.startsWith(`everwrite/${name}`)).map(hasDatabase));
    return !answers.includes(false);
  },
  /** From now on the tab does nothing for so long in the middle of its next write transaction. */
  hangInTransaction(ms: number): void {
    const add = Reflect.get<IDBObjectStore, "add">(IDBObjectStore.prototype, "add");
    IDBObjectStore.prototype.add = function (this: IDBObjectStore, ...row: Parameters<IDBObjectStore["add"]>) {
      IDBObjectStore.prototype.add = add;
      const added = add.apply(this, row);
      for (const endMs = performance.now() + ms; performance.now() < endMs;);
      return added;
    };
  },
  put: (key: string) => write(key),
  async values(key: string): Promise<readonly string[]> {
    return (await notes().get(key)).values;
  },
  /** All that is there under a prefix. */
  async found(prefix: string): Promise<Record<string, readonly string[]>> {
    const all: Record<string, readonly string[]> = {};
    for await (const { key, values } of notes().entries({ prefix })) all[key] = values;
    return all;
  },
  /** Writes new keys, one after the other in each of some lanes. */
  startWriting(prefix: string): void {
    writing.goesOn = true;
    const lane = async (number: number): Promise<void> => {
      for (let i = 0; writing.goesOn; i++) await write(`${prefix}${number}-${i}`);
    };
    writers = Promise.all(Array.from({ length: inFlight }, (_, number) => lane(number)));
  },
  stopWriting(): void {
    writing.goesOn = false;
  },
  written: () => writers.then(() => told),
  writtenSoFar: () => told.length,
  /** What is acknowledged by now, while it goes on writing. */
  acknowledged: () => told,
  /** Longest time of a write, ms. */
  slowest: () => Math.max(...told.map(({ ms }) => ms)),
  startWatching(prefix: string): void {
    void (async () => {
      for await (const { key, values, pending } of notes().watch({ prefix, signal: watching.signal })) {
        seen.push({ key, values, pending, atMs: performance.now() });
      }
    })();
  },
  seen: () => seen,
  /** Longest time in which the watch told of no key that was new to it, ms: that a write is pending no more may be told late. */
  longestSilence(): number {
    const firstMs = new Map(seen.toReversed().map(({ key, atMs }) => [key, atMs]));
    const sorted = [...firstMs.values()].toSorted((a, b) => a - b);
    return Math.max(...sorted.map((atMs, n) => atMs - (sorted[n - 1] ?? atMs)));
  },
  flush: () => store.flush({ timeoutMs: 60_000 }),
  /** Does nothing else for so long, and writes in the task in which it wakes. */
  hangAndWrite(ms: number, key: string): void {
    setTimeout(() => {
      for (const endMs = performance.now() + ms; performance.now() < endMs;);
      writers = write(key);
    });
  },
  transactions: () => ({ seen: seenTransactions().length, bad: badTransactions(seenTransactions()) }),
  /** How long each write transaction was open, ms. */
  openMs: () => seenTransactions().flatMap(({ mode, openMs }) => (mode === "readwrite" ? [openMs] : [])),
};

export type Functions = typeof functions;

expose(functions);
