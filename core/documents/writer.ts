/**
 * Makes the edits of a live document durable: those of up to 100 ms become one write. An edge has it before hosts do, and is
 * given the next one meanwhile: these wait there as one, which grows, so that a slow link carries one write at a time.
 * Invariants: an edit is unwritten, under way, or in an update that the node has; so none is lost while the document is
 * open, whatever writes fail. What is written contains what it folds.
 */
import * as Y from "yjs";
import { StoreError } from "../errors.ts";
import type { Clock, Random, Stop } from "../ports.ts";
import type { StoreNode, StoreWrite } from "../store-node.ts";
import { Cancellation, sleep } from "../store/cancel.ts";
import { backoffMs } from "../store/follow.ts";
import { documentType } from "../values/yjs-update.ts";
import type { Ahead } from "./ahead.ts";
import { atOnce, isWorthWhole, type LiveUpdate, toFold } from "./fold-plan.ts";

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

/** A write that the node has, and of which hosts have not said so. */
interface Unacknowledged {
  readonly dot: string;
  readonly since: Clocks | undefined;
  /** Ends the wait for hosts' answer: it is in a later write. */
  readonly waiting: Cancellation;
  /** Resolves when nobody waits for it any more. */
  readonly over: Promise<void>;
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
  /** In order; none is in a later one. */
  #unacknowledged: readonly Unacknowledged[] = [];
  /** Of the parts, when they were last compared with the whole: that costs as much as writing it. */
  #comparedBytes = 0;
  /** All is to be written, folding everything: of a document that was deleted beside an edit, say. */
  #whole = false;
  #waiting: Stop | undefined;
  #writing: Promise<void> | undefined;
  #failures = 0;
  /** Why the last try failed. */
  #failure: StoreError | undefined;
  /** Hosts have all of it durably, if too few of them. */
  #isKept = false;
  /** Dots of writes that hosts refused after the node had them: they stay parked until the whole is with it. */
  #refusedDots: readonly string[] = [];
  #problem: StoreError | undefined;

  constructor(deps: WriterDeps) {
    this.#deps = deps;
  }

  /** Every edit is acknowledged by hosts. */
  get isSettled(): boolean {
    return (
      this.#unwritten.length === 0 && !this.#whole && this.#writing === undefined && this.#unacknowledged.length === 0
    );
  }

  /** Why edits are not stored now; they are kept, and tried again with the next ones. */
  get problem(): StoreError | undefined {
    return this.#problem;
  }

  /** Why edits are not with the node, though it may take them yet. */
  get failure(): StoreError | undefined {
    return this.#failure;
  }

  /** What is not with the node is at hosts, durably: too few of them, which bring it to the others. */
  get isKept(): boolean {
    return this.#isKept;
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
    this.#isKept = false;
    this.#unwritten.push(update);
    this.#schedule();
    this.#deps.changed();
  }

  writeWhole(): void {
    this.#whole = true;
    this.#isKept = false;
    this.#schedule();
  }

