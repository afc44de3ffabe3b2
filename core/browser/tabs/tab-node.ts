/**
 * One node for all tabs of an origin that open a store of one name. Each tab has a `TabNode`; the one that holds the store's
 * lock runs the node (`tenure.ts`), and the others, like itself, ask it (`caller.ts`). Where it goes, another takes over:
 * - it is closed or crashes: the browser gives its lock to the next;
 * - it is frozen: it ends its time itself, in the `freeze` event;
 * - it hangs: a tab that waits for it takes the lock away, when a probe that needs the storage has found no answer for a
 *   second (`watchdog.ts`); should it wake, the storage takes no write of it any more (`indexeddb-epoch.ts`).
 * What was under way is asked of the next owner again (`caller.ts`): no write is lost, and none is doubled.
 *
 * Only the owner mints, under actors of its own memory, so that two tabs never share an actor.
 */
import type { DeleteOptions, ListOptions, Watched, WriteAnswer } from "../../api.ts";
import { toHex } from "../../bytes/hex.ts";
import { StoreError } from "../../errors.ts";
import type { NodeId } from "../../identity.ts";
import { type CancelSignal, type Clock, type Random, StorageError, type Stop } from "../../ports.ts";
import { Listeners } from "../../store/listeners.ts";
import type {
  Channel,
  ImportResult,
  Inspection,
  LwwConflict,
  ParkedWrite,
  RequestName,
  StoreChange,
  StoreFacts,
  StoreGetOptions,
  StoreList,
  StoreNode,
  StorePutOptions,
  StoreRead,
  StoreWrite,
  WaitOptions,
} from "../../store-node.ts";
import { Caller } from "./caller.ts";
import { Candidate } from "./candidate.ts";
import type { HeldLock } from "./locks.ts";
import {
  type Envelope,
  everyone,
  type Foreign,
  isAsk,
  isNews,
  type News,
  receivedError,
  type SentError,
  type TabId,
} from "./messages.ts";
import type { OwnedStorage, TenureDeps } from "./tenure.ts";
import { Watchdog } from "./watchdog.ts";

export interface TabNodeDeps<Opened extends OwnedStorage> extends TenureDeps<Opened> {
  readonly clock: Clock;
  readonly random: Random;
}

/** Of a call without a limit of its own; as an edge has it. */
const timeoutMs = 5_000;
/** A take-over may come in between. */
const marginMs = 10_000;
const requestBytes = 8;
/** Many of these a second cost little beside what merging them takes. */
const importPieceBytes = 262_144;

const unknownFacts: StoreFacts = {
  loaded: false,
  connected: false,
  settled: false,
  pending: 0,
  pendingSinceMs: null,
  parked: 0,
};

/** Made by `openTabNode`. */
export class TabNode<Opened extends OwnedStorage> implements StoreNode {
  readonly #deps: TabNodeDeps<Opened>;
  readonly #caller: Caller;
  readonly #candidate: Candidate<Opened>;
  readonly #watchdog: Watchdog;
  readonly #factListeners = new Listeners<void>();
  readonly #conflicts = new Listeners<LwwConflict>();
  #facts = unknownFacts;
  #id: NodeId | undefined;
  #presence: HeldLock | undefined;
  #opening:
    | { readonly sinceMs: number; readonly resolve: () => void; readonly reject: (error: unknown) => void }
    | undefined;
  #isClosed = false;

