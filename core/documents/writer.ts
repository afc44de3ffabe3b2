/**
 * Makes the edits of a live document durable: those of up to 100 ms become one write, one write at a time.
 * Invariants: an edit is unwritten, under way, or in an update that the node has; so none is lost while the document is
 * open, whatever writes fail. What is written contains what it folds.
 */
import * as Y from "yjs";
import { StoreError } from "../errors.ts";
import type { Clock, Random, Stop } from "../ports.ts";
import type { StoreNode, StoreWrite } from "../store-node.ts";
import { Cancellation, sleep } from "../store/cancel.ts";
import { backoffMs } from "../store/follow.ts";
import type { Ahead } from "./ahead.ts";
import { atOnce, isWorthWhole, type LiveUpdate, toFold } from "./fold-plan.ts";

/** Of a document and of the updates that it is made of; as Yjs itself writes them. */
export const documentType = "application/yjs";

/** What an edit waits for others at most, before it is written with them. */
const coalesceMs = 100;

interface WriterDeps {
  readonly node: StoreNode;
  readonly clock: Clock;
  readonly random: Random;
  readonly bucket: string;
  readonly name: string;
  readonly doc: Y.Doc;
  readonly ahead: Ahead;
  readonly closing: Cancellation;
  /** `isSettled`, `problem` or `bytes` may have changed. */
  readonly changed: () => void;
}

/** The last write, as long as no host has it: what follows goes into it. */
interface Unsent {
  readonly dot: string;
  readonly since: Clocks | undefined;
  /** Ends the wait for hosts' answer: it is in a later write. */
  readonly waiting: Cancellation;
}

/** Of clients: a state vector. Of an update: all of it came after this, as the document had it then; undefined: not so. */
type Clocks = ReadonlyMap<number, number>;

/** What is to be written. */
interface Composed {
  readonly body: Uint8Array;
  readonly folds: readonly LiveUpdate[];
  readonly since: Clocks | undefined;
}

/** As an application's `update` goes on trying. */
const flushMsMax = 15_000;

export class Writer {
  readonly #deps: WriterDeps;
  #live: readonly LiveUpdate[] = [];
  #context: string | null = null;
  #unwritten: Uint8Array[] = [];
  /** Of the document before the first unwritten edit. */
  #since: Clocks | undefined;
  /** Edits, and those of them that are with the node. */
  #added = 0;
  #stored = 0;
  #unsent: Unsent | undefined;
  /** Of the parts, when they were last compared with the whole: that costs as much as writing it. */
  #comparedBytes = 0;
  /** All is to be written, folding everything: of a document that was deleted beside an edit, say. */
  #whole = false;
  #waiting: Stop | undefined;
  #writing: Promise<void> | undefined;
  #unacknowledged = 0;
  #failures = 0;
  #problem: StoreError | undefined;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  /** Every edit is acknowledged by hosts. */
  get isSettled(): boolean {
    return this.#unwritten.length === 0 && !this.#whole && this.#writing === undefined && this.#unacknowledged === 0;
  }

  /** Why edits are not stored now; they are kept, and tried again with the next ones. */
  get problem(): StoreError | undefined {
    return this.#problem;
  }

  /** Every edit is with the node. */
  get isStored(): boolean {
    return this.#stored === this.#added;
  }

  /** Of all live updates. */
  get bytes(): number {
    return this.#live.reduce((sum, { body }) => sum + body.length, 0);
  }

  /** The node's latest word on the document. `context`: of what a write is to replace. */
  told(live: readonly LiveUpdate[], context: string | null): void {
    this.#live = live;
    this.#context = context;
  }

  /** `before`: clocks of the clients before it; none, where that is not known. */
  add(update: Uint8Array, before: Clocks): void {
    this.#since = earlier(this.#since, before);
    this.#added += 1;
    this.#unwritten.push(update);
    this.#schedule();
    this.#deps.changed();
  }

  writeWhole(): void {
    this.#whole = true;
    this.#schedule();
  }

  /** Resolves when all edits so far are with the node, or refused; or when that was tried for 15 s. */
  async flush(): Promise<void> {
    const { clock, closing } = this.#deps;
    const wanted = this.#added;
    const endMs = clock.now() + flushMsMax;
    while (this.#writing !== undefined || this.#whole || this.#stored < wanted) {
      this.#waiting?.();
      this.#waiting = undefined;
      const isTaken = this.#writing === undefined;
      await this.#begin();
      if (isTaken && (this.#problem !== undefined || closing.aborted || clock.now() > endMs)) return;
    }
  }

  #schedule(afterMs = coalesceMs): void {
    if (this.#waiting !== undefined || this.#writing !== undefined) return;
    this.#waiting = this.#deps.clock.after(afterMs, () => {
      this.#waiting = undefined;
      void this.#begin();
    });
  }

