/**
 * Writes that hosts have not acknowledged, durable before anything else happens to them: the edge's hints, addressed to
 * "the owners" (PROTOCOL 7). Rows in `hints`, under a number of 8 bytes that counts up: so the order of the rows is that of
 * the writes. A dot names one write for ever, across restarts too; what becomes of an unsent one is another event
 * (`new-dots.ts`). All are in memory, within `outboxBytesMax`.
 *
 * A row tells when the write was first sent, and is written before that (on a full disk memory tells it: `sent-marks.ts`):
 * one that was never sent is delivered at any age, one that was sent without an answer only for a while (`delivery.ts`). Until
 * then its stamp and its expiry may change, for they are minted anew by the hosts' time (PROTOCOL 3). A parked row is kept
 * for the application.
 * Invariant: a write leaves the outbox when W hosts have it, or a later one that has seen it, or when it is discarded.
 */
import {
  bool,
  completed,
  DecodeError,
  field,
  type Infer,
  message,
  optional,
  repeated,
  text,
  varint,
} from "../bytes/codec.ts";
import { parseKey } from "../bytes/key.ts";
import { dot, liveValue } from "../causality/encoding.ts";
import { compareDots, type Coverage, type Dot } from "../causality/version-set.ts";
import { StoreError, type StoreErrorCode, statusOfCode } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { foldsMax } from "../limits.ts";
import type { StorageOperation } from "../ports.ts";
import { edgeOwnEventsMax, OwnEvent } from "../rpc/edge-messages.ts";
import { contextText, edgeContextsMax, keyText } from "../rpc/common-messages.ts";
import type { RecordRow, RecordStore } from "../storage/record-store.ts";
import type { Telemetry } from "../telemetry.ts";
import { coverageOf, dotOf } from "./evidence.ts";
import { SentMarks } from "./sent-marks.ts";

/** Many times what is under way of one key when tabs change hands: only then is it asked for again. */
export const takenMax = 64;

const StoredRow = message("OutboxWrite", {
  key: field(1, keyText),
  event: field(2, OwnEvent),
  value: field(3, liveValue),
  contexts: repeated(4, contextText, edgeContextsMax),
  own: repeated(5, OwnEvent, edgeOwnEventsMax),
  w: field(6, text(16)),
  pw: optional(7, text(16)),
  /** When it was accepted, and when it was first sent: by the hosts' clocks as known then, ms since 1970. */
  acceptedMs: field(8, varint),
  sentMs: optional(9, varint),
  /** Of an update of a document: others that are contained in it, and the event of its actor that it follows. */
  folds: repeated(14, dot, foldsMax),
  previous: optional(15, varint),
  /** It is parked. */
  error: optional(10, message("ParkedFor", { code: field(1, text(64)), message: field(2, text(4_096)) })),
  /** When it was accepted by this node's own clock, ms since 1970. */
  clockMs: optional(11, varint),
  /** What hosts' values that were known then, or were seen, are stamped: its own exceeds that. */
  floor: optional(12, varint),
  /** Its stamp is just above what it has seen, whatever the time. */
  renews: optional(13, bool),
  /** Its asker's name for it: see `answered.ts`. */
  request: optional(16, text(16)),
  /** Other writes that it has taken in, the latest: their requests, and their events of its actor. */
  taken: repeated(17, message("TakenWrite", { request: field(1, text(16)), counter: field(2, varint) }), takenMax),
});

/** In a row of an older version 11 to 13 are missing: then its own clock was taken for the hosts'. */
export const OutboxRow = completed(StoredRow, (row) => ({
  ...row,
  clockMs: row.clockMs ?? row.acceptedMs,
  floor: row.floor ?? 0,
  renews: row.renews ?? false,
}));
export type OutboxRow = Infer<typeof OutboxRow>;

/** What hosts answered. */
export interface Ack {
  readonly durable: readonly NodeId[];
  readonly hinted: readonly { readonly for: NodeId; readonly at: NodeId }[];
  readonly needed: number;
  readonly got: number;
}

/** One write, from its acceptance on; those who wait for it keep it after it has left the outbox. */
export class OutboxWrite {
  readonly sequence: number;
  readonly key: Key;
  readonly #edge: NodeId;
  coverage: Coverage;
  dot: Dot;
  row: OutboxRow;
  ack: Ack | undefined;
  /** A host may have it: by an answer, by a silence, or as an earlier run has sent it. */
  mayBeOut = false;
  /** How often a host could not make sense of it, and how often hosts refused its stamp. */
  misread = 0;
  skewed = 0;
  /** Requests with it, or with one that stands for it, that are under way. */
  sends = 0;
  readonly #listeners = new Set<() => void>();

  constructor(edge: NodeId, sequence: number, row: OutboxRow) {
    this.sequence = sequence;
    this.#edge = edge;
    this.row = row;
    this.key = parseKey(row.key);
    const own = dotOf({ edge, key: this.key }, row.event);
    // A parked one may be another edge's, of an import: it keeps the name that others know it by.
    this.dot = row.error === undefined ? own : row.value.dot;
    this.coverage = coverageOf({ edge, key: this.key }, row);
  }