  constructor(deps: TabNodeDeps<Opened>) {
    const { channel, clock } = deps;
    this.#deps = deps;
    this.#caller = new Caller({ channel, clock, waits: () => this.#watchdog.start() });
    this.#candidate = new Candidate({
      ...deps,
      failed: (error) => this.#failed(error),
      ended: (refusal) => void this.#end(new StoreError("closed", refusal.message, { cause: refusal }), false),
      over: () => this.#watchdog.start(),
    });
    this.#watchdog = new Watchdog({
      clock,
      waitingSinceMs: () =>
        this.#candidate.hasLock ? undefined : (this.#opening?.sinceMs ?? this.#caller.waitingSinceMs),
      probe: () => this.#probe(),
      bite: () => this.#candidate.steal(),
    });
    channel.onMessage((envelope) => this.#hear(envelope));
  }

  /**
   * Resolves when this tab or another runs the node.
   * @throws StoreError `not-ready`: a tab with another version of this code runs it; what storage or node could not be opened for
   */
  async open(): Promise<void> {
    const { channel, clock, locks } = this.#deps;
    this.#presence = await locks.announce(channel.self);
    const opened = new Promise<void>((resolve, reject) => {
      this.#opening = { sinceMs: clock.now(), resolve, reject };
    });
    this.resume();
    await opened;
  }

  /** The same for all tabs. */
  get id(): NodeId {
    if (this.#id === undefined) throw new Error("the node of the tabs is asked for its id before it is open");
    return this.#id;
  }

  async get(bucket: string, name: string, { signal, ...options }: StoreGetOptions = {}): Promise<StoreRead> {
    const read = this.#caller.call({ method: "get", bucket, name, options }, limits(signal, options.timeoutMs));
    return (await read) as StoreRead;
  }

  async put(
    bucket: string,
    name: string,
    body: Uint8Array,
    options: StorePutOptions & RequestName = {},
  ): Promise<StoreWrite> {
    // The application may change its own afterwards, and the write may have to be asked for again.
    const kept = body.slice();
    const named = this.#named(options);
    const call = { method: "put", bucket, name, body: kept, options: named } as const;
    const answer = await this.#caller.call(call, limits(options.signal, options.timeoutMs));
    return this.#written({ bucket, name, body: kept, request: named.request }, answer as WriteAnswer);
  }

  async delete(bucket: string, name: string, options: DeleteOptions & RequestName = {}): Promise<StoreWrite> {
    const named = this.#named(options);
    const call = { method: "delete", bucket, name, options: named } as const;
    const answer = await this.#caller.call(call, limits(options.signal, options.timeoutMs));
    return this.#written({ bucket, name, request: named.request }, answer as WriteAnswer);
  }

  async list(bucket: string, { signal, ...options }: ListOptions = {}): Promise<StoreList> {
    const list = this.#caller.call({ method: "list", bucket, options }, limits(signal, options.timeoutMs));
    return (await list) as StoreList;
  }

  watch(bucket: string, what: Watched, signal: CancelSignal): AsyncIterable<StoreChange> {
    return this.#caller.watch(bucket, what, signal);
  }

  join(bucket: string, name: string, hear: (message: Uint8Array) => void): Channel {
    return this.#caller.join(bucket, name, hear);
  }

  async flush(options: WaitOptions = {}): Promise<void> {
    await this.#caller.call({ method: "flush", ...waitOf(options) }, unlimited(options));
  }

  /** Undefined of an edge: which role the node has is known where it runs. */
  async inspect(bucket: string, name: string): Promise<Inspection | undefined> {
    return (await this.#caller.call({ method: "inspect", bucket, name }, limits())) as Inspection | undefined;
  }

  facts(): StoreFacts {
    return this.#facts;
  }

  onFacts(listener: () => void): Stop {
    return this.#factListeners.add(listener);
  }

  onConflict(listener: (conflict: LwwConflict) => void): Stop {
    return this.#conflicts.add(listener);
  }

  async parked(): Promise<readonly ParkedWrite[]> {
    const parked = await this.#caller.call({ method: "parked" }, limits());
    return (parked as (ParkedWrite & { readonly error: SentError })[]).map(({ error, ...write }) => ({
      ...write,
      error: receivedError(error),
    }));
  }

  async discard({ bucket, name, dot }: Pick<ParkedWrite, "bucket" | "name" | "dot">): Promise<void> {
    await this.#caller.call({ method: "discard", write: { bucket, name, dot } }, limits());
  }

  export(): AsyncIterable<Uint8Array> {
    return this.#caller.export();
  }

  /**
   * In pieces, the next when the node has taken the last: so of a stream of any length little is in memory.
   * @throws StoreError as the node; `not-ready`: another tab runs it since the import has begun
   */
  async import(source: AsyncIterable<Uint8Array>): Promise<ImportResult> {
    const id = toHex(this.#deps.random.bytes(requestBytes));
    let isFirst = true;
    let [chunks, bytes] = [[] as Uint8Array[], 0];
    const give = (isLast: boolean): Promise<unknown> => {
      const given = this.#caller.call({ method: "import", id, isFirst, isLast, chunks }, unlimited({}));
      isFirst = false;
      [chunks, bytes] = [[], 0];
      return given;
    };
    try {
      for await (const chunk of source) {
        chunks.push(chunk);
        bytes += chunk.length;
        if (bytes >= importPieceBytes) await give(false);
      }
    } catch (error: unknown) {
      // Cut short here, the node's import ends, too; as what, nobody wants to know.
      if (!isFirst) await give(true).catch(() => undefined);
      throw error;
    }
    return (await give(true)) as ImportResult;
  }

  /** Only this tab's part ends, if there are others: then one of them runs the node. */
  close(): Promise<void> {
    return this.#end(new StoreError("closed", "the store was closed"), true);
  }

  /** To be called when the page is frozen: nothing runs here until `resume`. */
  freeze(): void {
    this.#watchdog.stop();
    this.#candidate.stop();
  }

  /** The page runs again. */
  resume(): void {
    if (this.#isClosed) return;
    this.#watchdog.changed();
    this.#watchdog.start();
    this.#candidate.start();
    this.#deps.channel.post(everyone, 0, { kind: "seek" });
  }

  #hear(envelope: Envelope | Foreign): void {
    if (this.#isClosed) return;
    if (typeof envelope === "string") return this.#hearForeign(envelope);
    const { from, term, message } = envelope;
    if (isAsk(message)) return this.#candidate.hear(from, term, message);
    if (isNews(message)) return this.#hearNews(from, term, message);
    const { owner } = this.#caller;
    if (owner?.tab !== from || owner.term !== term) return;
    switch (message.kind) {
      case "alive":
        return this.#watchdog.proven();
      case "facts":
        return this.#tell(message.facts);
      case "conflict":
        return this.#conflicts.tell(message.conflict);
      case "result":
      case "failure":
      case "change":
      case "heard":
      case "piece":
      case "ended":
        return this.#caller.hear(message);
    }
  }

  #hearNews(from: TabId, term: number, news: News): void {
    switch (news.kind) {
      case "seek":
        return this.#candidate.announce(from);
      case "opening":
        return this.#watchdog.opening();
      case "open":
        return this.#adopt({ tab: from, term }, news);
      case "left":
        if (this.#caller.owner?.term === term) this.#lose();
    }
  }

  #adopt(owner: { readonly tab: TabId; readonly term: number }, { id, facts }: News & { readonly kind: "open" }): void {
    // The data was deleted under the store, and another node has begun in its place.
    if (this.#id !== undefined && id !== this.#id)
      return void this.#end(new StoreError("closed", "the data of this store was deleted"), false);
    const knownTerm = this.#caller.owner?.term ?? 0;
    if (knownTerm > owner.term) return;
    this.#id = id;
    if (knownTerm < owner.term) {
      this.#watchdog.changed();
      this.#caller.follow(owner);
    }
    this.#tell(facts);
    this.#opening?.resolve();
    this.#opening = undefined;
  }

  #lose(): void {
    this.#watchdog.changed();
    this.#caller.follow(undefined);
    this.#tell({ ...this.#facts, connected: false, settled: false });
  }

  /** An owner is alive, and nothing can be asked of it. Any other may hear the same of this tab. */
  #hearForeign(tab: Foreign): void {
    if (this.#caller.owner !== undefined) this.#candidate.announce(everyone);
    if (this.#caller.owner !== undefined || tab !== "foreign owner") return;
    this.#watchdog.changed();
    const error = new StoreError(
      "not-ready",
      "a tab with another version of this page has the store: reload or close it",
    );
    this.#opening?.reject(error);
    this.#caller.fail(error);
  }

  /** Whether to try again: what an application must see to does not change by itself. */
  #failed(error: unknown): boolean {
    // Another tab was faster.
    if (
      error instanceof StorageError ? error.kind === "closed" : error instanceof StoreError && error.code === "closed"
    ) {
      return true;
    }
    const isFinal =
      this.#opening !== undefined ||
      (error instanceof StorageError && error.kind === "version") ||
      (error instanceof StoreError && ["bad-request", "corrupt"].includes(error.code));
    if (!isFinal) return true;
    this.#opening?.reject(error);
    const text = error instanceof Error ? error.message : String(error);
    void this.#end(error instanceof StoreError ? error : new StoreError("closed", text, { cause: error }), false);
    return false;
  }

  #probe(): void {
    if (this.#caller.owner !== undefined) this.#caller.probe();
    else this.#deps.channel.post(everyone, 0, { kind: "seek" });
  }

  #tell(facts: StoreFacts): void {
    this.#facts = facts;
    this.#factListeners.tell();
  }

  #named<Options extends DeleteOptions & RequestName>({ signal: _signal, ...options }: Options) {
    return { ...options, request: options.request ?? toHex(this.#deps.random.bytes(requestBytes)) };
  }

  #written(
    write: { readonly bucket: string; readonly name: string; readonly body?: Uint8Array; readonly request: string },
    answer: WriteAnswer,
  ): StoreWrite {
    const until: StoreWrite["until"] = async (level, options = {}) => {
      const call = { method: "until", write: { ...write, answer }, level, ...waitOf(options) } as const;
      return (await this.#caller.call(call, unlimited(options))) as number;
    };
    return { ...answer, until };
  }

  async #end(error: StoreError, isWanted: boolean): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#opening?.reject(error);
    this.#opening = undefined;
    this.#watchdog.stop();
    this.#caller.refuse(error, isWanted);
    this.#tell({ ...unknownFacts, ended: true });
    try {
      await this.#candidate.close();
    } finally {
      this.#deps.channel.close();
      this.#presence?.release();
    }
  }
}

function limits(signal?: CancelSignal, wantedMs = timeoutMs) {
  return { signal, deadlineMs: wantedMs + marginMs };
}

/** Without a limit it waits as long as it takes. */
function unlimited({ signal, timeoutMs: wantedMs }: WaitOptions) {
  return { signal, ...(wantedMs === undefined ? {} : { deadlineMs: wantedMs + marginMs }) };
}

function waitOf({ timeoutMs: wantedMs }: WaitOptions) {
  return wantedMs === undefined ? {} : { timeoutMs: wantedMs };
}
