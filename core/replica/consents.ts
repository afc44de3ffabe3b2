/**
 * To which forgetting this node consented: the mark of each reap, of keys or of none, on the disk before anybody hears of it.
 * Being synced it also makes durable what the consent says of the disk: a hint that was deleted before cannot be back
 * after a power cut. And a mark that this node learns of without a consent tells that something of its partition was
 * forgotten without it: the data are an old copy (PROTOCOL 9, *Return*).
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { field, message, varint } from "../bytes/codec.ts";
import type { PartitionIndex } from "../identity.ts";
import type { ForgettingMarks } from "../membership/roster.ts";
import type { RecordStore } from "../storage/record-store.ts";

const ConsentRow = message("ConsentRow", { mark: field(1, varint) });

const prefix = "reap-consent/";
/** The byte after "/". */
const prefixEnd = "reap-consent0";

export class Consents {
  readonly #records: RecordStore;
  /** As this node's own roster had them at its start: what it held then it held under these. */
  readonly #known: Map<PartitionIndex, number>;
  /** Of the last consent, carried out or not. Marks are drawn, so that no two attempts have the same. */
  readonly #consented = new Map<PartitionIndex, number>();

  constructor(records: RecordStore, known: ForgettingMarks) {
    this.#records = records;
    this.#known = new Map(known);
  }

  async open(): Promise<void> {
    let gte: Uint8Array | null = encodeUtf8(prefix);
    while (gte !== null) {
      const page = await this.#records.page("meta", { gte, lt: encodeUtf8(prefixEnd), limit: 1_000 });
      for (const row of page.rows) {
        const partition = Number(decodeUtf8(row.key).slice(prefix.length)) as PartitionIndex;
        if (!("corrupt" in row)) this.#consented.set(partition, ConsentRow.decode(row.value).mark);
      }
      gte = page.next;
    }
  }

  /** Durable when it resolves. `markBefore`: the partition's mark as all who consent know it. */
  async consent(partition: PartitionIndex, markBefore: number, mark: number): Promise<void> {
    const key = encodeUtf8(`${prefix}${partition}`);
    await this.#records.commit([{ kind: "put", ns: "meta", key, value: ConsentRow.encode({ mark }) }]);
    this.#known.set(partition, markBefore);
    this.#consented.set(partition, mark);
  }

  /** It may be that something of the partition is being forgotten: under a mark that has yet to be heard of here. */
  mayForget(partition: PartitionIndex, marks: ForgettingMarks): boolean {
    return (this.#consented.get(partition) ?? 0) > (marks.get(partition) ?? 0);
  }

  /** Partitions whose mark was raised without this node; each is told once. */
  takeUncovered(marks: ForgettingMarks): PartitionIndex[] {
    const uncovered: PartitionIndex[] = [];
    for (const [partition, mark] of marks) {
      if (mark <= (this.#known.get(partition) ?? 0)) continue;
      if (mark !== this.#consented.get(partition)) uncovered.push(partition);
      this.#known.set(partition, mark);
    }
    return uncovered;
  }
}
