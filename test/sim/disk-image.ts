/** What lies on a disk: rows by namespace. Copied for backups, and kept twice by a disk that tells written from synced. */
import type { KeyRange, Namespace, Page, PageRequest, Row, StorageOperation } from "../../core/ports.ts";
import { copyOf } from "./copy.ts";

type Rows = Map<string, Uint8Array>;

const namespaces: readonly Namespace[] = ["objects", "hints", "meta", "merkle"];

export class DiskImage {
  readonly #tables: Readonly<Record<Namespace, Rows>>;
  readonly #sorted = new Map<Namespace, readonly string[]>();

  constructor(tables?: Readonly<Record<Namespace, Rows>>) {
    this.#tables = tables ?? { objects: new Map(), hints: new Map(), meta: new Map(), merkle: new Map() };
  }

  copy(): DiskImage {
    const { objects, hints, meta, merkle } = this.#tables;
    return new DiskImage({
      objects: new Map(objects),
      hints: new Map(hints),
      meta: new Map(meta),
      merkle: new Map(merkle),
    });
  }

  get(ns: Namespace, key: Uint8Array): Uint8Array | undefined {
    return this.#tables[ns].get(textOf(key));
  }

  apply(operations: readonly StorageOperation[]): void {
    for (const operation of operations) {
      const { ns } = operation;
      const rows = this.#tables[ns];
      const key = textOf(operation.key);
      const isNew = !rows.has(key);
      if (operation.kind === "put") rows.set(key, operation.value);
      else rows.delete(key);
      if (isNew === (operation.kind === "put")) this.#sorted.delete(ns);
    }
  }

  page(ns: Namespace, request: PageRequest): Page {
    const { reverse = false, limit, maxBytes = Infinity, keysOnly = false } = request;
    const keys = this.#keysIn(ns, request);
    const inOrder = reverse ? keys.toReversed() : keys;
    const rows: Row[] = [];
    let bytes = 0;
    for (const key of inOrder) {
      if (rows.length >= limit || bytes >= maxBytes) break;
      const value = keysOnly ? new Uint8Array() : copyOf(this.#tables[ns].get(key)!);
      rows.push({ key: bytesOf(key), value });
      bytes += key.length + value.length;
    }
    if (rows.length === inOrder.length) return { rows, next: null };
    return { rows, next: bytesOf(reverse ? inOrder[rows.length - 1]! : inOrder[rows.length]!) };
  }

  clear(ns: Namespace, range: KeyRange): void {
    for (const key of this.#keysIn(ns, range)) this.#tables[ns].delete(key);
    this.#sorted.delete(ns);
  }

  /** Every row of a namespace, in order. */
  *rows(ns: Namespace): Iterable<Row> {
    for (const key of this.#keysIn(ns, {})) yield { key: bytesOf(key), value: this.#tables[ns].get(key)! };
  }

  /** Every record of a namespace, in order of the rows; `keyOf` makes the key of its row. */
  forEach(ns: Namespace, visit: (record: Uint8Array, keyOf: () => Uint8Array) => void): void {
    for (const key of this.#keysIn(ns, {})) visit(this.#tables[ns].get(key)!, () => bytesOf(key));
  }

  get bytes(): number {
    let bytes = 0;
    for (const ns of namespaces) for (const [key, value] of this.#tables[ns]) bytes += key.length + value.length;
    return bytes;
  }

  #keysIn(ns: Namespace, { gte, lt }: KeyRange): readonly string[] {
    let sorted = this.#sorted.get(ns);
    if (sorted === undefined) {
      sorted = [...this.#tables[ns].keys()].toSorted((a, b) => (a < b ? -1 : 1));
      this.#sorted.set(ns, sorted);
    }
    if (gte === undefined && lt === undefined) return sorted;
    const from = gte === undefined ? "" : textOf(gte);
    const to = lt === undefined ? undefined : textOf(lt);
    return sorted.filter((key) => key >= from && (to === undefined || key < to));
  }
}

/** One character a byte: such texts are ordered as their bytes are. */
export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
