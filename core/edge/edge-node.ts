/**
 * An edge: a node without tokens, such as the usual browser tab. It keeps copies of the keys that it uses, writes while
 * it is offline, and asks hosts to coordinate (PROTOCOL 3, *Edges*; 5; 6). What it is made of comes through the ports, as at
 * a host; what it does is in this folder.
 *
 * Rows: `objects` holds copies (`copies.ts`), `hints` the outbox (`outbox.ts`), `meta` the membership (`contact.ts`), what was
 * answered lately (`answered.ts`), and large parts of copies (`copy-row.ts`).
 */
import type { ListOptions, Watched } from "../api.ts";
import { equalBytes } from "../bytes/compare.ts";
import { bucketOf, makeKey, nameOf } from "../bytes/key.ts";
import { clockDigest } from "../causality/clock.ts";
import { HybridClock } from "../causality/hybrid-clock.ts";
import { dotText } from "../causality/version-set.ts";
import { loadRoster } from "../cluster/stored-roster.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { timeoutOf } from "../limits.ts";
import type { CancelSignal, Clock, Identity, Random, Stop, Storage, Transport } from "../ports.ts";
import { RpcServer } from "../rpc/call.ts";
import { RecordStore } from "../storage/record-store.ts";
import type {
  AnsweredWrite,
  Channel,
  ImportResult,
  LwwConflict,
  ParkedWrite,
  SharedNode,
  StoreChange,
  StoreFacts,
  StoreGetOptions,
  StoreList,
  StoreRead,
  StoreWrite,
  WaitOptions,
  WriteLevel,
} from "../store-node.ts";
import { Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import { Answered } from "./answered.ts";
import { writeOf } from "./answers.ts";
import { type EdgeConfig, edgeDefaults } from "./config.ts";
import { Contact } from "./contact.ts";
import { EdgeChannels } from "./channels.ts";
import { Copies } from "./copies.ts";
import { Delivery } from "./delivery.ts";
import { Flushing } from "./flushing.ts";
import { listKnown } from "./list.ts";
import { type Accepted, Local } from "./local.ts";
import { Outbox, type OutboxWrite } from "./outbox.ts";
import { OwnActor } from "./own-actor.ts";
import { checkPreconditions } from "./preconditions.ts";
import { exportEdge, importIntoEdge, type PortableDeps } from "./portable.ts";
import { Reads } from "./reads.ts";
import { untilLevel } from "./until.ts";
import { checkNotAborted, unlessAborted, untilMet } from "./waiting.ts";
import { Watching } from "./watching.ts";
import { type WriteOptions, wishOf } from "./wish.ts";

/** The outside world of one edge. The caller made them, and closes them after `close`. */
export interface EdgePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly storage: Storage;
  readonly transport: Transport;
  readonly identity: Identity;
  readonly telemetry: Telemetry;
}

/** Which cluster, and how. */
export interface EdgeOptions {
  readonly cluster: string;
  /** Addresses of hosts of the cluster. */
  readonly seeds: readonly string[];
  readonly config?: Partial<EdgeConfig>;
}

/** Deliveries under way get this long when the node closes; what is cut off is sent again after the next start. */
const stopGraceMs = 1_000;
/** One application's writes come from one thread. Of fewer a flush in halves saves nothing. */
const halvesFrom = 32;

/**
 * @example
 * const edge = new EdgeNode({ clock, random, storage, transport, identity, telemetry }, { cluster: "shop", seeds });
 * await edge.start();
 * const { until } = await edge.put("carts", "alice", body); // durable here; offline, too
 * await until("quorum");
 * await edge.close();
 */
export class EdgeNode implements SharedNode {
  readonly id: NodeId;
  readonly #config: EdgeConfig;
  readonly #records: RecordStore;
  readonly #tasks: Tasks;
  readonly #contact: Contact;
  readonly #copies: Copies;
  readonly #outbox: Outbox;
  readonly #answered: Answered;
  readonly #local: Local;
  readonly #delivery: Delivery;
  readonly #flushing: Flushing;
  readonly #reads: Reads;
  readonly #watching: Watching;
  readonly #portable: PortableDeps;
  readonly #channels: EdgeChannels;
  readonly #listen: () => Stop;
  readonly #listeners = new Set<() => void>();
  readonly #conflictListeners = new Set<(conflict: LwwConflict) => void>();
  #isLoaded = false;
  #isClosed = false;

