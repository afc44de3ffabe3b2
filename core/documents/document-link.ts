/**
 * Keeps a Y.Doc and a key in step (PROTOCOL 11): what others write appears in it, and what is edited in it is given to the node
 * within a tenth of a second, which brings it to hosts. The store's part is a value of kind yjs for each update
 * (`causality/version-set.ts`).
 * Invariant: the document holds every update that this node has been told of; one that Yjs cannot apply is told, and holds up
 * no other.
 */
import type { Awareness } from "y-protocols/awareness";
import * as Y from "yjs";
import { nodeDefaults } from "../config.ts";
import { StoreError } from "../errors.ts";
import type { CancelSignal, Clock, Random, Stop } from "../ports.ts";
import type { StoreChange, StoreNode } from "../store-node.ts";
import { Cancellation, sleep } from "../store/cancel.ts";
import { follow } from "../store/follow.ts";
import { type ErrorEvent, Listeners } from "../store/listeners.ts";
import { problemOfUpdate } from "../values/yjs-update.ts";
import { Ahead, hasBaseOf } from "./ahead.ts";
import type { LiveUpdate } from "./fold-plan.ts";
import { ParkedEdits } from "./parked-edits.ts";
import { SideChannel } from "./side-channel.ts";
import { Writer } from "./writer.ts";

/** The same object until something of it changes. */
export interface DocumentStatus {
  /** What this node has of it is in it. */
  readonly loaded: boolean;
  /** Every edit made here is acknowledged by hosts. */
  readonly settled: boolean;
  /** It was deleted, or never written. An edit here writes it again, whole. */
  readonly absent: boolean;
  /** Of its stored updates. */
  readonly bytes: number;
  /** These are more than 256 KiB: dividing it is worth a thought, for more than 1 MiB is refused. */
  readonly large: boolean;
  /** Why edits are not stored, or an update could not be read; those edits are kept here, and tried with the next one. */
  readonly problem?: StoreError;
}

export interface DocumentDeps {
  readonly node: StoreNode;
  readonly clock: Clock;
  readonly random: Random;
  readonly closing: CancelSignal;
  /** Hears which edits were not stored when their document was closed. */
  readonly onError: (event: ErrorEvent) => void;
}

/** Which document. */
export interface DocumentName {
  readonly bucket: string;
  readonly name: string;
}

/** Of somebody who types without a pause while one of his keystrokes is stored. */
const earlyMax = 200;
const emptyUpdate = Uint8Array.of(0, 0);
/** As long as a request may take: whoever closes a store wants it closed. */
const closeMsMax = 5_000;

/** Neither copy's classes know the other's objects. */
export function secondCopy(): StoreError {
  const why = "two copies of Yjs are loaded, the application's and everwrite's, and neither knows the other's types";
  return new StoreError("bad-request", `${why}: see \`npm ls yjs\`; a bundler wants \`resolve.dedupe: ['yjs']\``);
}

/** Made by `Store.link`. */
export class DocumentLink {
  readonly key: string;
  readonly doc: Y.Doc;
  readonly #deps: DocumentDeps;
  readonly #name: DocumentName;
  readonly #end: Cancellation;
  readonly #writer: Writer;
  readonly #ahead: Ahead;
  readonly #channel: SideChannel;
  readonly #parked: ParkedEdits;
  readonly #stopFacts: Stop;
  readonly #statusListeners = new Listeners<DocumentStatus>();
  readonly #onUpdate: (update: Uint8Array, origin: unknown, doc: Y.Doc, transaction: Y.Transaction) => void;
  /** Dots of the updates that are in it. */
  #applied: ReadonlySet<string> = new Set();
  #status: DocumentStatus = { loaded: false, settled: true, absent: true, bytes: 0, large: false };
  #loaded = false;
  #absent = true;
  #unreadable: StoreError | undefined;
  /** Keystrokes of others that were heard before those that they build on, which may never come: these are not taken. */
  #early: readonly Uint8Array[] = [];
  /** Why it is followed no more. */
  #ended: StoreError | undefined;
  readonly #onClosed: () => void;
  #closed: Promise<void> | undefined;