  get parkedFor(): StoreError | undefined {
    const { error } = this.row;
    if (error === undefined) return undefined;
    return new StoreError(
      Object.hasOwn(statusOfCode, error.code) ? (error.code as StoreErrorCode) : "internal",
      error.message,
    );
  }

  /** Neither acknowledged nor parked. */
  get isPending(): boolean {
    return this.ack === undefined && this.row.error === undefined;
  }

  get bytes(): number {
    return this.row.value.body.length + rowOverheadBytes;
  }

  /** The counter of the event that was asked for under the request: its own, or that of a write that it has taken in. */
  counterOf(request: string): number | undefined {
    const { event, taken } = this.row;
    if (this.row.request === request) return event.counter;
    return taken.find((each) => each.request === request)?.counter;
  }

  /** Its row is another one from now on; where that is another event, no host has seen it. */
  become(row: OutboxRow): void {
    const { dot } = row.value;
    if (compareDots(dot, this.dot) !== 0) this.mayBeOut = false;
    Object.assign(this, { row, dot, coverage: coverageOf({ edge: this.#edge, key: this.key }, row) });
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** Hosts take a write from nobody else, and may have it. */
const ofAnother = { code: "outcome-unknown", message: "the identity under which it was written is lost" };
const rowOverheadBytes = 1_024;
const sequenceBytes = 8;
const pageRows = 256;

export interface OutboxDeps {
  readonly self: NodeId;
  readonly records: RecordStore;
  readonly telemetry: Telemetry;
}

export class Outbox {
  readonly #deps: OutboxDeps;
  readonly #bytesMax: number;
  readonly #marks: SentMarks;
  /** In order. */
  readonly #byKey = new Map<Key, readonly OutboxWrite[]>();
  readonly #all = new Map<number, OutboxWrite>();
  /** Among them; the others are pending, for what is acknowledged is removed at once. */
  readonly #parked = new Set<OutboxWrite>();
  readonly #listeners = new Set<() => void>();
  #next = 1;
  #bytes = 0;

  constructor(deps: OutboxDeps, options: { readonly outboxBytesMax: number }) {
    this.#deps = deps;
    this.#bytesMax = options.outboxBytesMax;
    this.#marks = new SentMarks(deps.records);
  }

  /** What an earlier run left. A damaged row is told and kept, as evidence of a write that is lost. */
  async open(): Promise<void> {
    await this.#marks.open();
    for (let gte: Uint8Array | null = new Uint8Array(0); gte !== null;) {
      const page = await this.#deps.records.page("hints", { gte, limit: pageRows });
      for (const row of page.rows) this.#load(row);
      gte = page.next;
    }
  }

  #load(row: RecordRow): void {
    const sequence = sequenceOf(row.key);
    if (sequence === undefined) return this.#corrupt("a row of the outbox", `its key has ${row.key.length} bytes`);
    this.#next = Math.max(this.#next, sequence + 1);
    try {
      if ("corrupt" in row) throw new DecodeError("its checksum is wrong");
      const stored = OutboxRow.decode(row.value.slice());
      const isTold = stored.sentMs !== undefined || this.#marks.areKept(sequence);
      // It was sent later than that, if at all.
      const told = isTold ? stored : { ...stored, sentMs: stored.acceptedMs };
      const own = new OutboxWrite(this.#deps.self, sequence, told);
      const isOwn = compareDots(own.dot, told.value.dot) === 0;
      const write = isOwn ? own : new OutboxWrite(this.#deps.self, sequence, { ...told, error: ofAnother });
      write.mayBeOut = told.sentMs !== undefined;
      this.#put(write);
    } catch (error: unknown) {
      if (!(error instanceof DecodeError || error instanceof StoreError)) throw error;
      this.#corrupt(`write ${sequence} of the outbox`, error.message);
    }
  }

  #corrupt(what: string, reason: string): void {
    this.#deps.telemetry.event({ kind: "corrupt-record", where: `${what}: ${reason}` });
  }

  /** Durable when it resolves. @throws StoreError `overloaded`: the outbox is full, `storage-full` */
  async add(row: OutboxRow): Promise<OutboxWrite> {
    const write = new OutboxWrite(this.#deps.self, this.#next, row);
    this.#checkRoom(write.bytes);
    this.#next += 1;
    this.#bytes += write.bytes;
    try {
      await this.#deps.records.commit([this.#saving(write), ...this.#marks.adding(write.sequence)]);
    } catch (error: unknown) {
      this.#marks.notAdded();
      throw error;
    } finally {
      this.#bytes -= write.bytes;
    }
    this.#put(write);
    this.#tell();
    return write;
  }

  /** Several at once, in one flush: each row becomes what `change` makes of it, in order. */
  async mark(writes: readonly OutboxWrite[], change: (write: OutboxWrite) => OutboxRow): Promise<void> {
    const before = writes.map(({ row }) => row);
    this.#bytes -= bytesOf(writes);
    for (const write of writes) write.row = change(write);
    try {
      await this.#deps.records.commit(writes.map((write) => this.#saving(write)));
    } catch (error: unknown) {
      for (const [i, write] of writes.entries()) write.row = before[i]!;
      throw error;
    } finally {
      this.#bytes += bytesOf(writes);
    }
    this.#marked(writes);
  }

  /** As `mark`, of writes that are about to be sent. */
  async markSent(writes: readonly OutboxWrite[], change: (write: OutboxWrite) => OutboxRow): Promise<void> {
    try {
      await this.mark(writes, change);
    } catch (error: unknown) {
      if (!isFull(error)) throw error;
      await this.#marks.lose();
      for (const write of writes) write.row = change(write);
      this.#marked(writes);
    }
  }

  #marked(writes: readonly OutboxWrite[]): void {
    for (const write of writes) {
      if (write.row.error !== undefined) this.#parked.add(write);
      write.changed();
    }
    this.#tell();
  }

  /** Writes become what these rows say, all or none, in their places. @throws StoreError as `add` */
  async become(rows: ReadonlyMap<OutboxWrite, OutboxRow>): Promise<void> {
    const saving = [...rows].map(([{ sequence }, row]) => this.#saving({ sequence, row }));
    const more = [...rows].reduce((sum, [{ row }, next]) => sum + next.value.body.length - row.value.body.length, 0);
    this.#checkRoom(more);
    this.#bytes += more;
    try {
      await this.#deps.records.commit(saving);
    } catch (error: unknown) {
      this.#bytes -= more;
      throw error;
    }
    for (const [write, row] of rows) {
      write.become(row);
      write.changed();
    }
    this.#tell();
  }

  /** @throws StoreError `overloaded` */
  #checkRoom(bytes: number): void {
    if (bytes <= 0 || this.#bytes + bytes <= this.#bytesMax) return;
    const full = `${this.#all.size} writes (${this.#bytes} bytes) wait for hosts`;
    throw new StoreError("overloaded", `the outbox is full: ${full}`);
  }

  /** No host has seen it after all. Where the disk is full only memory knows. */
  async unmark(write: OutboxWrite): Promise<void> {
    const { sentMs, ...row } = write.row;
    if (sentMs === undefined) return;
    write.row = row;
    try {
      await this.#deps.records.commit([this.#saving(write)], { durability: "buffered" });
    } catch (error: unknown) {
      if (!isFull(error)) throw error;
    }
  }

  /** To be committed with what follows from it; then `removed`. */
  removing(writes: readonly OutboxWrite[]): StorageOperation[] {
    return writes.map(({ sequence }) => ({ kind: "delete", ns: "hints", key: keyOf(sequence) }));
  }

  removed(writes: readonly OutboxWrite[]): void {
    for (const write of writes) {
      if (!this.#all.delete(write.sequence)) continue;
      this.#parked.delete(write);
      this.#bytes -= write.bytes;
      const left = this.of(write.key).filter((other) => other !== write);
      if (left.length === 0) this.#byKey.delete(write.key);
      else this.#byKey.set(write.key, left);
      write.changed();
    }
    this.#tell();
  }

  /** Of a key, in order, parked ones too. */
  of(key: Key): readonly OutboxWrite[] {
    return this.#byKey.get(key) ?? [];
  }

  keys(): IterableIterator<Key> {
    return this.#byKey.keys();
  }

  all(): IterableIterator<OutboxWrite> {
    return this.#all.values();
  }

  /** How many wait for hosts, and how many are sent no more: asked after every write, so nothing is gone through for it. */
  get counts(): { readonly pending: number; readonly parked: number } {
    return { pending: this.#all.size - this.#parked.size, parked: this.#parked.size };
  }

  /** Of those that wait for hosts. */
  get oldest(): OutboxWrite | undefined {
    for (const write of this.#all.values()) if (!this.#parked.has(write)) return write;
    return undefined;
  }

  /** Called after each change. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #put(write: OutboxWrite): void {
    this.#all.set(write.sequence, write);
    if (write.row.error !== undefined) this.#parked.add(write);
    this.#byKey.set(write.key, [...this.of(write.key), write]);
    this.#bytes += write.bytes;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #saving({ sequence, row }: Pick<OutboxWrite, "sequence" | "row">): StorageOperation {
    return { kind: "put", ns: "hints", key: keyOf(sequence), value: OutboxRow.encode(row) };
  }
}

function isFull(error: unknown): boolean {
  return error instanceof StoreError && error.code === "storage-full";
}

function bytesOf(writes: readonly OutboxWrite[]): number {
  return writes.reduce((sum, { bytes }) => sum + bytes, 0);
}

function keyOf(sequence: number): Uint8Array {
  const key = new Uint8Array(sequenceBytes);
  new DataView(key.buffer).setBigUint64(0, BigInt(sequence));
  return key;
}

/** Undefined: it is none. */
function sequenceOf(key: Uint8Array): number | undefined {
  if (key.length !== sequenceBytes) return undefined;
  const sequence = Number(new DataView(key.buffer, key.byteOffset).getBigUint64(0));
  return sequence < Number.MAX_SAFE_INTEGER ? sequence : undefined;
}
