/**
 * Writes with a `request` that hosts have acknowledged: who asked may not have heard of it before this node's run ended, and
 * asks the next one. Rows in `meta`, written in the batch that takes the write out of the outbox: so a request is always
 * found in one of the two. Without the body, which the asker has.
 * Invariant: the latest `answeredMax` are kept; a request that comes again after more than these is a new write.
 */
import { decodeUtf8, encodeUtf8 } from "lib0/string";
import { DecodeError, field, message, repeated, varint } from "../bytes/codec.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import type { StorageOperation } from "../ports.ts";
import { Hinted, nodeText } from "../rpc/messages.ts";
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
const noBody = new Uint8Array(0);

export class Answered {
  readonly #edge: NodeId;
  readonly #records: RecordStore;
  /** Of which there are rows, oldest first; those of former runs before those of this one. */
  readonly #requests = new Set<string>();

  constructor(deps: { readonly self: NodeId; readonly records: RecordStore }) {
    this.#edge = deps.self;
    this.#records = deps.records;
  }

  async open(): Promise<void> {
    const gte = encodeUtf8(prefix);
    const lt = encodeUtf8(`${prefix}~`);
    const { rows } = await this.#records.page("meta", { gte, lt, limit: 2 * answeredMax, keysOnly: true });
    for (const { key } of rows) this.#requests.add(decodeUtf8(key.subarray(prefix.length)));
  }

  /** To be committed with their removal from the outbox. */
  adding(writes: readonly OutboxWrite[], ack: Ack): StorageOperation[] {
    const operations: StorageOperation[] = [];
    for (const { row } of writes) {
      if (row.request === undefined) continue;
      const write = { ...row, value: { ...row.value, body: noBody } };
      const value = AnsweredRow.encode({ write, ...ack });
      operations.push({ kind: "put", ns: "meta", key: keyOf(row.request), value });
      this.#requests.add(row.request);
    }
    for (const request of this.#requests) {
      if (this.#requests.size <= answeredMax) break;
      this.#requests.delete(request);
      operations.push({ kind: "delete", ns: "meta", key: keyOf(request) });
    }
    return operations;
  }

  /** @throws StoreError `corrupt`: it was answered, and how cannot be read; `bad-request`: the request was for another key */
  async find(key: Key, request: string, body: Uint8Array | undefined): Promise<OutboxWrite | undefined> {
    if (!this.#requests.has(request)) return undefined;
    const bytes = await this.#records.get("meta", keyOf(request));
    if (bytes === undefined) return undefined;
    const { write: row, durable, hinted, needed, got } = decoded(bytes, request);
    if (row.key !== key)
      throw new StoreError("bad-request", `the request ${request} was one for ${row.key}, not ${key}`);
    const write = new OutboxWrite(this.#edge, 0, { ...row, value: { ...row.value, body: body ?? noBody } });
    write.ack = { durable: durable as readonly NodeId[], hinted: hinted as Ack["hinted"], needed, got };
    return write;
  }
}

function keyOf(request: string): Uint8Array {
  return encodeUtf8(prefix + request);
}

function decoded(bytes: Uint8Array, request: string) {
  try {
    return AnsweredRow.decode(bytes.slice());
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new StoreError("corrupt", `what became of the request ${request} cannot be read`, { cause });
  }
}
