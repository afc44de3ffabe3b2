/**
 * An edge's copies of the keys that it uses: what hosts have told of them, with the sealed contexts that cover it. Rows in
 * `objects`, under the key's row as at a host. Own writes that no host has acknowledged are not in them (`outbox.ts`).
 * Invariants: a copy is covered by its contexts; together copies stay below `copyBytesMax`, least recently used first to
 * go, but never one on which an unsent write builds nor one that is watched, which may exceed it; what is forgotten ends the actor that it names.
 */
import { DecodeError, field, message, repeated } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { Recent } from "../bytes/recent.ts";
import { clockDigest } from "../causality/clock.ts";
import { versioned } from "../causality/encoding.ts";
import { coversAll, merge, nothing, type Versioned } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { keyOfRow, type LocatedKey, locateRow } from "../placement/locate.ts";
import type { StorageOperation } from "../ports.ts";
import { contextText, edgeContextsMax } from "../rpc/common-messages.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Telemetry } from "../telemetry.ts";
import { noEvidence, unite } from "./evidence.ts";
import type { OwnActor } from "./own-actor.ts";

export interface Copy {
  readonly state: Versioned;
  /** Sealed by hosts; none of them covers another. */
  readonly contexts: readonly string[];
}

export const noCopy: Copy = { state: nothing, contexts: [] };

const CopyRow = message("EdgeCopy", {
  state: field(1, versioned),
  contexts: repeated(2, contextText, edgeContextsMax),
});

export interface CopiesDeps {
  readonly self: NodeId;
  readonly records: RecordStore;
  readonly actor: OwnActor;
  readonly telemetry: Telemetry;
  /** An unsent write builds on the copy, or somebody watches the key. */
  readonly isPinned: (key: Key) => boolean;
}

/** Beside the row, in memory: map entries, the decoded objects. */
const entryOverheadBytes = 512;
const pageRows = 1_000;

export class Copies {
  readonly #deps: CopiesDeps;
  readonly #bytesMax: number;
  readonly #cache: Recent<Key, { readonly copy: Copy; readonly bytes: number }>;
  /** Bytes of each row on the disk, least recently used first. */
  readonly #rows = new Map<Key, { readonly row: Uint8Array; readonly bytes: number }>();
  #bytes = 0;

  constructor(deps: CopiesDeps, options: { readonly copyBytesMax: number; readonly cacheBytesMax: number }) {
    this.#deps = deps;
    this.#bytesMax = options.copyBytesMax;
    this.#cache = new Recent(options.cacheBytesMax, (key, { bytes: size }) => entryOverheadBytes + key.length + size);
  }

  /** Learns which copies there are; they count as used long ago. */
  async open(): Promise<void> {
    for (let gte: Uint8Array | null = new Uint8Array(0); gte !== null;) {
      const page = await this.#deps.records.page("objects", { gte, limit: pageRows });
      for (const each of page.rows) {
        // Of a damaged one the key may be lost too: hosts have what it held.
        const key = "value" in each ? keyOfRow(each.key) : locateRow(each.key, 1)?.key;
        if (key !== undefined) this.#note(key, each.key, "value" in each ? each.value.length : 0);
      }
      gte = page.next;
    }
  }

  /** Of the rows on the disk. */
  get bytes(): number {
    return this.#bytes;
  }

  keys(): IterableIterator<Key> {
    return this.#rows.keys();
  }

  has(key: Key): boolean {
    return this.#rows.has(key);
  }

  /** A damaged copy is none: hosts have what it held. */
  async get({ key, row }: LocatedKey): Promise<Copy> {
    const known = this.#rows.get(key);
    if (known === undefined) return noCopy;
    this.#rows.delete(key);
    this.#rows.set(key, known);
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached.copy;
    const copy = await this.#read(key, row);
    if (copy !== noCopy) this.#cache.set(key, { copy, bytes: known.bytes });
    return copy;
  }

