/**
 * An edge's copies of the keys that it uses: what hosts have told of them, with the sealed contexts that cover it. Rows in
 * `objects`, under the key's row as at a host (`copy-row.ts`). Own writes that no host has acknowledged are not in them
 * (`outbox.ts`).
 * Invariants: a copy is covered by its contexts; together copies stay below `copyBytesMax`, least recently used first to
 * go, but never one on which an unsent write builds nor one that is watched, which may exceed it; what is forgotten ends the actor that it names.
 */
import { encodeUtf8 } from "lib0/string";
import { DecodeError } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { Recent } from "../bytes/recent.ts";
import { clockDigest } from "../causality/clock.ts";
import { coversAll, merge, nothing } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { keyOfRow, type LocatedKey, locateRow } from "../placement/locate.ts";
import type { StorageOperation } from "../ports.ts";
import { edgeContextsMax } from "../rpc/common-messages.ts";
import type { RecordStore } from "../storage/record-store.ts";
import type { Telemetry } from "../telemetry.ts";
import { type Copy, encodeCopy, parsePart, partRange, readCopy } from "./copy-row.ts";
import { noEvidence, unite } from "./evidence.ts";
import type { OwnActor } from "./own-actor.ts";

export const noCopy: Copy = { state: nothing, contexts: [] };

export interface CopiesDeps {
  readonly self: NodeId;
  readonly records: RecordStore;
  readonly actor: OwnActor;
  readonly telemetry: Telemetry;
  /** An unsent write builds on the copy, or somebody watches the key. */
  readonly isPinned: (key: Key) => boolean;
}

/** What lies on the disk of a copy. */
interface Stored {
  readonly row: Uint8Array;
  /** With its parts. */
  readonly bytes: number;
  /** Names of its parts: all that may be there. */
  readonly parts: ReadonlySet<string>;
  /** All parts are there, and sound. */
  readonly areThere: boolean;
}

interface Change {
  readonly operations: readonly StorageOperation[];
  /** Undefined: nothing is left. */
  readonly stored: Stored | undefined;
}

/** Beside the row, in memory: map entries, the decoded objects. */
const entryOverheadBytes = 512;
const pageRows = 1_000;