  /** @throws StoreError `bad-request`: the Y.Doc is of another copy of Yjs */
  constructor(deps: DocumentDeps, { bucket, name }: DocumentName, doc: Y.Doc, onClosed: () => void = () => {}) {
    // A copy that is loaded after everwrite's shows itself by nothing else.
    if (!(doc instanceof Y.Doc)) throw secondCopy();
    this.#deps = deps;
    this.#name = { bucket, name };
    this.#onClosed = onClosed;
    this.key = `${bucket}/${name}`;
    this.doc = doc;
    this.#end = new Cancellation(deps.closing);
    this.#ahead = new Ahead(deps, (update) => this.#writer.add(update, new Map()));
    this.#channel = new SideChannel({ ...deps, bucket, name, doc, heard: (update) => this.#hearAhead(update) });
    const changed = (): void => this.#refresh();
    this.#writer = new Writer({ ...deps, bucket, name, doc, ahead: this.#ahead, closing: this.#end, changed });
    const parked = { add: (edit: LiveUpdate) => this.#addParked(edit), write: () => this.#writeAll() };
    this.#parked = new ParkedEdits({ ...deps, ...parked, closing: this.#end }, this.#name);
    this.#stopFacts = deps.node.onFacts(() => this.#lookAtParked());
    this.#onUpdate = (update, origin, _doc, { beforeState }) => {
      if (origin === this) return;
      this.#channel.edited(update);
      this.#writer.add(update, beforeState);
    };
    doc.on("update", this.#onUpdate);
    doc.on("destroy", () => void this.close());
    void this.#follow(deps, bucket, name);
  }

  /** Resolves when what this node has of the document is in it. @throws StoreError `closed` before that, or why it cannot be read */
  get loaded(): Promise<void> {
    return this.#until(({ loaded }) => loaded);
  }

  /** Resolves when every edit made here is acknowledged by hosts. @throws StoreError as `loaded`, or why one is refused */
  get settled(): Promise<void> {
    return this.#until(({ loaded, settled }) => {
      if (this.#writer.problem !== undefined) throw this.#writer.problem;
      return loaded && settled;
    });
  }

  status(): DocumentStatus {
    return this.#status;
  }

  /** Tells each change of `status()`. */
  subscribeStatus(hear: (status: DocumentStatus) => void): Stop {
    return this.#statusListeners.add(hear);
  }

  /** Shows who is present here to the others, and them in it. Never stored. */
  share(awareness: Awareness): void {
    this.#channel.share(awareness);
  }

