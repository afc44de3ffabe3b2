/**
 * Keys whose record here was found damaged and is not yet mended from other replicas. Kept on disk as well: a new
 * write may replace the damaged record, and after a restart nothing else would tell that older values are missing.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import type { Key } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { StorageOperation } from "../ports.ts";
import type { Batch } from "./commits.ts";
import type { RecordStore } from "../storage/record-store.ts";

const prefix = "damaged/";
/** The byte after "/". */
const prefixEnd = "damaged0";

export class DamagedKeys {
  readonly #records: RecordStore;
  readonly #keys = new Set<Key>();

  constructor(records: RecordStore) {
    this.#records = records;
  }

  async open(): Promise<void> {
    let gte: Uint8Array | null = encodeUtf8(prefix);
    while (gte !== null) {
      const page = await this.#records.page("meta", { gte, lt: encodeUtf8(prefixEnd), limit: 1_000 });
      for (const row of page.rows) this.#keys.add(decodeUtf8(row.key).slice(prefix.length) as Key);
      gte = page.next;
    }
  }

  keys(): readonly Key[] {
    return [...this.#keys];
  }

  has(key: Key): boolean {
    return this.#keys.size > 0 && this.#keys.has(key);
  }

  note(key: Key): void {
    this.#keys.add(key);
  }

  noted(located: LocatedKey): StorageOperation {
    return { kind: "put", ns: "meta", key: encodeUtf8(prefix + located.key), value: new Uint8Array(0) };
  }

  /** The mark goes, and the damaged row with it where nothing replaces it. */
  mending(located: LocatedKey, { encoded }: { readonly encoded: Uint8Array | undefined }): Batch {
    const mark: StorageOperation = { kind: "delete", ns: "meta", key: encodeUtf8(prefix + located.key) };
    const row: StorageOperation = { kind: "delete", ns: "objects", key: located.row };
    return {
      operations: encoded === undefined ? [mark, row] : [mark],
      committed: () => void this.#keys.delete(located.key),
    };
  }
}
