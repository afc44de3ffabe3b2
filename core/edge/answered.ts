/**
 * Writes with a `request` that hosts have acknowledged: who asked may not have heard of it before this node's run ended, and
 * asks the next one. Rows in `meta`, written in the batch that takes the write out of the outbox: so a request is always
 * found in one of the two. Without the body, which the asker has.
 * Invariant: the latest `answeredMax` are kept; a request that comes again after more than these is a new write, and so is one
 * that was answered while the disk had no room left for the row.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { DecodeError, field, message, repeated, varint } from "../bytes/codec.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import type { StorageOperation } from "../ports.ts";
import { Hinted, nodeText } from "../rpc/common-messages.ts";
import type { RecordStore } from "../storage/record-store.ts";
import { type Ack, OutboxRow, OutboxWrite } from "./outbox.ts";

const AnsweredRow = message("AnsweredWrite", {
  write: field(1, OutboxRow),
  durable: repeated(2, nodeText, 64),
  hinted: repeated(3, Hinted, 64),
  needed: field(4, varint),
  got: field(5, varint),
});

/** Many times what is under way at once when tabs change hands. */
const answeredMax = 1_024;
const prefix = "answered ";
const requestDigits = 16;
/** Of a time in ms, for ten thousand years. */
const timeDigits = 12;
const noBody = new Uint8Array(0);

export class Answered {
  readonly #edge: NodeId;
  readonly #records: RecordStore;
  /** The key of each one's row, in the order of the keys: oldest first, those of former runs, too. */
  readonly #rows = new Map<string, Uint8Array>();

  constructor(deps: { readonly self: NodeId; readonly records: RecordStore }) {
    this.#edge = deps.self;
    this.#records = deps.records;
  }

  async open(): Promise<void> {
    const lt = encodeUtf8(`${prefix}~`);
    for (let gte: Uint8Array | null = encodeUtf8(prefix); gte !== null;) {
      const page = await this.#records.page("meta", { gte, lt, limit: answeredMax, keysOnly: true });
      for (const { key } of page.rows) this.#rows.set(decodeUtf8(key).slice(-requestDigits), key);
      gte = page.next;
    }
  }

  /** To be committed with their removal from the outbox. */
  adding(writes: readonly OutboxWrite[], ack: Ack): StorageOperation[] {
    const operations: StorageOperation[] = [];
    for (const write of writes.flatMap(askedFor)) {
      const value = AnsweredRow.encode({ write, ...ack });
      const key = keyOf(write.request, write.acceptedMs);
      operations.push({ kind: "put", ns: "meta", key, value });
      this.#rows.set(write.request, key);
    }
    for (const [request, key] of this.#rows) {
      if (this.#rows.size <= answeredMax) break;
      this.#rows.delete(request);
      operations.push({ kind: "delete", ns: "meta", key });
    }
    return operations;
  }

  /** @throws StoreError `corrupt`: it was answered, and how cannot be read; `bad-request`: the request was for another key */
  async find(key: Key, request: string, body: Uint8Array | undefined): Promise<OutboxWrite | undefined> {
    const row = this.#rows.get(request);
    const bytes = row && (await this.#records.get("meta", row));
    if (bytes === undefined) return undefined;
    const { write: known, durable, hinted, needed, got } = decoded(bytes, request);
    if (known.key !== key)
      throw new StoreError("bad-request", `the request ${request} was one for ${known.key}, not ${key}`);
    const write = new OutboxWrite(this.#edge, 0, { ...known, value: { ...known.value, body: body ?? noBody } });
    write.ack = { durable: durable as readonly NodeId[], hinted: hinted as Ack["hinted"], needed, got };
    write.mayBeOut = true;
    return write;
  }
}

/**
 * Without their bodies. A write that was taken in by one that contains it is known as the event that it was, of the same actor:
 * whoever covers the later one covers it, so to repeat it copies what hosts have of the later one.
 */
function askedFor({ row }: OutboxWrite): (OutboxRow & { readonly request: string })[] {
  const value = { ...row.value, body: noBody };
  const { actor } = value.dot;
  const former = { ...row, contexts: [], own: [], folds: [], taken: [] };
  const taken = row.taken.map(({ request, counter }) => ({
    ...former,
    request,
    event: { ...row.event, counter },
    value: { ...value, dot: { actor, counter } },
  }));
  return row.request === undefined ? taken : [...taken, { ...row, request: row.request, value, taken: [] }];
}

/** In the order of their times. */
function keyOf(request: string, acceptedMs: number): Uint8Array {
  return encodeUtf8(prefix + acceptedMs.toString(16).padStart(timeDigits, "0") + request);
}

function decoded(bytes: Uint8Array, request: string) {
  try {
    return AnsweredRow.decode(bytes.slice());
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new StoreError("corrupt", `what became of the request ${request} cannot be read`, { cause });
  }
}