  /** Resolves when every edit so far is stored by this node. Never rejects: see `status().problem`. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /**
   * Stores what is unwritten, and ends the link; the document stays. As long as hosts may take it, it waits for them, too, 5 s in
   * all. What the node has not taken by then may be lost, what hosts refused is parked, and what a host could bring to too few
   * others is theirs to bring on: an `error` event of the store says which.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const stored = new Cancellation();
    await Promise.race([this.#handOver().finally(() => stored.abort()), sleep(this.#deps.clock, closeMsMax, stored)]);
    this.doc.off("update", this.#onUpdate);
    this.#stopFacts();
    this.#channel.end();
    this.#ahead.end();
    this.#end.abort();
    this.#refresh();
    this.#onClosed();
    const { isStored, problem } = this.#writer;
    if (!isStored || problem !== undefined) this.#deps.onError({ bucket: this.#name.bucket, error: this.#lost() });
  }

  /** What hosts refused as a part is given to the node once more, as a whole. */
  async #handOver(): Promise<void> {
    await this.#writer.flush();
    await this.#writer.acknowledged();
    await this.#writer.flush();
  }

  #lost(): StoreError {
    const { problem, failure, isKept } = this.#writer;
    const cause = problem ?? failure;
    const why = cause?.message ?? `this node did not take them in ${closeMsMax} ms`;
    const text = isKept
      ? "enough hosts had its last edits; those that have them bring them to the others"
      : "its last edits were stored; they may be lost";
    const { code = "outcome-unknown", detail } = cause ?? {};
    return new StoreError(code, `${this.key} was closed before ${text}: ${why}`, { ...detail, cause });
  }

  async #follow(deps: DocumentDeps, bucket: string, name: string): Promise<void> {
    const onError = (error: StoreError): void => this.#fail(error);
    try {
      for await (const change of follow(deps, { bucket, keys: { name }, onError }, this.#end)) this.#take(change);
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.#ended = error;
      this.#fail(error);
    }
  }

  #take({ siblings, deleted, context }: StoreChange): void {
    const live = siblings.filter(({ kind }) => kind === "yjs");
    const isAlone = live.length === siblings.length;
    // Updates replace none but those that they fold; with the context they would replace what else is there.
    this.#writer.told(live, isAlone && (deleted || live.length === 0) ? context : null);
    this.#unreadable = isAlone
      ? undefined
      : new StoreError("bad-request", `${this.key} holds values that are no document`);
    if (!this.#loaded && this.doc.store.clients.size > 0) this.#writeWhatIsNotIn(live);
    this.#apply(live);
    this.#addEarly();
    const hadAll = this.#loaded && !this.#absent;
    this.#loaded = true;
    this.#absent = live.length === 0;
    // An edit that was made beside a delete: of what it builds on only documents that were open then have the rest.
    if (deleted && hadAll) this.#writer.writeWhole();
    if (!hadAll) this.#lookAtParked();
    this.#refresh();
  }

  #lookAtParked(): void {
    if (this.#loaded) this.#parked.look();
  }

  #addParked(edit: LiveUpdate): boolean {
    if (this.#tryToAdd([edit]) !== undefined) return false;
    this.#writer.add(edit.body, new Map());
    return true;
  }

  async #writeAll(): Promise<boolean> {
    await this.#writer.flush();
    return this.#writer.isStored;
  }

  /** What was in the document before it was linked. */
  #writeWhatIsNotIn(live: readonly LiveUpdate[]): void {
    const own = Y.encodeStateAsUpdate(this.doc);
    const stored = live.length === 0 ? emptyUpdate : Y.mergeUpdates(live.map(({ body }) => body));
    const more = Y.diffUpdate(own, Y.encodeStateVectorFromUpdate(stored));
    if (Y.decodeUpdate(more).structs.length > 0) this.#writer.add(more, new Map());
  }

  /** Of others, and not stored yet. */
  #hearAhead(update: Uint8Array): void {
    if (problemOfUpdate(update) !== undefined) return;
    if (hasBaseOf(this.doc, update)) {
      this.#addHeard(update);
      this.#addEarly();
    } else this.#early = [...this.#early, update].slice(-earlyMax);
  }

  /** In the order in which they were heard. */
  #addEarly(): void {
    if (this.#early.length === 0) return;
    this.#early = this.#early.filter((update) => {
      if (!hasBaseOf(this.doc, update)) return true;
      this.#addHeard(update);
      return false;
    });
  }

  /** What Yjs cannot apply is told when it is stored. */
  #addHeard(update: Uint8Array): void {
    if (this.#tryToAdd([{ dot: "not stored", body: update }]) === undefined) this.#ahead.heard(update);
  }

  #apply(live: readonly LiveUpdate[]): void {
    const added = live.filter(({ dot }) => !this.#applied.has(dot));
    this.#add(added);
    for (const { body } of added) this.#ahead.stored(body);
    // Of updates that come one by one, before those that they build on, Yjs may keep some waiting though nothing is missing.
    if (this.doc.store.pendingStructs !== null) this.#add(live);
    this.#applied = new Set(live.map(({ dot }) => dot));
  }

  /** All at once; one by one where one of them is unsound, so that it holds up no other. */
  #add(updates: readonly LiveUpdate[]): void {
    if (updates.length === 0) return;
    if (this.#tryToAdd(updates) === undefined) return;
    for (const update of updates) this.#unreadable = this.#tryToAdd([update]) ?? this.#unreadable;
  }

  #tryToAdd(updates: readonly LiveUpdate[]): StoreError | undefined {
    try {
      const [first, ...others] = updates.map(({ body }) => body) as [Uint8Array, ...Uint8Array[]];
      Y.applyUpdate(this.doc, others.length === 0 ? first : Y.mergeUpdates([first, ...others]), this);
      return undefined;
    } catch (cause: unknown) {
      const text = `an update of ${this.key} (${updates[0]!.dot}) cannot be applied: ${String(cause)}`;
      return new StoreError("undecodable", text, { cause });
    }
  }

  #fail(problem: StoreError): void {
    this.#unreadable = problem;
    this.#refresh();
  }

  #refresh(): void {
    const problem = this.#writer.problem ?? this.#unreadable;
    const { bytes } = this.#writer;
    const next: DocumentStatus = {
      loaded: this.#loaded,
      settled: this.#writer.isSettled,
      absent: this.#absent,
      bytes,
      large: bytes > nodeDefaults.valueBytesWarn,
      ...(problem === undefined ? {} : { problem }),
    };
    const isSame =
      next.loaded === this.#status.loaded &&
      next.settled === this.#status.settled &&
      next.absent === this.#status.absent &&
      next.bytes === this.#status.bytes &&
      next.problem === this.#status.problem;
    if (!isSame) this.#status = Object.freeze(next);
    if (!isSame || this.#end.aborted) this.#statusListeners.tell(this.#status);
  }

  #until(holds: (status: DocumentStatus) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (status: DocumentStatus): void => {
        try {
          if (this.#end.aborted) throw new StoreError("closed", `the document ${this.key} was closed`);
          if (holds(status)) resolve();
          else if (this.#ended !== undefined && !status.loaded) throw this.#ended;
          else return;
        } catch (error: unknown) {
          reject(error);
        }
        stop();
      };
      const stop = this.#statusListeners.add(look);
      look(this.#status);
    });
  }
}
