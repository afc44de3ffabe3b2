/**
 * A live Y.Doc on a key: what others write appears in it, and what is edited in it is stored, at once here and within a tenth
 * of a second at the hosts (PROTOCOL 11). The store's part is a value of kind yjs for each update (`causality/version-set.ts`).
 * Invariant: it holds every update that this node has been told of; one that Yjs cannot apply is told, and holds up no other.
 */
import * as Y from "yjs";
import { StoreError } from "../errors.ts";
import type { CancelSignal, Clock, Random, Stop } from "../ports.ts";
import type { StoreChange, StoreNode } from "../store-node.ts";
import { Cancellation } from "../store/cancel.ts";
import { follow } from "../store/follow.ts";
import { Listeners } from "../store/listeners.ts";
import type { LiveUpdate } from "./fold-plan.ts";
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
  /** Why edits are not stored, or an update could not be read; those edits are kept here, and tried with the next one. */
  readonly problem?: StoreError;
}

export interface DocumentDeps {
  readonly node: StoreNode;
  readonly clock: Clock;
  readonly random: Random;
  readonly closing: CancelSignal;
}

/** Made by `Store.doc`. Any binding for Yjs works on it; `destroy` closes it, after what is unwritten. */
export class LiveDocument extends Y.Doc {
  readonly key: string;
  readonly #end: Cancellation;
  readonly #writer: Writer;
  readonly #statusListeners = new Listeners<DocumentStatus>();
  /** Updates that are in it: by dot and length, for an update that waits for hosts may grow. */
  #applied: ReadonlySet<string> = new Set();
  #status: DocumentStatus = { loaded: false, settled: true, absent: true, bytes: 0 };
  #loaded = false;
  #absent = true;
  #unreadable: StoreError | undefined;
  #closed: Promise<void> | undefined;

  constructor(deps: DocumentDeps, { bucket, name }: { readonly bucket: string; readonly name: string }) {
    super({ guid: `${bucket}/${name}` });
    this.key = `${bucket}/${name}`;
    this.clientID = new DataView(deps.random.bytes(4).buffer).getUint32(0);
    this.#end = new Cancellation(deps.closing);
    const changed = (): void => this.#refresh();
    this.#writer = new Writer({ ...deps, bucket, name, doc: this, closing: this.#end, changed });
    this.on("update", (update: Uint8Array, origin: unknown, _doc: Y.Doc, { beforeState }: Y.Transaction) => {
      if (origin !== this) this.#writer.add(update, beforeState);
    });
    void this.#follow(deps, bucket, name);
  }

  /** Resolves when what this node has of the document is in it. @throws StoreError `closed` before that */
  get loaded(): Promise<void> {
    return this.#until(({ loaded }) => loaded);
  }

  /** Resolves when every edit made here is acknowledged by hosts. @throws StoreError `closed` before that, or why one is refused */
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

  /** Resolves when every edit so far is stored by this node. Never rejects: see `status().problem`. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /** Stores what is unwritten, and ends it. */
  close(): Promise<void> {
    this.#closed ??= this.#writer.flush().then(() => {
      this.#end.abort();
      this.#refresh();
      super.destroy();
    });
    return this.#closed;
  }

  override destroy(): void {
    void this.close();
  }

  async #follow(deps: DocumentDeps, bucket: string, name: string): Promise<void> {
    const onError = (error: StoreError): void => this.#fail(error);
    try {
      for await (const change of follow(deps, { bucket, keys: { name }, onError }, this.#end)) this.#take(change);
    } catch (error: unknown) {
      if (!(error instanceof StoreError)) throw error;
      this.#fail(error);
    }
  }

  #take({ siblings, deleted, context }: StoreChange): void {
    const live = siblings.filter(({ kind }) => kind === "yjs");
    const isAlone = live.length === siblings.length;
    // With the context a write would replace what else is there.
    this.#writer.told(live, isAlone ? context : null);
    this.#unreadable = isAlone
      ? undefined
      : new StoreError("bad-request", `${this.key} holds values that are no document`);
    this.#apply(live);
    const hadAll = this.#loaded && !this.#absent;
    this.#loaded = true;
    this.#absent = live.length === 0;
    // An edit that was made beside a delete: of what it builds on only documents that were open then have the rest.
    if (deleted && hadAll) this.#writer.writeWhole();
    this.#refresh();
  }

  #apply(live: readonly LiveUpdate[]): void {
    const nameOf = ({ dot, body }: LiveUpdate): string => `${dot} ${body.length}`;
    this.#add(live.filter((update) => !this.#applied.has(nameOf(update))));
    // Of updates that come one by one, before those that they build on, Yjs may keep some waiting though nothing is missing.
    if (this.store.pendingStructs !== null) this.#add(live);
    this.#applied = new Set(live.map(nameOf));
  }

  /** All at once; one by one where one of them is unsound, so that it holds up no other. */
  #add(updates: readonly LiveUpdate[]): void {
    if (updates.length === 0) return;
    if (this.#tryToAdd(updates) === undefined) return;
    for (const update of updates) this.#unreadable = this.#tryToAdd([update]) ?? this.#unreadable;
  }

  #tryToAdd(updates: readonly LiveUpdate[]): StoreError | undefined {
    try {
      Y.applyUpdate(this, Y.mergeUpdates(updates.map(({ body }) => body)), this);
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
    const next: DocumentStatus = {
      loaded: this.#loaded,
      settled: this.#writer.isSettled,
      absent: this.#absent,
      bytes: this.#writer.bytes,
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
          if (!holds(status)) return;
          resolve();
        } catch (error: unknown) {
          reject(error as StoreError);
        }
        stop();
      };
      const stop = this.#statusListeners.add(look);
      look(this.#status);
    });
  }
}
