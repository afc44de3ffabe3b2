/**
 * One bucket as an application sees it: its values, its conflict rule, its quorums. Keys here are names without the bucket.
 */
import type { DeleteOptions, PutOptions, Receipt, Watched } from "../api.ts";
import { makeKey } from "../bytes/key.ts";
import type { QuorumSpec } from "../config.ts";
import { StoreError } from "../errors.ts";
import { checkTtl } from "../limits.ts";
import type { CancelSignal, Stop } from "../ports.ts";
import type { ChangeOrigin, StoreGetOptions, StoreWrite, WriteLevel } from "../store-node.ts";
import { type Codec, json } from "../values/codecs.ts";
import { type ConflictRule, siblings } from "../values/conflict-rules.ts";
import type { StandardSchema } from "../values/schema.ts";
import { Cancellation } from "./cancel.ts";
import { entries } from "./entries.ts";
import { follow, type FollowDeps } from "./follow.ts";
import type { ErrorEvent, Listeners } from "./listeners.ts";
import type { Pens } from "./pens.ts";
import { type BucketRead, decodeRead, encodeValue, type Format } from "./read.ts";
import { Renewals } from "./renewals.ts";
import { Sampling } from "./sampling.ts";
import { type Snapshot, Subscriptions } from "./subscriptions.ts";
import { type Change, type Turns, update, type UpdateOptions } from "./update.ts";

/** How a bucket is used; each call may say otherwise for itself. */
export interface BucketOptions<T> {
  /** `siblings()` where not given. */
  readonly conflict?: ConflictRule<T>;
  /** Where not given, that of the conflict rule if it has one, else `json()`. */
  readonly codec?: Codec<T>;
  /**
   * A Standard Schema (zod, valibot, arktype, ...) that values must fit when they are written, and when they are read: what it
   * returns is written and read. One that was stored and does not fit is among the `problems` of a read, and is overwritten by no update.
   */
  readonly schema?: StandardSchema<T>;
  /**
   * Checks samples of what a `merge` function makes (all at first, then one of fifty), and refuses with `bad-merge` what
   * depends on order, time or chance. The store's own choice where not given: on, but in production.
   */
  readonly checkMerges?: boolean;
  /** The cluster's defaults where not given (`quorum`). */
  readonly r?: QuorumSpec | "local";
  readonly w?: QuorumSpec;
  /** Values read as deleted this long after they were written. */
  readonly ttlMs?: number;
  /**
   * A value that is read lives on for another `ttlMs`: it is renewed in the background, at most ten times in that. Of `lww()`
   * alone: under other rules a renewal would stand beside a delete of the same moment, and so take it back.
   */
  readonly sliding?: boolean;
}

/** As of `PutOptions`; `context`: what a read or a receipt gave. */
export interface BucketPutOptions extends Omit<PutOptions, "contentType" | "kind" | "returnSiblings" | "context"> {
  readonly context?: string | undefined;
}

/** As of `DeleteOptions`. */
export interface BucketDeleteOptions extends Omit<DeleteOptions, "kind" | "returnSiblings" | "context"> {
  readonly context?: string | undefined;
}

/** Where a write is, and how to wait until it is safer. */
export interface BucketReceipt extends Receipt, Pick<StoreWrite, "dot" | "until"> {
  /** For the next write. Undefined when other values are live beside this one: read before writing again. */
  readonly context: string | undefined;
}

/** The receipt of an update, and what was written. */
export interface UpdateReceipt<T> extends BucketReceipt {
  readonly value: T;
}

/** Which keys: one, or all that begin with `prefix` (all of the bucket where neither is given). */
export interface WatchOptions {
  readonly key?: string;
  readonly prefix?: string;
  readonly signal?: CancelSignal;
}

/** The state of a key, first as it was found, then after each change. */
export interface BucketChange<T> extends BucketRead<T> {
  readonly key: string;
  readonly origin: ChangeOrigin;
}

/** Which keys to go through; `timeoutMs` is of each request, not of the whole. */
export interface EntriesOptions extends StoreGetOptions {
  readonly prefix?: string;
}

/** A key and what it holds. */
export interface BucketEntry<T> extends BucketRead<T> {
  readonly key: string;
}

/** What the store shares with its buckets. */
export interface BucketDeps extends FollowDeps {
  readonly closing: Cancellation;
  readonly turns: Turns;
  readonly pens: Pens;
  readonly checkMerges: boolean;
  readonly errors: Listeners<ErrorEvent>;
}

/**
 * Every call rejects with `StoreError`: `bad-request` (a name, value or option that cannot be), `aborted` (by `signal`),
 * `closed` (the store), and what `get` and `put` of `NodeApi` name. Made by `Store.bucket`.
 */