  #begin(): Promise<void> {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
      const isDue = this.#unwritten.length > 0 || this.#whole;
      if (isDue && !this.#deps.closing.aborted && this.#problem === undefined) this.#schedule();
      this.#deps.changed();
    });
    return this.#writing;
  }

  /** Never rejects: what fails is a problem, and kept. */
  async #write(): Promise<void> {
    const { node, bucket, name, clock, random, closing } = this.#deps;
    const taken = this.#unwritten;
    const since = this.#since;
    const isWhole = this.#whole;
    this.#unwritten = [];
    this.#since = undefined;
    this.#whole = false;
    const update = this.#compose(taken, since, isWhole);
    const folds = update.folds.map(({ dot }) => dot);
    const context = this.#context;
    try {
      const write = await node.put(bucket, name, update.body, {
        kind: "yjs",
        contentType: documentType,
        folds,
        ...(context === null ? {} : { context }),
      });
      this.#failures = 0;
      this.#problem = undefined;
      this.#stored += taken.length;
      this.#deps.ahead.stored(update.body);
      // A watch may have told it before it was answered.
      const others = this.#live.filter((each) => !folds.includes(each.dot) && each.dot !== write.dot);
      this.#live = [...others, { dot: write.dot, body: update.body }];
      this.#noteUnsent(write, folds, update.since);
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.#unwritten = [...taken, ...this.#unwritten];
      if (since !== undefined) this.#since = earlier(this.#since, since);
      this.#whole ||= isWhole || error.code === "value-too-large";
      this.#failures += 1;
      if (error.code === "value-too-large" && !isWhole) return; // without what was deleted it may fit
      if (!isPassing(error) || closing.aborted) {
        this.#problem = error;
        return;
      }
      await sleep(clock, backoffMs(this.#failures, random), closing);
    }
  }

  #compose(taken: readonly Uint8Array[], since: Clocks | undefined, isWhole: boolean): Composed {
    const { doc, ahead } = this.#deps;
    const unsent = this.#unsent;
    const whole = { folds: atOnce(this.#live), since: undefined };
    // Where nobody has the document, or has it no more, nobody can build on a part of it.
    if (isWhole || this.#live.length === 0) return { ...whole, body: Y.encodeStateAsUpdate(doc) };
    const folding = toFold(this.#live);
    if (folding.length > 0 || this.bytes > this.#comparedBytes * 1.05 + 512) {
      const body = Y.encodeStateAsUpdate(doc);
      const isWorth = isWorthWhole(this.bytes, body.length);
      this.#comparedBytes = isWorth ? body.length : this.bytes;
      if (isWorth) return { ...whole, body };
    }
    const grows = unsent === undefined || folding.length > 0 ? [] : this.#live.filter(({ dot }) => dot === unsent.dot);
    if (grows.length > 0) return this.#growing(grows, unsent?.since, since);
    const below = ahead.below(taken, doc.clientID);
    const parts = [...below, ...taken];
    const merged = folding.length === 0 ? undefined : mergedOf([...folding.map(({ body }) => body), ...parts]);
    if (merged !== undefined) return { body: merged, folds: folding, since: undefined };
    return { body: Y.mergeUpdates(parts), folds: [], since: below.length === 0 ? since : undefined };
  }

  /** All since the last write that no host has, and since what is written now: adopted keystrokes may be older than that. */
  #growing(folds: readonly LiveUpdate[], unsentSince: Clocks | undefined, since: Clocks | undefined): Composed {
    const { doc, ahead } = this.#deps;
    const from = unsentSince && since ? earlier(unsentSince, since) : unsentSince;
    const body = updateSince(doc, from);
    if (ahead.below([body], doc.clientID).length === 0) return { body, folds, since: from };
    return { body: Y.encodeStateAsUpdate(doc), folds, since: undefined };
  }

  /** Later edits go into it, as `since` says. Of writes that are contained in one another the last alone is waited for. */
  #noteUnsent(write: StoreWrite, folds: readonly string[], since: Clocks | undefined): void {
    const { dot, receipt } = write;
    const before = this.#unsent;
    if (before !== undefined && folds.includes(before.dot)) before.waiting.abort();
    this.#unsent = undefined;
    if (!receipt.localOnly) return;
    const waiting = new Cancellation(this.#deps.closing);
    const unsent = { dot, since, waiting };
    this.#unsent = unsent;
    this.#unacknowledged += 1;
    const done = (problem?: unknown): void => {
      waiting.release();
      this.#unacknowledged -= 1;
      if (this.#unsent === unsent) this.#unsent = undefined;
      if (problem instanceof StoreError && !waiting.aborted) {
        this.#problem = problem;
        this.#whole = true;
      }
      this.#deps.changed();
    };
    write.until("quorum", { signal: waiting }).then(() => done(), done);
  }
}

/** What came after both. */
function earlier(a: Clocks | undefined, b: Clocks): Clocks {
  if (a === undefined) return b;
  return new Map(
    [...a].flatMap(([client, clock]) => (b.has(client) ? [[client, Math.min(clock, b.get(client)!)]] : [])),
  );
}

function updateSince(doc: Y.Doc, since: Clocks | undefined): Uint8Array {
  return Y.encodeStateAsUpdate(doc, since && Y.encodeStateVector(new Map(since)));
}

/** Undefined where Yjs cannot: an update that is stored and unsound must not hold up edits. */
function mergedOf(updates: Uint8Array[]): Uint8Array | undefined {
  try {
    return Y.mergeUpdates(updates);
  } catch {
    return undefined;
  }
}

/** Worth another try without the application. */
const passing: ReadonlySet<string> = new Set([
  "quorum-not-met",
  "not-ready",
  "not-member",
  "overloaded",
  "outcome-unknown",
]);

function isPassing({ code }: StoreError): boolean {
  return passing.has(code) || code === "too-many-siblings" || code === "bad-context";
}