  /** Adds what hosts told; what is the same stays the same object. */
  merged(key: Key, copy: Copy, told: Copy): Copy {
    const state = merge(copy.state, told.state);
    const parts = [copy, told].map(({ contexts }) => ({ ...noEvidence, contexts }));
    const { contexts } = unite({ edge: this.#deps.self, key }, parts);
    // More contexts than a write may carry: hosts have disagreed for long. What they say now counts.
    if (contexts.length > edgeContextsMax) return this.replaced(copy, told);
    return isSameCopy(copy, { state, contexts }) ? copy : { state, contexts };
  }

  /** What a quorum told counts alone: what the copy had besides may be deleted and forgotten by all hosts. */
  replaced(copy: Copy, told: Copy): Copy {
    if (!coversAll(told.state.vector, copy.state.vector)) this.#deps.actor.forget(copy.state);
    return told;
  }

  digest({ state }: Copy): Uint8Array {
    return clockDigest(state);
  }

  /** To be committed with what belongs to the same change; then `stored`. */
  operation({ row }: LocatedKey, copy: Copy): StorageOperation {
    if (copy.state.vector.length === 0) return { kind: "delete", ns: "objects", key: row };
    const value = CopyRow.encode(copy);
    return { kind: "put", ns: "objects", key: row, value };
  }

  /** The operation is committed. */
  stored({ key, row }: LocatedKey, copy: Copy, operation: StorageOperation): void {
    this.#forget(key);
    if (operation.kind === "delete") return;
    this.#note(key, row, operation.value.length);
    this.#cache.set(key, { copy, bytes: operation.value.length });
  }

  /** What has to go, least recently used first, as long as there is too much. */
  *toEvict(): Generator<Key> {
    for (const key of this.#rows.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      if (!this.#deps.isPinned(key)) yield key;
    }
  }

  /** Within the key's queue: nothing else is done with the copy meanwhile. */
  async evict({ key, row }: LocatedKey): Promise<void> {
    if (this.#deps.isPinned(key)) return;
    const { copy } = this.#cache.get(key) ?? { copy: await this.#read(key, row) };
    this.#deps.actor.forget(copy.state);
    this.#forget(key);
    await this.#deps.records.commit([{ kind: "delete", ns: "objects", key: row }], { durability: "buffered" });
  }

  async #read(key: Key, row: Uint8Array): Promise<Copy> {
    try {
      const encoded = await this.#deps.records.get("objects", row);
      if (encoded === undefined) return noCopy;
      const { state, contexts } = CopyRow.decode(encoded);
      return { state, contexts };
    } catch (error: unknown) {
      const isDamaged = error instanceof DecodeError || (error instanceof StoreError && error.code === "corrupt");
      if (!isDamaged) throw error;
      this.#deps.telemetry.event({ kind: "corrupt-record", where: `the copy of ${key}: ${error.message}` });
      this.#deps.actor.drop();
      return noCopy;
    }
  }

  #note(key: Key, row: Uint8Array, size: number): void {
    this.#rows.set(key, { row, bytes: size + row.length });
    this.#bytes += size + row.length;
  }

  #forget(key: Key): void {
    this.#bytes -= this.#rows.get(key)?.bytes ?? 0;
    this.#rows.delete(key);
    this.#cache.delete(key);
  }
}

export function isSameCopy(a: Copy, b: Copy): boolean {
  return a.state === b.state && areSameContexts(a, b);
}

/** Also of one that was read from the disk twice, since memory had no room for it. */
export function isEqualCopy(a: Copy, b: Copy): boolean {
  return a === b || (areSameContexts(a, b) && equalBytes(clockDigest(a.state), clockDigest(b.state)));
}

function areSameContexts({ contexts }: Copy, other: Copy): boolean {
  return contexts.length === other.contexts.length && contexts.every((text, i) => text === other.contexts[i]);
}
