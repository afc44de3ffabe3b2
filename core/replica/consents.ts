/**
 * To which reaps this node consented: the reap mark of each, on the disk before anybody hears of the consent.
 * Being synced it also makes durable what the consent says of the disk: a hint that was deleted before cannot be back
 * after a power cut. A mark that this node learns of without having consented tells that it was reaped without it
 * (PROTOCOL 9, *Return*).
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { field, message, varint } from "../bytes/codec.ts";
import type { PartitionIndex } from "../identity.ts";
import type { RecordStore } from "../storage/record-store.ts";

const ConsentRow = message("ConsentRow", { known: field(1, varint), consented: field(2, varint) });

interface Consent {
  /** The highest mark that this node has taken note of. */
  readonly known: number;
  /** Of its last consent, carried out or not. Marks of attempts are drawn, so that no two have the same. */
  readonly consented: number;
}

const prefix = "reap-consent/";
/** The byte after "/". */
const prefixEnd = "reap-consent0";
const none: Consent = { known: 0, consented: 0 };

export class Consents {
  readonly #records: RecordStore;
  readonly #consents = new Map<PartitionIndex, Consent>();

  constructor(records: RecordStore) {
    this.#records = records;
  }

  async open(): Promise<void> {
    let gte: Uint8Array | null = encodeUtf8(prefix);
    while (gte !== null) {
      const page = await this.#records.page("meta", { gte, lt: encodeUtf8(prefixEnd), limit: 1_000 });
      for (const row of page.rows) {
        const partition = Number(decodeUtf8(row.key).slice(prefix.length)) as PartitionIndex;
        if (!("corrupt" in row)) this.#consents.set(partition, ConsentRow.decode(row.value));
      }
      gte = page.next;
    }
  }

  /** Whether this node consented to what raised the partition's mark to this, or has taken note of it since. */
  covers(partition: PartitionIndex, mark: number): boolean {
    const { known, consented } = this.#consents.get(partition) ?? none;
    return mark <= known || mark === consented;
  }

  /** Durable when it resolves. `markBefore` is covered. */
  consent(partition: PartitionIndex, markBefore: number, mark: number): Promise<void> {
    return this.#put(partition, { known: markBefore, consented: mark });
  }

  async #put(partition: PartitionIndex, consent: Consent): Promise<void> {
    const key = encodeUtf8(`${prefix}${partition}`);
    await this.#records.commit([{ kind: "put", ns: "meta", key, value: ConsentRow.encode(consent) }], "synced");
    this.#consents.set(partition, consent);
  }
}