  /** Resolves when all edits so far are with the node, or kept, or refused; or when that was tried for 15 s. */
  async flush(): Promise<void> {
    const { clock, closing } = this.#deps;
    const wanted = this.#added;
    const endMs = clock.now() + flushMsMax;
    while (!this.#isKept && (this.#writing !== undefined || this.#whole || this.#stored < wanted)) {
      this.#waiting?.();
      this.#waiting = undefined;
      const isTaken = this.#writing === undefined;
      await this.#begin();
      if (isTaken && (this.#problem !== undefined || closing.aborted || clock.now() > endMs)) return;
    }
  }

  /** Resolves when hosts have all that the node has, or cannot take it now; where it keeps nothing it may be worth another try. */
  acknowledged(): Promise<void> {
    const { node } = this.#deps;
    const mayTake = (): boolean => {
      const { connected, pending, delayed = 0, browser } = node.facts();
      return connected && (delayed === 0 || delayed < pending || browser?.storage === "memory");
    };
    return new Promise((resolve) => {
      const end = (): void => {
        stop();
        resolve();
      };
      const stop = node.onFacts(() => mayTake() || end());
      if (mayTake()) void Promise.all(this.#unacknowledged.map(({ over }) => over)).then(end);
      else end();
    });
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
      const pauseMs = this.#isKept ? backoffMs(this.#failures, this.#deps.random) : coalesceMs;
      if (isDue && !this.#deps.closing.aborted && this.#problem === undefined) this.#schedule(pauseMs);
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
        until: "local",
        ...(context === null ? {} : { context }),
      });
      this.#problem = undefined;
      this.#failure = undefined;
      this.#isKept = false;
      this.#stored += taken.length;
      this.#deps.ahead.stored(update.body);
      // A watch may have told it before it was answered.
      const others = this.#live.filter((each) => !folds.includes(each.dot) && each.dot !== write.dot);
      this.#live = [...others, { dot: write.dot, body: update.body }];
      this.#awaitHosts(write, update, isWhole);
      if (isWhole) await this.#discardRefused();
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.#failure = error;
      this.#isKept ||= this.#unwritten.length === 0 && !this.#whole && this.#keeps(error);
      this.#unwritten = [...taken, ...this.#unwritten];
      if (since !== undefined) this.#since = earlier(this.#since, since);
      this.#whole ||= isWhole || error.code === "value-too-large";
      this.#failures += 1;
      if (error.code === "value-too-large" && !isWhole) return; // without what was deleted it may fit
      if (!isPassing(error) || closing.aborted) {
        this.#problem = error;
        return;
      }
      if (!this.#isKept) await sleep(clock, backoffMs(this.#failures, random), closing);
    }
  }

  /** A host has what it could not bring to enough others; one in a page that keeps nothing does not count. */
  #keeps({ code, detail: { from = [] } }: StoreError): boolean {
    const { node } = this.#deps;
    const isLasting = node.facts().browser?.storage !== "memory";
    return code === "quorum-not-met" && from.some((id) => isLasting || id !== node.id);
  }

  #compose(taken: readonly Uint8Array[], since: Clocks | undefined, isWhole: boolean): Composed {
    const { doc, ahead, node } = this.#deps;
    const whole = { folds: atOnce(this.#live), since: undefined };
    // Where nobody has the document, or has it no more, nobody can build on a part of it.
    const isFirst = this.#live.length === 0;
    const folding = toFold(this.#live);
    if (isWhole || isFirst || folding.length > 0 || this.bytes > this.#comparedBytes * 1.05 + 512) {
      const body = Y.encodeStateAsUpdate(doc);
      const isWorth = isWhole || isFirst || isWorthWhole(this.bytes, body.length);
      this.#comparedBytes = isWorth ? body.length : this.bytes;
      if (isWorth) return { ...whole, body };
    }
    const last = this.#unacknowledged.at(-1);
    const isOffline = !node.facts().connected;
    // Of a document one write at a time is on its way: no host has one that waits for another.
    const isUnsent = folding.length === 0 && (isOffline || this.#unacknowledged.length > 1);
    const grows = isUnsent ? this.#live.filter(({ dot }) => dot === last?.dot) : [];
    if (grows.length > 0 && isOffline) return this.#growing(grows, last?.since, since);
    const below = ahead.below(taken, doc.clientID);
    const parts = [...below, ...taken];
    const from = below.length === 0 ? since : undefined;
    const folds = [...folding, ...grows];
    const merged = folds.length === 0 ? undefined : mergedOf([...folds.map(({ body }) => body), ...parts]);
    if (merged === undefined) return { body: Y.mergeUpdates(parts), folds: [], since: from };
    return { body: merged, folds, since: grows.length > 0 ? bothOf(last?.since, from) : undefined };
  }

  /** All since the last write that no host has, and since what is written now: adopted keystrokes may be older than that. */
  #growing(folds: readonly LiveUpdate[], unsentSince: Clocks | undefined, since: Clocks | undefined): Composed {
    const { doc, ahead } = this.#deps;
    const from = since === undefined ? unsentSince : bothOf(unsentSince, since);
    const body = updateSince(doc, from);
    if (ahead.below([body], doc.clientID).length === 0) return { body, folds, since: from };
    return { body: Y.encodeStateAsUpdate(doc), folds, since: undefined };
  }

  /** Unless they have it. What it contains is not waited for any more. */
  #awaitHosts(write: StoreWrite, { folds, since }: Composed, isWhole: boolean): void {
    const isIn = (each: Unacknowledged): boolean => folds.some(({ dot }) => dot === each.dot);
    const contained = this.#unacknowledged.filter(isIn);
    this.#unacknowledged = this.#unacknowledged.filter((each) => !isIn(each));
    for (const { waiting } of contained) waiting.abort();
    if (!write.receipt.localOnly) {
      this.#failures = 0;
      return;
    }
    const waiting = new Cancellation(this.#deps.closing);
    const done = (problem?: unknown): void => {
      waiting.release();
      this.#unacknowledged = this.#unacknowledged.filter((each) => each.waiting !== waiting);
      if (problem === undefined) this.#failures = 0;
      else if (problem instanceof StoreError && !waiting.aborted) this.#refused(problem, write.dot, isWhole);
      this.#deps.changed();
    };
    const over = write.until("quorum", { signal: waiting }).then(() => done(), done);
    this.#unacknowledged = [...this.#unacknowledged, { dot: write.dot, since, waiting, over }];
  }

  /** All that is in them is in a later write. */
  async #discardRefused(): Promise<void> {
    const { node, bucket, name } = this.#deps;
    const dots = this.#refusedDots;
    this.#refusedDots = [];
    for (const dot of dots) await node.discard({ bucket, name, dot }).catch(() => undefined);
  }

  /** By hosts, after the node had it. What was sent too long ago is `ParkedEdits`' to write anew, if at all. */
  #refused(error: StoreError, dot: string, isWhole: boolean): void {
    if (error.code !== "outcome-unknown") this.#refusedDots = [...this.#refusedDots, dot];
    const isTooLarge = error.code === "value-too-large";
    const isWorthAnother = isTooLarge ? !isWhole : isPassing(error) && error.code !== "outcome-unknown";
    this.#whole = true;
    this.#failures += 1;
    if (isWorthAnother) this.#schedule(backoffMs(this.#failures, this.#deps.random));
    else this.#problem = error;
  }
}

/** What came after both. */
function earlier(a: Clocks | undefined, b: Clocks): Clocks {
  if (a === undefined) return b;
  return new Map(
    [...a].flatMap(([client, clock]) => (b.has(client) ? [[client, Math.min(clock, b.get(client)!)]] : [])),
  );
}

/** Undefined: all. */
function bothOf(a: Clocks | undefined, b: Clocks | undefined): Clocks | undefined {
  return a && b && earlier(a, b);
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
