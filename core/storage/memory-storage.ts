/**
 * The reference `Storage`: sorted arrays in memory. It defines what the port means; other adapters are compared with it.
 * Invariant: `keys` of a table is strictly ascending and `values[i]` belongs to `keys[i]`.
 * An insert moves the rows behind it, which is fine up to some 100,000 rows: a browser session, a simulated disk.
 */
import type { Durability, KeyRange, Namespace, Page, PageRequest, Row, Storage, StorageOperation } from "../ports.ts";
import { StorageError } from "../ports.ts";

interface Table {
  readonly keys: Uint8Array[];
  readonly values: Uint8Array[];
}

const noBytes = new Uint8Array();

/** Keeps everything until the process ends; for tests, and for sessions that need no more. */
export class MemoryStorage implements Storage {
  readonly #tables: Readonly<Record<Namespace, Table>> = {
    objects: { keys: [], values: [] },
    hints: { keys: [], values: [] },
    meta: { keys: [], values: [] },
    merkle: { keys: [], values: [] },
  };
  #bytes = 0;
  #closed = false;

  async get(ns: Namespace, key: Uint8Array): Promise<Uint8Array | undefined> {
    return valueOf(this.#open(ns), key);
  }

  async getMany(ns: Namespace, keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const table = this.#open(ns);
    return keys.map((key) => valueOf(table, key));
  }

  /** Memory has nothing to flush: both durabilities are the same, and nothing outlives the process that made it. */
  async batch(operations: readonly StorageOperation[], _durability: Durability): Promise<void> {
    this.#refuseIfClosed();
    for (const operation of operations) {
      const table = this.#tables[operation.ns];
      if (operation.kind === "put") this.#put(table, operation.key, operation.value);
      else this.#delete(table, operation.key);
    }
  }

  async page(ns: Namespace, request: PageRequest): Promise<Page> {
    const { keys, values } = this.#open(ns);
    const { reverse = false, limit, maxBytes = Infinity, keysOnly = false } = request;
    const { from, to } = indexRange(keys, request);
    const step = reverse ? -1 : 1;
    const end = reverse ? from - 1 : to;
    const rows: Row[] = [];
    let bytes = 0;
    let at = reverse ? to - 1 : from;
    for (; at * step < end * step && rows.length < limit && bytes < maxBytes; at += step) {
      const row = { key: keys[at]!, value: keysOnly ? noBytes : values[at]! };
      rows.push(row);
      bytes += row.key.length + row.value.length;
    }
    if (at * step >= end * step) return { rows, next: null };
    // `lt` is exclusive: a reverse scan goes on below the last row it saw.
    return { rows, next: reverse ? keys[at + 1]! : keys[at]! };
  }

  async clear(ns: Namespace, range: KeyRange): Promise<void> {
    const { keys, values } = this.#open(ns);
    const { from, to } = indexRange(keys, range);
    for (const key of keys.splice(from, to - from)) this.#bytes -= key.length;
    for (const value of values.splice(from, to - from)) this.#bytes -= value.length;
  }

  async usage(): Promise<{ readonly bytes: number }> {
    this.#refuseIfClosed();
    return { bytes: this.#bytes };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #open(ns: Namespace): Table {
    this.#refuseIfClosed();
    return this.#tables[ns];
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new StorageError("closed", "the memory storage was closed");
  }

  #put({ keys, values }: Table, key: Uint8Array, value: Uint8Array): void {
    const at = lowerBound(keys, key);
    if (isAt(keys, at, key)) {
      this.#bytes += value.length - values[at]!.length;
      values[at] = value.slice();
    } else {
      this.#bytes += key.length + value.length;
      keys.splice(at, 0, key.slice());
      values.splice(at, 0, value.slice());
    }
  }

  #delete({ keys, values }: Table, key: Uint8Array): void {
    const at = lowerBound(keys, key);
    if (!isAt(keys, at, key)) return;
    this.#bytes -= key.length + values[at]!.length;
    keys.splice(at, 1);
    values.splice(at, 1);
  }
}

function valueOf({ keys, values }: Table, key: Uint8Array): Uint8Array | undefined {
  const at = lowerBound(keys, key);
  return isAt(keys, at, key) ? values[at] : undefined;
}

function indexRange(keys: readonly Uint8Array[], { gte, lt }: KeyRange): { from: number; to: number } {
  const from = gte === undefined ? 0 : lowerBound(keys, gte);
  const to = lt === undefined ? keys.length : lowerBound(keys, lt);
  return { from, to: Math.max(from, to) };
}

/** Index of the first key that is not below `key`. */
function lowerBound(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compare(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

function isAt(keys: readonly Uint8Array[], at: number, key: Uint8Array): boolean {
  return at < keys.length && compare(keys[at]!, key) === 0;
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let at = 0; at < shared; at++) {
    if (a[at] !== b[at]) return a[at]! - b[at]!;
  }
  return a.length - b.length;
}
