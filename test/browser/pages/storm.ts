/** Writes as fast as it can until it is killed, and tells in an acknowledgement which writes were acknowledged. */
import { openIndexedDbStorage } from "../../../core/browser/indexeddb-storage.ts";
import { RecordStore, type RecordPage } from "../../../core/storage/record-store.ts";
import { put, text } from "../../conformance/storage.ts";
import { expose } from "../expose.ts";
import { badTransactions, seenTransactions, type SeenTransaction } from "../transactions.ts";

export interface Storm {
  /** Begins the name of each write. */
  readonly round: string;
  readonly inFlight: number;
  /** The acknowledgement in which the report is sent. */
  readonly reportAt: number;
  /** Where it is sent to. */
  readonly path: string;
}

export interface Report {
  readonly acknowledged: readonly string[];
  readonly transactions: number;
  readonly bad: readonly SeenTransaction[];
}

/** So much in one flush that it takes longer than a kill: then a write that is acknowledged too early is seen to be lost. */
const valueBytes = 60_000;
const flush = { flushBytesMax: 16 * 1024 * 1024, flushOperationsMax: 1_000 };
const pageRows = 1_000;
const name = "storm";

const functions = {
  async write({ round, inFlight, reportAt, path }: Storm): Promise<void> {
    const store = new RecordStore(await openIndexedDbStorage({ name }), flush);
    const acknowledged: string[] = [];
    let next = 0;
    const lane = async (): Promise<never> => {
      for (;;) {
        const id = `${round}.${next++}`;
        await store.commit([put(text(id), valueOf(id))]);
        acknowledged.push(id);
        if (acknowledged.length === reportAt) report(path, acknowledged);
      }
    };
    await Promise.all(Array.from({ length: inFlight }, lane));
  },

  /** Names of the rows that are there, and of those that are not what was written; they are deleted afterwards. */
  async takeRows(): Promise<{ readonly whole: string[]; readonly damaged: string[] }> {
    const store = new RecordStore(await openIndexedDbStorage({ name }));
    const whole: string[] = [];
    const damaged: string[] = [];
    let gte: Uint8Array | null = text("");
    while (gte !== null) {
      const page: RecordPage = await store.page("objects", { gte, limit: pageRows });
      for (const row of page.rows) {
        const id = new TextDecoder().decode(row.key);
        const isWhole = "value" in row && new TextDecoder().decode(row.value) === new TextDecoder().decode(valueOf(id));
        (isWhole ? whole : damaged).push(id);
      }
      gte = page.next;
    }
    await store.clear("objects", {});
    await store.close();
    return { whole, damaged };
  },
};

export type Functions = typeof functions;

expose(functions);

/** Synchronous: nothing of this page, and nothing that it has asked for, goes on before the answer, which never comes. */
function report(path: string, acknowledged: readonly string[]): void {
  const seen = seenTransactions();
  const body: Report = { acknowledged, transactions: seen.length, bad: badTransactions(seen) };
  const request = new XMLHttpRequest();
  request.open("POST", path, false);
  request.send(JSON.stringify(body));
}

function valueOf(id: string): Uint8Array {
  return text(`${id};`.repeat(valueBytes).slice(0, valueBytes));
}
