/**
 * Whether the rows of the outbox tell which writes were sent. A full disk takes no row that says so, though it takes
 * deletes; and it is delivery that makes room. So a row in `meta` says from which write on the rows tell. Before a write is
 * sent of which only memory knows it, that row is deleted; the next write for which there is room brings it again.
 * Invariant: a write whose row does not tell, and for which this row does not vouch, may have been sent. So of what was in the outbox
 * when the disk was full, and still is after a restart, a write that was never sent counts as sent when it was accepted, for
 * a disk that takes nothing cannot tell the two apart: half the hosts' grace period later it is parked unless they know it.
 */
import { encodeUtf8 } from "lib0/string";
import { DecodeError, field, message, varint } from "../bytes/codec.ts";
import type { StorageOperation } from "../ports.ts";
import type { RecordStore } from "../storage/record-store.ts";

const VouchedRow = message("SentMarks", { from: field(1, varint) });
const vouchedRow = encodeUtf8("sent-marks");
/** Stays: an outbox without it is of an older version, which sent nothing before its row told. */
const begunRow = encodeUtf8("sent-marks-begun");

export class SentMarks {
  readonly #records: RecordStore;
  /** The first write for which is vouched; none: Infinity. */
  #from = 0;
  #isOnDisk = false;

  constructor(records: RecordStore) {
    this.#records = records;
  }

  async open(): Promise<void> {
    const [vouched, begun] = await this.#records.getMany("meta", [vouchedRow, begunRow]);
    this.#isOnDisk = vouched !== undefined;
    if (vouched !== undefined) this.#from = decoded(vouched);
    else if (begun !== undefined) this.#from = Infinity;
  }

  areKept(sequence: number): boolean {
    return sequence >= this.#from;
  }

  /**
   * To be committed with a new write, at once; should that fail, `notAdded`. Writes are counted anew after a restart that
   * found none, so its number may be below that of the row; it is above those of all writes there are.
   */
  adding(sequence: number): StorageOperation[] {
    if (this.#isOnDisk && this.areKept(sequence)) return [];
    this.#isOnDisk = true;
    this.#from = Math.min(this.#from, sequence);
    return [
      { kind: "put", ns: "meta", key: vouchedRow, value: VouchedRow.encode({ from: this.#from }) },
      { kind: "put", ns: "meta", key: begunRow, value: new Uint8Array(0) },
    ];
  }

  notAdded(): void {
    this.#isOnDisk = false;
  }

  /** From now on memory alone may know that writes are sent; durable when it resolves. */
  async lose(): Promise<void> {
    this.#from = Infinity;
    this.#isOnDisk = false;
    await this.#records.commit([{ kind: "delete", ns: "meta", key: vouchedRow }]);
  }
}

/** One that cannot be read vouches for nothing. */
function decoded(row: Uint8Array | "corrupt"): number {
  try {
    return row === "corrupt" ? Infinity : VouchedRow.decode(row).from;
  } catch (error: unknown) {
    if (!(error instanceof DecodeError)) throw error;
    return Infinity;
  }
}
