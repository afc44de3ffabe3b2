/**
 * Store: what an application opens. Typed buckets over a node, host or edge alike, and what is known of that node.
 */
import { nameOf, bucketOf, parseKey } from "../bytes/key.ts";
import type * as Y from "yjs";
import type { DocumentDeps, DocumentLink, DocumentName } from "../documents/document-link.ts";
import type * as DocumentLinks from "../documents/document-link.ts";
import type { LiveDocument } from "../documents/live-document.ts";
import type * as LiveDocuments from "../documents/live-document.ts";
import type { NodeId } from "../identity.ts";
import { StoreError } from "../errors.ts";
import type { Clock, Random, Stop } from "../ports.ts";
import type { ImportResult, Inspection, ParkedWrite, StoreFacts, StoreNode, WaitOptions } from "../store-node.ts";
import { siblings } from "../values/conflict-rules.ts";
import { Bucket, type BucketDeps, type BucketOptions } from "./bucket.ts";
import { Cancellation } from "./cancel.ts";
import { Documents, type HeldDocument } from "./documents.ts";
import { Listeners, type StoreEvents } from "./listeners.ts";
import { type MadeBucket, ParkedMerges } from "./parked-merges.ts";
import { Pens } from "./pens.ts";
import { type Change, Turns } from "./update.ts";

/** What a store's node is doing. The same object until something of it changes; `oldestPendingMs` goes on counting. */
export interface StoreStatus extends StoreFacts {
  readonly name: string;
  readonly id: NodeId;
  readonly closed: boolean;
  /** Age of the oldest write that waits for hosts, ms; null when there is none. */
  readonly oldestPendingMs: number | null;
}

type DocumentParts = typeof LiveDocuments & typeof DocumentLinks;

interface StoreDeps {
  readonly node: StoreNode;
  readonly clock: Clock;
  readonly random: Random;
  /** Brings Yjs, for documents; a store without it has none. */
  readonly loadDocuments?: () => Promise<DocumentParts>;
  /** Of buckets that do not say; `true` where not given: a page cannot tell whether it is in production. */
  readonly checkMerges?: boolean;
  /** Closes what the node was made of, after it. */
  readonly release?: () => Promise<void>;
}

/**
 * Made by `openStore`. `Schema`: which type the values of each bucket have; where given, no other bucket can be named.
 *
 * @example
 * const store = await openStore<{ carts: Cart }>({ name: "shop" });
 * const carts = store.bucket("carts", { conflict: merge(unionOfCarts) });
 * await carts.update("alice", (cart = emptyCart) => add(cart, "book"));
 */
export class Store<Schema extends object = object> implements AsyncDisposable {
  readonly name: string;
  readonly #deps: StoreDeps;
  readonly #closing = new Cancellation();
  readonly #bucketDeps: BucketDeps;
  readonly #buckets = new Map<string, unknown>();
  readonly #made = new Map<string, MadeBucket>();
  readonly #parked: ParkedMerges;
  readonly #documents = new Documents((key) => this.#openDocument(key));
  readonly #links = new Set<DocumentLink>();
  readonly #conflicts = new Listeners<StoreEvents["conflict"]>();
  readonly #errors = new Listeners<StoreEvents["error"]>();
  readonly #statusListeners = new Listeners<StoreStatus>();
  readonly #stops: readonly Stop[];
  #status: StoreStatus;
  #closed: Promise<void> | undefined;