export class Bucket<T> {
  readonly name: string;
  readonly #deps: BucketDeps;
  readonly #format: Format<T>;
  readonly #get: StoreGetOptions;
  readonly #put: PutOptions;
  readonly #subscriptions: Subscriptions<T>;
  readonly #renewals: Renewals;
  readonly #sliding: boolean;

  constructor(deps: BucketDeps, name: string, options: BucketOptions<T>) {
    makeKey(name, "x"); // only to check the name
    const {
      conflict = siblings<T>(),
      codec = conflict.codec ?? json<T>(),
      schema,
      r,
      w,
      ttlMs,
      sliding = false,
    } = options;
    const { checkMerges = deps.checkMerges } = options;
    const checks = checkMerges ? new Sampling() : undefined;
    checkTtl(ttlMs);
    if (conflict.foldsOf && ttlMs !== undefined)
      throw new StoreError("bad-request", "a document cannot have a `ttlMs`");
    if (sliding && ttlMs === undefined) throw new StoreError("bad-request", "`sliding` needs a `ttlMs`");
    if (sliding) checkRenewable(conflict);
    this.name = name;
    this.#deps = deps;
    this.#sliding = sliding;
    this.#format = { codec, rule: conflict, schema, checks, pens: deps.pens };
    this.#get = r === undefined ? {} : { r };
    this.#put = {
      contentType: codec.contentType,
      kind: conflict.kind,
      ...(w === undefined ? {} : { w }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
    };
    const onError = (error: StoreError): void => this.#tell(error);
    this.#renewals = new Renewals({ ...deps, bucket: name, put: this.#put, onError });
    this.#subscriptions = new Subscriptions<T>({
      ...deps,
      bucket: name,
      format: this.#format,
      onError,
    });
  }

  /** Its store is closed: calls reject, and nothing is subscribed to any more. */
  get isClosed(): boolean {
    return this.#deps.closing.aborted;
  }

  /**
   * What is live under a key; nothing live: `values` is empty. What cannot be understood is in `problems` and `raw`.
   * @throws StoreError `quorum-not-met`: what is there cannot be known now (never said of a key as "absent")
   */
  async get(key: string, options: StoreGetOptions = {}): Promise<BucketRead<T>> {
    const text = this.#open(key);
    const read = await this.#deps.node.get(this.name, key, { ...this.#get, ...stated(options) });
    if (this.#sliding) this.#renewals.noteRead(key, read);
    return decodeRead(read, text, this.#format);
  }

  /**
   * Lets the value live for another `ttlMs` (without one: for ever), unless somebody changes or deletes it meanwhile. False:
   * there is none, or more than one. @throws StoreError as `get` and `put`; `bad-request`: the rule is not `lww()`
   */
  async renew(key: string, options: StoreGetOptions = {}): Promise<boolean> {
    this.#open(key);
    checkRenewable(this.#format.rule);
    const read = await this.#deps.node.get(this.name, key, { ...this.#get, ...stated(options) });
    return this.#renewals.renew(key, read);
  }

  /**
   * Writes a value in place of what `context` has seen, and beside what it has not: without one, beside everything.
   * @throws StoreError `quorum-not-met`, `outcome-unknown` (the write may survive), `value-too-large`, `bad-context`,
   *   `precondition-failed`, `too-many-siblings`, `storage-full`, `invalid-value` (it does not fit the schema)
   */
  async put(key: string, value: T, options: BucketPutOptions = {}): Promise<BucketReceipt> {
    const encoded = encodeValue(value, this.#open(key), this.#format);
    // Begun before this returns, unless the schema takes time: so that a flush knows of it.
    const { body } = encoded instanceof Promise ? await encoded : encoded;
    return receiptOf(await this.#deps.node.put(this.name, key, body, { ...this.#put, ...stated(options) }));
  }

  /** Deletes what `context` has seen. @throws StoreError as `put` */
  async delete(key: string, options: BucketDeleteOptions = {}): Promise<BucketReceipt> {
    this.#open(key);
    const { w, kind = "opaque" } = this.#put;
    const asked = { kind, ...(w === undefined ? {} : { w }) };
    return receiptOf(await this.#deps.node.delete(this.name, key, { ...asked, ...stated(options) }));
  }

  /**
   * Reads, gives `change` the value that the rule makes (undefined: absent), and writes what it returns; goes on trying while
   * the cluster is not able to, with backoff, until `timeoutMs` (15 s). The change becomes one write, however often it was
   * tried. Updates of one key by this store wait for each other; one that another made meanwhile becomes a sibling.
   * @throws StoreError `aborted` or the last failure (a write may survive then); `precondition-failed`: several siblings under
   *   the rule `siblings()`; `undecodable`, `invalid-value`: it would replace what was not understood, or what `change` made
   *   does not fit the schema; `bad-merge`: the merge function is not to be trusted; and what `change` throws
   */
  async update(key: string, change: Change<T>, options: UpdateOptions = {}): Promise<UpdateReceipt<T>> {
    this.#open(key);
    const where = { bucket: this.name, name: key, format: this.#format, get: this.#get, put: this.#put };
    const { value, write } = await update({ ...this.#deps, ...where }, change, options);
    return { ...receiptOf(write), value };
  }

  /**
   * Keeps a key's snapshot current and tells it: the present one, then each new one, each after the call that changed it.
   * @returns what ends it
   */
  subscribe(key: string, hear: (snapshot: Snapshot<T>) => void): Stop {
    this.#open(key);
    return this.#subscriptions.subscribe(key, hear);
  }

  /**
   * What subscribers were told last; `loaded: false` while nobody subscribes. The same object until something changes.
   *
   * @example
   * useSyncExternalStore((hear) => carts.subscribe("alice", hear), () => carts.getSnapshot("alice"))
   */
  getSnapshot(key: string): Snapshot<T> {
    return this.#subscriptions.snapshot(key);
  }

  /** The state of each key as it is found, then after each change; none is missed, several may come as one. Ends with `signal`. */
  watch(options: WatchOptions = {}): AsyncIterableIterator<BucketChange<T>> {
    const { key, prefix = "", signal } = options;
    if (key !== undefined && prefix !== "") throw new StoreError("bad-request", "watch either a key or a prefix");
    this.#open(key ?? (prefix || "x"));
    const end = new Cancellation(signal, this.#deps.closing);
    const changes = this.#changes(key === undefined ? { prefix } : { name: key }, end);
    return {
      [Symbol.asyncIterator]() {
        return this;
      },
      next: () => changes.next(),
      // Of a generator that waits it would come only after the next change.
      return: (): Promise<IteratorResult<BucketChange<T>>> => {
        end.abort();
        return changes.return(undefined);
      },
    };
  }

  /** What all keys hold that begin with `prefix`, in no useful order. Asks every host: expensive. */
  async *entries(options: EntriesOptions = {}): AsyncGenerator<BucketEntry<T>> {
    const { prefix = "", ...rest } = options;
    this.#open(prefix || "x");
    const getOptions = { ...this.#get, ...stated(rest) };
    for await (const { name, read } of entries(this.#deps.node, this.name, { prefix, getOptions })) {
      yield { key: name, ...(await decodeRead(read, `${this.name}/${name}`, this.#format)) };
    }
  }

  async *#changes(keys: Watched, end: Cancellation): AsyncGenerator<BucketChange<T>, undefined> {
    const what = { bucket: this.name, keys, onError: (error: StoreError) => this.#tell(error) };
    try {
      for await (const change of follow(this.#deps, what, end)) {
        const read = await decodeRead(change, `${this.name}/${change.name}`, this.#format);
        yield { key: change.name, origin: change.origin, ...read };
      }
    } finally {
      end.abort();
    }
    return undefined;
  }

  #tell(error: StoreError): void {
    this.#deps.errors.tell({ bucket: this.name, error });
  }

  /** The whole key. @throws StoreError `bad-request`, `closed` */
  #open(name: string): string {
    if (this.#deps.closing.aborted) throw new StoreError("closed", "the store was closed");
    return makeKey(this.name, name);
  }
}

/** What a call says for itself: an option that is undefined leaves the bucket's own. @throws StoreError `bad-context` */
function stated<Options extends object>(
  options: Options,
): { [Name in keyof Options]: Exclude<Options[Name], undefined> } {
  const said = Object.entries(options).filter(([, value]) => value !== undefined);
  // Not every caller has a compiler that checks this.
  if (said.some(([name, value]) => name === "context" && typeof value !== "string")) {
    throw new StoreError("bad-context", "a context is text, as a read or a receipt gave it");
  }
  return Object.fromEntries(said) as ReturnType<typeof stated<Options>>;
}

/** Other values than lww ones would be siblings of a delete that has not seen the renewal. */
function checkRenewable({ kind, name }: { readonly kind: string; readonly name: string }): void {
  if (kind === "lww") return;
  throw new StoreError("bad-request", `a value under the rule ${name} cannot be renewed: only \`lww()\` can`);
}

function receiptOf(write: StoreWrite): BucketReceipt {
  const { context, receipt, dot } = write;
  const until: StoreWrite["until"] = async (level, options) => write.until(checkedLevel(level), options);
  return { ...receipt, context: context ?? undefined, dot, until };
}

/** Not every caller has a compiler that checks this. @throws StoreError `bad-request` */
function checkedLevel(level: WriteLevel): WriteLevel {
  if (typeof level === "number" ? level >= 1 && Number.isSafeInteger(level) : levels.has(level)) return level;
  throw new StoreError(
    "bad-request",
    `until() must be local, quorum, all or a whole number from 1, not ${String(level)}`,
  );
}

const levels: ReadonlySet<WriteLevel> = new Set(["local", "quorum", "all"]);