  constructor(ports: EdgePorts, { cluster, seeds, config }: EdgeOptions) {
    const { clock, random, transport } = ports;
    const telemetry = this.#telling(ports.telemetry);
    this.#config = { ...edgeDefaults, ...config };
    const self = (this.id = transport.self);
    const records = (this.#records = new RecordStore(ports.storage, { clock, halvesFrom }));
    const tasks = (this.#tasks = new Tasks({ clock, telemetry }));
    const contact = (this.#contact = new Contact({ ...ports, telemetry, records, tasks }, this.#config, {
      name: cluster,
      seeds,
    }));
    const actor = new OwnActor({ edge: self, random, hybridClock: new HybridClock(this.#config) });
    const outbox = (this.#outbox = new Outbox({ self, records, telemetry }, this.#config));
    const answered = (this.#answered = new Answered({ self, records }));
    const isPinned = (key: Key): boolean => outbox.of(key).length > 0 || this.#watching.isWatched(key);
    const copies = (this.#copies = new Copies({ self, records, actor, telemetry, isPinned }, this.#config));
    const locate = (key: Key) => contact.locate(key);
    const changed = (key: Key, by: "local" | "remote"): void => this.#changed(key, by);
    const stores = { self, records, copies, outbox, answered, actor, telemetry };
    const local = (this.#local = new Local({ ...stores, locate, changed }, this.#config));
    const deps = { contact, local, outbox, random, tasks, telemetry };
    this.#portable = { self, cluster, contact, copies, local, outbox };
    this.#delivery = new Delivery({ ...deps, changed: () => this.#tell() }, this.#config);
    this.#flushing = new Flushing(deps);
    const reads = (this.#reads = new Reads({ ...deps, self, clock }, this.#config));
    const server = new RpcServer(telemetry);
    const channels = (this.#channels = new EdgeChannels({ ...ports, contact, tasks, telemetry }));
    this.#listen = () => (channels.serve(server), server.listen(transport));
    this.#watching = new Watching({
      ...deps,
      read: (key, source) => reads.local(key, source),
      refresh: async (key, host) => {
        await reads.refresh(key, host);
        this.#makeRoom();
      },
      isCurrent: async (key, { digest, news }) => {
        if (news !== undefined && (await reads.takeNews(key, news))) return true;
        await this.#delivery.idle(key);
        return equalBytes(clockDigest((await local.copy(contact.locate(key))).state), digest);
      },
      keys: () => this.#knownKeys(),
      compared: () => this.#tell(),
    });
  }

  /**
   * Opens what an earlier run left, and begins to look for hosts; resolves when local reads and writes are answered.
   * @throws StoreError `bad-request`: the storage is a host's, or an edge's of another cluster
   */
  async start(): Promise<void> {
    if ((await loadRoster(this.#records)) !== undefined) {
      throw new StoreError("bad-request", "this storage belongs to a host: an edge needs its own");
    }
    const parts = [this.#contact, this.#outbox, this.#answered, this.#copies];
    await Promise.all(parts.map((part) => part.open()));
    this.#isLoaded = true;
    const stops = [this.#contact.onChange(() => this.#tell()), this.#outbox.onChange(() => this.#tell())];
    stops.push(this.#listen());
    this.#tasks.onStop(() => {
      for (const stop of stops) stop();
    });
    this.#contact.start();
    this.#delivery.start();
    this.#tell();
  }

  async get(bucket: string, name: string, options: StoreGetOptions = {}): Promise<StoreRead> {
    const key = makeKey(bucket, name);
    const timeoutMs = timeoutOf(this.#config, options.timeoutMs);
    this.#checkOpen(options.signal);
    return unlessAborted(options.signal, this.#get(key, options.r, timeoutMs));
  }

  put(bucket: string, name: string, body: Uint8Array, options: WriteOptions = {}): Promise<StoreWrite> {
    return this.#write(bucket, name, body, options);
  }

  delete(bucket: string, name: string, options: WriteOptions = {}): Promise<StoreWrite> {
    return this.#write(bucket, name, undefined, options);
  }

  async list(bucket: string, options: ListOptions = {}): Promise<StoreList> {
    const timeoutMs = timeoutOf(this.#config, options.timeoutMs);
    this.#checkOpen(options.signal);
    await unlessAborted(options.signal, this.#untilTried(timeoutMs));
    const deps = {
      contact: this.#contact,
      keys: () => this.#knownKeys(),
      pending: () => this.#outbox.keys(),
      read: (key: Key) => this.#reads.local(key, "local"),
    };
    return unlessAborted(options.signal, listKnown(deps, bucket, { ...options, timeoutMs }));
  }

  watch(bucket: string, what: Watched, signal: CancelSignal): AsyncIterable<StoreChange> {
    this.#checkOpen();
    return this.#watching.watch(bucket, what, signal);
  }

  async until(asked: AnsweredWrite, level: WriteLevel, options: WaitOptions = {}): Promise<number> {
    this.#checkOpen();
    const key = makeKey(asked.bucket, asked.name);
    const found = await this.#local.asked(this.#contact.locate(key), asked.request, asked.body);
    if (found !== undefined) return untilLevel(this.#writeDeps(), found.write, level, options);
    throw new StoreError("outcome-unknown", `who has the write ${asked.request} of ${key} is known no more`);
  }

  join(bucket: string, name: string, hear: (message: Uint8Array) => void): Channel {
    this.#checkOpen();
    return this.#channels.join(bucket, name, hear);
  }

  flush(options: WaitOptions = {}): Promise<void> {
    return this.#flushing.flush(options);
  }

  facts(): StoreFacts {
    const { counts, oldest } = this.#outbox;
    const { isConnected } = this.#contact;
    return {
      loaded: this.#isLoaded,
      connected: isConnected,
      settled: isConnected && counts.pending === 0 && this.#watching.isCompared,
      ...counts,
      delayed: this.#delivery.delayed,
      pendingSinceMs: oldest?.row.clockMs ?? null,
    };
  }

  onFacts(listener: () => void): Stop {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onConflict(listener: (conflict: LwwConflict) => void): Stop {
    this.#conflictListeners.add(listener);
    return () => this.#conflictListeners.delete(listener);
  }

  async parked(): Promise<readonly ParkedWrite[]> {
    return [...this.#outbox.all()].flatMap((write) => {
      const { key, dot, row, parkedFor: error } = write;
      if (error === undefined) return [];
      const { tombstone, body, contentType } = row.value;
      const named = { bucket: bucketOf(key), name: nameOf(key), dot: dotText(dot), contentType, error };
      return [tombstone ? named : { ...named, body }];
    });
  }

  async discard({ bucket, name, dot }: Pick<ParkedWrite, "bucket" | "name" | "dot">): Promise<void> {
    const key = makeKey(bucket, name);
    const writes = this.#outbox.of(key).filter((write) => write.parkedFor !== undefined && dotText(write.dot) === dot);
    if (writes.length === 0) throw new StoreError("not-found", `no write ${dot} of ${key} is parked`);
    await this.#local.discard(this.#contact.locate(key), writes);
  }

  export(): AsyncIterable<Uint8Array> {
    this.#checkOpen();
    return exportEdge(this.#portable);
  }

  async import(source: AsyncIterable<Uint8Array>): Promise<ImportResult> {
    this.#checkOpen();
    return importIntoEdge(this.#portable, source, (key) => {
      this.#makeRoom();
      this.#delivery.send(key);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#contact.stop();
    await this.#tasks.stop(stopGraceMs);
  }

  async #get(key: Key, r: StoreGetOptions["r"], timeoutMs: number): Promise<StoreRead> {
    if (r !== "local") await this.#untilTried(timeoutMs);
    const read = await this.#reads.get(key, r, timeoutMs);
    this.#makeRoom();
    return read;
  }

  async #write(bucket: string, name: string, body: Uint8Array | undefined, options: WriteOptions): Promise<StoreWrite> {
    const key = makeKey(bucket, name);
    const timeoutMs = timeoutOf(this.#config, options.timeoutMs);
    const deps = this.#writeDeps();
    this.#checkOpen(options.signal);
    wishOf(deps, key, body, options); // what is wrong with it is told before anything is asked
    const accepted = await this.#flushing.enters(this.#accept(key, body, options, timeoutMs));
    const { write } = accepted;
    this.#delivery.send(key);
    const answered = this.#untilAnswered(write, { timeoutMs, ...(options.signal && { signal: options.signal }) });
    if (options.until === undefined) await answered;
    else this.#tasks.mind("wait for hosts", answered); // `until` of the write tells what they say
    const shown = { ...accepted, known: await this.#local.know(this.#contact.locate(key)) };
    return {
      ...writeOf({ edge: this.id, key }, shown, options.returnSiblings === true, this.#contact.wallMs),
      until: (level: WriteLevel, wait: WaitOptions = {}) => untilLevel(deps, write, level, wait),
    };
  }

  async #accept(
    key: Key,
    body: Uint8Array | undefined,
    options: WriteOptions,
    timeoutMs: number,
  ): Promise<Accepted & { readonly needed: number }> {
    const located = this.#contact.locate(key);
    const { request } = options;
    const asked = request === undefined ? undefined : await this.#local.asked(located, request, body);
    const subject = { edge: this.id, key };
    if (asked === undefined) await checkPreconditions(subject, options, () => this.#get(key, undefined, timeoutMs));
    const { wish, needed } = wishOf(this.#writeDeps(), key, body, options);
    checkNotAborted(options.signal);
    return { ...(await this.#local.write(located, wish)), needed };
  }

  #writeDeps() {
    const [tasks, contact, delivery] = [this.#tasks, this.#contact, this.#delivery];
    return { self: this.id, tasks, contact, delivery, config: this.#config };
  }

  /**
   * Hosts have acknowledged it, or this edge is offline, or they have not done so in time: it goes on in the background.
   * @throws StoreError as hosts refused it for good; the write is parked then
   */
  async #untilAnswered(write: OutboxWrite, options: WaitOptions): Promise<void> {
    await this.#untilTried(options.timeoutMs!);
    const isMet = (): boolean => !write.isPending || !this.#contact.isConnected;
    const listen = (heard: () => void): Stop => {
      const stops = [write.onChange(heard), this.#contact.onChange(heard)];
      return () => {
        for (const stop of stops) stop();
      };
    };
    try {
      await untilMet(this.#tasks, { isMet, listen }, options);
    } finally {
      await this.#delivery.unmark(write);
    }
    if (write.parkedFor !== undefined) throw write.parkedFor;
  }

  /** Just after the start it is not known yet whether this edge is offline. */
  async #untilTried(timeoutMs: number): Promise<void> {
    if (this.#contact.isConnected || this.#contact.hasTried) return;
    await Promise.race([this.#contact.tried, this.#tasks.sleep(timeoutMs)]);
  }

  *#knownKeys(): Generator<Key> {
    yield* this.#copies.keys();
    for (const key of this.#outbox.keys()) if (!this.#copies.has(key)) yield key;
  }

  #makeRoom(): void {
    if (this.#copies.bytes <= this.#config.copyBytesMax) return;
    this.#tasks.run("make room", () => this.#local.shrink());
  }

  #changed(key: Key, by: "local" | "remote"): void {
    this.#watching.tell(key, by);
    this.#makeRoom();
  }

  /** Conflicts go to the application as well. */
  #telling(telemetry: Telemetry): Telemetry {
    return {
      event: (event) => {
        telemetry.event(event);
        if (event.kind !== "conflict") return;
        const [bucket, name] = [bucketOf(event.key as Key), nameOf(event.key as Key)];
        for (const hear of this.#conflictListeners)
          hear({ bucket, name, discardedDot: event.discardedDot, timeMs: event.timeMs });
      },
    };
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #checkOpen(signal?: CancelSignal): void {
    if (this.#isClosed) throw new StoreError("closed", "this node is closed");
    if (!this.#isLoaded) throw new StoreError("not-ready", "this node is not started");
    checkNotAborted(signal);
  }
}