  constructor(name: string, deps: StoreDeps) {
    this.name = name;
    this.#deps = deps;
    this.#bucketDeps = {
      checkMerges: true,
      ...deps,
      closing: this.#closing,
      turns: new Turns(),
      pens: new Pens(deps),
      errors: this.#errors,
    };
    this.#status = this.#statusNow();
    this.#parked = new ParkedMerges({ ...deps, closing: this.#closing, bucket: (bucket) => this.#made.get(bucket) });
    this.#stops = [
      deps.node.onFacts(() => {
        this.#refreshStatus();
        this.#lookAtParked();
      }),
      deps.node.onConflict(({ bucket, name, discardedDot, timeMs }) =>
        this.#conflicts.tell({ bucket, key: name, discardedDot, timeMs }),
      ),
    ];
  }

  /**
   * A view of a bucket. With options it is a new one; without it is the one that was made last, or one with the defaults.
   * Options are no property of the data: all programs on a bucket should use the same.
   * @throws StoreError `bad-request` for a name that is empty or holds a slash
   */
  bucket<Name extends keyof Schema & string>(name: Name, options?: BucketOptions<Schema[Name]>): Bucket<Schema[Name]>;
  bucket<T = unknown>(name: [keyof Schema] extends [never] ? string : never, options?: BucketOptions<T>): Bucket<T>;
  bucket<T>(name: string, options?: BucketOptions<T>): Bucket<T> {
    const known = this.#buckets.get(name);
    if (known !== undefined && options === undefined) return known as Bucket<T>;
    const bucket = new Bucket<T>(this.#bucketDeps, name, options ?? {});
    this.#buckets.set(name, bucket);
    this.#made.set(name, {
      rule: options?.conflict ?? siblings(),
      update: (key, change) => bucket.update(key, change as Change<T>),
    });
    this.#lookAtParked();
    return bucket;
  }

  /**
   * A live Y.Doc on a key (`bucket/name`): edits in it are stored and sent, those of others appear in it. Resolves before
   * anything is loaded: see `loaded` and `settled` of the document. The same object until it is closed.
   * @throws StoreError `bad-request` (no such key can be; Yjs is not installed, or twice), `closed`
   *
   * @example
   * const doc = await store.doc("notes/plan");
   * await doc.loaded;
   * doc.getText("body").insert(0, "Buy books");
   * await doc.settled; // hosts have it
   */
  doc(key: string): Promise<LiveDocument> {
    return this.#documents.open(key);
  }

  /** As `doc`, for a while: when all who hold it have let go of it, and `doc` was not asked for it, it is closed. */
  holdDoc(key: string): HeldDocument {
    return this.#documents.hold(key);
  }

  status(): StoreStatus {
    return this.#status;
  }

  /** Tells each change of `status()`. */
  subscribeStatus(hear: (status: StoreStatus) => void): Stop {
    return this.#statusListeners.add(hear);
  }

  /** Resolves when local reads and writes are answered. @throws StoreError `closed` before that */
  get loaded(): Promise<void> {
    return this.#until("loaded");
  }

  /** Resolves when, or as soon as, the node is in contact with the cluster. @throws StoreError `closed` before that */
  get connected(): Promise<void> {
    return this.#until("connected");
  }

  /** Resolves when nothing that was written here waits for hosts any more. @throws StoreError `closed` before that */
  get settled(): Promise<void> {
    return this.#until("settled");
  }

  /**
   * What this node knows as a host: of itself, of the ring, and of a key (`bucket/name`).
   * @throws StoreError `bad-request`: it is an edge, or no such key can be
   */
  async inspect(key: string): Promise<Inspection> {
    const whole = parseKey(key);
    const inspection = await this.#deps.node.inspect?.(bucketOf(whole), nameOf(whole));
    if (inspection === undefined) throw new StoreError("bad-request", "an edge is no host");
    return inspection;
  }

  /** Tells what happens beside the answers: see `StoreEvents`. */
  on<Kind extends keyof StoreEvents>(kind: Kind, hear: (event: StoreEvents[Kind]) => void): Stop {
    const listeners = { conflict: this.#conflicts, error: this.#errors };
    return (listeners[kind] as unknown as Listeners<StoreEvents[Kind]>).add(hear);
  }

  /**
   * Resolves when every write made before the call is acknowledged by hosts, or parked.
   * @throws StoreError `aborted`, `closed`, `quorum-not-met` after `timeoutMs` (without one it waits as long as it takes)
   */
  async flush(options?: WaitOptions): Promise<void> {
    if (this.#closing.aborted) throw new StoreError("closed", "the store was closed");
    await this.#deps.node.flush(options);
  }

  /** Writes that need the application: refused by the hosts for good, or of unknown outcome. Their values are kept. */
  parked(): Promise<readonly ParkedWrite[]> {
    return this.#deps.node.parked();
  }

  /** Forgets a parked write. */
  discard(write: Pick<ParkedWrite, "bucket" | "name" | "dot">): Promise<void> {
    return this.#deps.node.discard(write);
  }

  /**
   * All that this store's node holds, with siblings and clocks and what waits for hosts, as a stream of bytes to keep.
   *
   * @example
   * for await (const bytes of store.export()) await file.write(bytes);
   */
  export(): AsyncIterable<Uint8Array> {
    return this.#deps.node.export();
  }

  /**
   * Merges an export into what is here: nothing is lost, nothing that was deleted since comes back, and the second time nothing
   * changes. Unsent writes of another edge are parked (`parked`). A file is trusted as the application's own writes are.
   * @throws StoreError `bad-request`: it is no export, of another cluster, damaged, or cut short; what came before that stays
   */
  import(source: AsyncIterable<Uint8Array>): Promise<ImportResult> {
    return this.#deps.node.import(source);
  }

  /**
   * Stores the last edits of its documents, ends subscriptions and watches, and stops the node. What waits for hosts is sent by
   * the next start. It takes no time worth speaking of, unless somebody does not answer: at most 5 s for the edits (an `error`
   * event tells which were not stored), then a second for what an edge has under way with hosts, seven at a host.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Keeps a Y.Doc of the application's own in step with a key, as `doc` does with one that it makes. What is in it already is
   * written. For bindings and providers: see `EverwriteProvider`.
   * @throws StoreError as `doc`; `bad-request` also for a Y.Doc of another copy of Yjs than everwrite's
   */
  async link(key: string, doc: Y.Doc): Promise<DocumentLink> {
    const { DocumentLink, deps, where } = await this.#documentsFor(key);
    const link = new DocumentLink(deps, where, doc, () => this.#links.delete(link));
    this.#links.add(link);
    return link;
  }

  async #openDocument(key: string): Promise<LiveDocument> {
    const { LiveDocument, deps, where } = await this.#documentsFor(key);
    return new LiveDocument(deps, where);
  }

  async #documentsFor(
    key: string,
  ): Promise<DocumentParts & { readonly deps: DocumentDeps; readonly where: DocumentName }> {
    const { loadDocuments } = this.#deps;
    const whole = parseKey(key);
    if (loadDocuments === undefined) throw new StoreError("bad-request", "this store was opened without documents");
    const documents = await loadDocuments();
    if (this.#closed !== undefined) throw new StoreError("closed", "the store was closed");
    const where = { bucket: bucketOf(whole), name: nameOf(whole) };
    const onError = (event: StoreEvents["error"]): void => this.#errors.tell(event);
    return { ...documents, deps: { ...this.#deps, closing: this.#closing, onError }, where };
  }

  async #close(): Promise<void> {
    // What is unwritten goes with them.
    await Promise.all([this.#documents.closeAll(), ...[...this.#links].map((link) => link.close())]);
    this.#closing.abort();
    for (const stop of this.#stops) stop();
    this.#refreshStatus();
    await this.#deps.node.close();
    await this.#deps.release?.();
  }

  #lookAtParked(): void {
    if (this.#status.parked > 0) this.#parked.look();
  }

  #refreshStatus(): void {
    this.#status = this.#statusNow();
    this.#statusListeners.tell(this.#status);
  }

  #statusNow(): StoreStatus {
    const { node, clock } = this.#deps;
    const told = node.facts();
    const closed = this.#closing.aborted || told.ended === true;
    const facts = { ...told, ...(closed ? { loaded: false, connected: false, settled: false } : {}) };
    return Object.freeze({
      ...facts,
      name: this.name,
      id: node.id,
      closed,
      get oldestPendingMs() {
        return facts.pendingSinceMs === null ? null : Math.max(0, clock.wallTime() - facts.pendingSinceMs);
      },
    });
  }

  #until(fact: "loaded" | "connected" | "settled"): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = ({ [fact]: holds, closed }: StoreStatus): void => {
        if (closed) reject(new StoreError("closed", `the store was closed before it was ${fact}`));
        else if (!holds) return;
        else resolve();
        stop();
      };
      const stop = this.#statusListeners.add(look);
      look(this.#status);
    });
  }
}
