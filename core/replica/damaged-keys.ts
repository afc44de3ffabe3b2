/**
 * Keys whose record here was found damaged and is not yet mended from other replicas. Kept on disk as well: a new
 * write may replace the damaged record, and after a restart nothing else would tell that older values are missing.
 * A mark can rot as well, its key included: then any record may have been the one, and none counts as whole.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { toHex } from "../bytes/hex.ts";
import { parseKey } from "../bytes/key.ts";
import { StoreError } from "../errors.ts";
import type { Key } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import type { StorageOperation } from "../ports.ts";
import type { Batch } from "./commits.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Telemetry } from "../telemetry.ts";

const prefix = "damaged/";
/** The byte after "/". */
const prefixEnd = "damaged0";

export class DamagedKeys {
  readonly #records: RecordStore;
  readonly #telemetry: Telemetry;
  readonly #keys = new Set<Key>();
  /** Rows of marks of which nobody knows what they mark. */
  #lost: readonly Uint8Array[] = [];

  constructor({ records, telemetry }: { readonly records: RecordStore; readonly telemetry: Telemetry }) {
    this.#records = records;
    this.#telemetry = telemetry;
  }

  /** False: a mark cannot be read, so that any record may lack older values. */
  async open(): Promise<boolean> {
    const lost: Uint8Array[] = [];
    let isWhole = true;
    let gte: Uint8Array | null = encodeUtf8(prefix);
    while (gte !== null) {
      const page = await this.#records.page("meta", { gte, lt: encodeUtf8(prefixEnd), limit: 1_000 });
      for (const row of page.rows) {
        const key = "corrupt" in row ? undefined : keyOf(row.key);
        if (key === undefined) lost.push(row.key);
        else this.#keys.add(key);
      }
      if (page.damaged) isWhole = false;
      gte = page.next;
    }
    for (const row of lost) {
      const where = `the mark ${toHex(row)} of a damaged record: everything is filled anew`;
      this.#telemetry.event({ kind: "corrupt-record", where });
    }
    this.#lost = lost;
    return isWhole && lost.length === 0;
  }

  /** Such marks go when `save` has ended: the disk has it then that all which they may have marked is filled anew. */
  async dropLost(save: () => Promise<void>): Promise<void> {
    if (this.#lost.length === 0) return;
    await save();
    await this.#records.commit(this.#lost.map((key) => ({ kind: "delete", ns: "meta", key })));
    this.#lost = [];
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

/** Undefined: it is none. */
function keyOf(row: Uint8Array): Key | undefined {
  try {
    return parseKey(decodeUtf8(row).slice(prefix.length));
  } catch (error: unknown) {
    if (error instanceof StoreError || error instanceof TypeError) return undefined;
    throw error;
  }
}
