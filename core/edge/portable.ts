/**
 * Export and import of an edge: its copies, with the proofs that cover them, and its unsent writes.
 *
 * Imported copies are merged into those that are here, as far as they are news, and go nowhere: an edge pushes only what it
 * has written itself (PROTOCOL 9), so nothing can come back at hosts. Unsent writes of this very edge go into its outbox
 * again, under their dots, unless they are known here. They count as sent when they were exported: wherever the other copy
 * of them went, it is the same event, and after half the hosts' grace period only hosts that still cover it take it.
 * Another edge's cannot be sent under its dots, nor under new ones, for it may have sent them: they are parked, for the
 * application to write anew or to discard.
 *
 * A file is trusted as the application's own writes are: whoever can make one can write in its name. It is checked so far that
 * it cannot confuse the store.
 */
import { DecodeError } from "../bytes/codec.ts";
import { peekContext } from "../causality/context.ts";
import { encodeVersioned } from "../causality/encoding.ts";
import { StoreError } from "../errors.ts";
import { compareDots } from "../causality/version-set.ts";
import type { Key, NodeId } from "../identity.ts";
import {
  checkHead,
  type ExportHead,
  type ExportItem,
  exportStream,
  type ImportItem,
  readExport,
} from "../storage/export-stream.ts";
import type { ImportResult } from "../store-node.ts";
import type { Contact } from "./contact.ts";
import type { Copies } from "./copies.ts";
import type { Local } from "./local.ts";
import { type Outbox, OutboxRow, OutboxWrite } from "./outbox.ts";

export interface PortableDeps {
  readonly self: NodeId;
  readonly cluster: string;
  readonly contact: Contact;
  readonly copies: Copies;
  readonly local: Local;
  readonly outbox: Outbox;
}

export function exportEdge(deps: PortableDeps): AsyncGenerator<Uint8Array, void, undefined> {
  const { self, cluster, contact } = deps;
  const head = {
    cluster,
    node: self,
    kind: "edge",
    atMs: contact.wallMs,
    partitions: 0,
    marks: new Uint8Array(0),
    foundings: [],
  } as const;
  return exportStream(head, itemsOf(deps));
}

/** Writes first: one that is acknowledged meanwhile is among the copies then. */
async function* itemsOf({ contact, copies, local, outbox }: PortableDeps): AsyncGenerator<ExportItem> {
  const writes = [...outbox.all()];
  for (const { row } of writes) yield { kind: "write", row: OutboxRow.encode(row) };
  // To look at a copy moves it to the end of these.
  const keys = [...copies.keys()];
  for (const key of keys) {
    const { state, contexts } = await local.copy(contact.locate(key));
    if (state.vector.length > 0) yield { kind: "state", key, state: encodeVersioned(state), contexts };
  }
}

/** `taken`: something of the key is here that may be news. @throws StoreError `bad-request`, `overloaded`, `storage-full` */
export async function importIntoEdge(
  deps: PortableDeps,
  source: AsyncIterable<Uint8Array>,
  taken: (key: Key) => void,
): Promise<ImportResult> {
  let head: ExportHead | undefined;
  let [keys, writes, failed] = [0, 0, 0];
  for await (const item of readExport(source)) {
    if (item.kind === "head") checkHead((head = item.head), deps.cluster);
    else if (item.kind === "end") failed = item.damaged;
    else if (item.kind === "state") {
      taken(await takeCopy(deps, item));
      keys += 1;
    } else {
      const key = await takeWrite(deps, head!, item.row);
      if (key === undefined) continue;
      taken(key);
      writes += 1;
    }
  }
  return { keys, writes, outdated: 0, failed };
}

async function takeCopy(
  { contact, local }: PortableDeps,
  { key, state, contexts }: ImportItem & { readonly kind: "state" },
): Promise<Key> {
  for (const context of contexts) peekChecked(context, key);
  const located = contact.locate(key);
  const asked = await local.copy(located);
  await local.heard(located, { asked, state, contexts }, false);
  return key;
}

function peekChecked(context: string, key: Key): void {
  try {
    peekContext(context, key);
  } catch (cause: unknown) {
    if (!(cause instanceof StoreError)) throw cause;
    throw new StoreError("bad-request", `this export has a context that is none of ${key}`, { cause });
  }
}

/** Undefined: it is known here. */
async function takeWrite(
  { self, contact, local }: PortableDeps,
  { node, atMs }: ExportHead,
  encoded: Uint8Array,
): Promise<Key | undefined> {
  const { row, key, dot } = writeOf(self, encoded);
  const isOwn = node === self;
  // A parked one may be another edge's, of an earlier import.
  if (isOwn && row.error === undefined && compareDots(dot, row.value.dot) !== 0)
    throw new StoreError("bad-request", `this export has a write of ${key} whose value is that of another event`);
  const error = { code: "outcome-unknown", message: `${node} had yet to send it when it was exported` };
  const taken = isOwn ? { ...row, sentMs: row.sentMs ?? atMs } : { ...row, error: row.error ?? error };
  return (await local.takeOver(contact.locate(key), taken, row.value.dot)) ? key : undefined;
}

/** @throws StoreError `bad-request` */
function writeOf(self: NodeId, encoded: Uint8Array): OutboxWrite {
  try {
    return new OutboxWrite(self, 0, OutboxRow.decode(encoded.slice()));
  } catch (cause: unknown) {
    if (!(cause instanceof DecodeError || cause instanceof StoreError)) throw cause;
    throw new StoreError("bad-request", `this export has an unsent write that cannot be read: ${cause.message}`, {
      cause,
    });
  }
}