export class Copies {
  readonly #deps: CopiesDeps;
  readonly #bytesMax: number;
  readonly #cache: Recent<Key, { readonly copy: Copy; readonly bytes: number }>;
  /** Least recently used first. */
  readonly #rows = new Map<Key, Stored>();
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
        const bytes = each.key.length + ("value" in each ? each.value.length : 0);
        if (key !== undefined) this.#note(key, { row: each.key, bytes, parts: new Set(), areThere: true });
      }
      gte = page.next;
    }
    await this.#openParts();
  }

  /** Those of no copy were left by an older release, which knows none. */
  async #openParts(): Promise<void> {
    const strays: StorageOperation[] = [];
    for (let gte: Uint8Array | null = partRange.gte; gte !== null;) {
      const page = await this.#deps.records.page("meta", { ...partRange, gte, limit: pageRows, keysOnly: true });
      for (const { key: row } of page.rows) {
        const { name, bytes, key } = parsePart(row);
        const known = this.#rows.get(key);
        if (known === undefined) strays.push({ kind: "delete", ns: "meta", key: row });
        else this.#note(key, { ...known, bytes: known.bytes + bytes, parts: new Set([...known.parts, name]) });
      }
      gte = page.next;
    }
    if (strays.length > 0) await this.#deps.records.commit(strays, { durability: "buffered" });
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
  async get(located: LocatedKey): Promise<Copy> {
    const { key } = located;
    const known = this.#rows.get(key);
    if (known === undefined) return noCopy;
    this.#rows.delete(key);
    this.#rows.set(key, known);
    const cached = this.#cache.get(key);
    if (cached !== undefined) return cached.copy;
    const copy = await this.#read(located);
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
    const both = { state, contexts };
    return isSameCopy(copy, both) ? copy : both;
  }

  /** What a quorum told counts alone: what the copy had besides may be deleted and forgotten by all hosts. */
  replaced(copy: Copy, told: Copy): Copy {
    if (!coversAll(told.state.vector, copy.state.vector)) this.#deps.actor.forget(copy.state);
    return told;
  }

  /**
   * Commits the copy with what belongs to the same change. On a full disk it is in memory alone, once `ifFull` has done what
   * there is to do.
   */
  async store(
    located: LocatedKey,
    copy: Copy,
    { more, ifFull }: { readonly more: readonly StorageOperation[]; readonly ifFull: () => unknown },
  ): Promise<void> {
    const { key } = located;
    const { operations, stored } = this.#change(located, copy);
    try {
      await this.#deps.records.commit([...more, ...operations], { durability: "buffered" });
      this.#set(key, copy, stored);
    } catch (error: unknown) {
      this.#doubt(key);
      if (!(error instanceof StoreError) || error.code !== "storage-full") throw error;
      await ifFull();
      const before = this.#rows.get(key)?.parts ?? [];
      this.#set(key, copy, stored && { ...stored, parts: new Set([...before, ...stored.parts]), areThere: false });
    }
  }

  /** To be committed: nothing of it remains on the disk. */
  removing(located: LocatedKey): readonly StorageOperation[] {
    return this.#change(located, noCopy).operations;
  }

  #change({ key, row }: LocatedKey, copy: Copy): Change {
    const known = this.#rows.get(key);
    const isEmpty = copy.state.vector.length === 0;
    const { row: value, parts } = encodeCopy(key, copy);
    const partRow = (name: string) => ({ ns: "meta", key: encodeUtf8(name) }) as const;
    const gone = [...(known?.parts ?? [])].filter((name) => !parts.has(name));
    const added = [...parts].filter(([name]) => known?.areThere !== true || !known.parts.has(name));
    const operations: readonly StorageOperation[] = [
      ...gone.map((name) => ({ kind: "delete", ...partRow(name) }) as const),
      ...added.map(([name, body]) => ({ kind: "put", ...partRow(name), value: body }) as const),
      isEmpty ? { kind: "delete", ns: "objects", key: row } : { kind: "put", ns: "objects", key: row, value },
    ];
    if (isEmpty) return { operations, stored: undefined };
    const bytes = [...parts.values()].reduce((sum, { length }) => sum + length, value.length + row.length);
    return { operations, stored: { row, bytes, parts: new Set(parts.keys()), areThere: true } };
  }

  /** What has to go, least recently used first, as long as there is too much. */
  *toEvict(): Generator<Key> {
    for (const key of this.#rows.keys()) {
      if (this.#bytes <= this.#bytesMax) return;
      if (!this.#deps.isPinned(key)) yield key;
    }
  }

  /** Within the key's queue: nothing else is done with the copy meanwhile. */
  async evict(located: LocatedKey): Promise<void> {
    const { key } = located;
    if (this.#deps.isPinned(key)) return;
    const { copy } = this.#cache.get(key) ?? { copy: await this.#read(located) };
    this.#deps.actor.forget(copy.state);
    const removal = this.removing(located);
    this.#forget(key);
    await this.#deps.records.commit(removal, { durability: "buffered" });
  }

  async #read(located: LocatedKey): Promise<Copy> {
    const { key } = located;
    try {
      return (await readCopy(this.#deps.records, located)) ?? noCopy;
    } catch (error: unknown) {
      const isDamaged = error instanceof DecodeError || (error instanceof StoreError && error.code === "corrupt");
      if (!isDamaged) throw error;
      this.#deps.telemetry.event({ kind: "corrupt-record", where: `the copy of ${key}: ${error.message}` });
      this.#deps.actor.drop();
      this.#doubt(key);
      return noCopy;
    }
  }

  #set(key: Key, copy: Copy, stored: Stored | undefined): void {
    this.#forget(key);
    if (stored === undefined) return;
    this.#note(key, stored);
    this.#cache.set(key, { copy, bytes: stored.bytes });
  }

  /** The next change writes all parts. */
  #doubt(key: Key): void {
    const known = this.#rows.get(key);
    if (known !== undefined) this.#rows.set(key, { ...known, areThere: false });
  }

  #note(key: Key, stored: Stored): void {
    this.#bytes += stored.bytes - (this.#rows.get(key)?.bytes ?? 0);
    this.#rows.set(key, stored);
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
  return contexts.join() === other.contexts.join();
}
