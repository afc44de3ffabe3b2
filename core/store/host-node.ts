/**
 * A host on the ring as the node of a Store. Whatever it answers is with the hosts already: nothing is ever pending.
 */
import type { DeleteOptions, ListOptions, NodeApi, PutOptions, Watched, WriteAnswer } from "../api.ts";
import { makeKey } from "../bytes/key.ts";
import { StoreError } from "../errors.ts";
import type { NodeId } from "../identity.ts";
import type { CancelSignal, Clock, Random, Stop } from "../ports.ts";
import type {
  AnsweredWrite,
  Channel,
  ImportResult,
  Inspection,
  LwwConflict,
  ParkedWrite,
  RequestName,
  SharedNode,
  StoreNode,
  StoreChange,
  StoreFacts,
  StoreGetOptions,
  StoreList,
  StoreRead,
  StoreWrite,
  WaitOptions,
  WriteLevel,
} from "../store-node.ts";
import { abortedError, within } from "./cancel.ts";
import { Listeners } from "./listeners.ts";
import { Origins, OwnWrites } from "./origins.ts";
import { untilSafe } from "./safety.ts";

/** What a host's node offers to a Store. */
interface HostNode extends Pick<
  NodeApi,
  "get" | "getLocal" | "put" | "delete" | "list" | "watch" | "status" | "ring" | "explain"
> {
  join(bucket: string, name: string, hear: (message: Uint8Array) => void): Channel;
  /** It has its place, and others to turn to if there are any. */
  readonly connected: boolean;
  readonly portable: Pick<StoreNode, "export" | "import">;
}

interface HostDeps {
  readonly id: NodeId;
  readonly node: HostNode;
  readonly clock: Clock;
  readonly random: Random;
  /** Of conflicts that the node finds in what it holds. */
  readonly onConflict: (listener: (conflict: LwwConflict) => void) => Stop;
  /** Stops the node and lets go of its storage. */
  readonly stop: () => Promise<void>;
}

/** A host has no event of its contact with others; this often it is looked at. */
const lookIntervalMs = 250;
const whole = { source: "quorum", pending: false } as const;

/** The node is stopped by `close`; whoever made it brings what that means. */
export class HostStoreNode implements SharedNode {
  readonly id: NodeId;
  readonly #deps: HostDeps;
  readonly #own: OwnWrites;
  readonly #factListeners = new Listeners<void>();
  #connected: boolean;
  #stopLooking: Stop = () => {};
  #isClosed = false;

  constructor(deps: HostDeps) {
    this.id = deps.id;
    this.#deps = deps;
    this.#own = new OwnWrites(deps.clock);
    this.#connected = deps.node.connected;
    this.#look();
  }

  get(bucket: string, name: string, { r, ...options }: StoreGetOptions = {}): Promise<StoreRead> {
    return this.#ask(options.signal, `the get of ${bucket}/${name}`, async () => {
      const { node } = this.#deps;
      if (r !== "local") {
        return { ...(await node.get(bucket, name, r === undefined ? options : { ...options, r })), ...whole };
      }
      const { holding: _holding, ...answer } = await node.getLocal(bucket, name);
      return { ...answer, source: "local", pending: false };
    });
  }

  put(bucket: string, name: string, body: Uint8Array, options: PutOptions & RequestName = {}): Promise<StoreWrite> {
    const named = withWriteId(options);
    return this.#write(bucket, name, options, () => this.#deps.node.put(bucket, name, body, named));
  }

  delete(bucket: string, name: string, options: DeleteOptions & RequestName = {}): Promise<StoreWrite> {
    const named = withWriteId(options);
    return this.#write(bucket, name, options, () => this.#deps.node.delete(bucket, name, named));
  }

  async until(write: AnsweredWrite, level: WriteLevel, options: WaitOptions = {}): Promise<number> {
    return untilSafe(this.#deps, write, { level, ...options });
  }

  list(bucket: string, options: ListOptions = {}): Promise<StoreList> {
    return this.#ask(options.signal, `listing ${bucket}`, async () => {
      return { ...(await this.#deps.node.list(bucket, options)), source: "quorum" };
    });
  }

  async *watch(bucket: string, keys: Watched, signal: CancelSignal): AsyncGenerator<StoreChange> {
    const { node, clock } = this.#deps;
    const origins = new Origins(this.#own, keys, clock.wallTime());
    for await (const event of node.watch(bucket, keys, signal)) {
      await this.#own.done(makeKey(event.bucket, event.name), signal);
      const origin = origins.of(event);
      if (origin !== undefined) yield { ...event, ...whole, origin };
    }
  }

  join(bucket: string, name: string, hear: (message: Uint8Array) => void): Channel {
    return this.#deps.node.join(bucket, name, hear);
  }

  flush(options: WaitOptions = {}): Promise<void> {
    return within(this.#deps.clock, this.#own.allDone(), options, "the flush");
  }

  async inspect(bucket: string, name: string): Promise<Inspection> {
    const { node } = this.#deps;
    return { status: await node.status(), ring: node.ring(), explanation: await node.explain(bucket, name) };
  }

  facts(): StoreFacts {
    const connected = this.#connected;
    return { loaded: !this.#isClosed, connected, settled: connected, pending: 0, pendingSinceMs: null, parked: 0 };
  }

  onFacts(listener: () => void): Stop {
    return this.#factListeners.add(listener);
  }

  onConflict(listener: (conflict: LwwConflict) => void): Stop {
    return this.#deps.onConflict(listener);
  }

  async parked(): Promise<readonly ParkedWrite[]> {
    return [];
  }

  async discard({ dot }: Pick<ParkedWrite, "dot">): Promise<void> {
    throw new StoreError("not-found", `no write ${dot} is parked here`);
  }

  export(): AsyncIterable<Uint8Array> {
    return this.#deps.node.portable.export();
  }

  import(source: AsyncIterable<Uint8Array>): Promise<ImportResult> {
    return this.#deps.node.portable.import(source);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#connected = false;
    this.#stopLooking();
    await this.#deps.stop();
  }

  #look(): void {
    const { node, clock } = this.#deps;
    this.#stopLooking = clock.after(lookIntervalMs, () => this.#look());
    if (node.connected === this.#connected) return;
    this.#connected = node.connected;
    this.#factListeners.tell();
  }

  #write(bucket: string, name: string, options: PutOptions, work: () => Promise<WriteAnswer>): Promise<StoreWrite> {
    return this.#ask(options.signal, `the write of ${bucket}/${name} (which may still happen)`, async () => {
      const answer = await this.#own.note(makeKey(bucket, name), work());
      const until: StoreWrite["until"] = (level, limits = {}) =>
        untilSafe(this.#deps, { bucket, name, answer }, { level, ...limits });
      return { ...answer, until };
    });
  }

  /** One that is aborted before it begins does nothing. A host calls one that its caller ended later `closed`, as if it ended itself. */
  async #ask<A>(signal: CancelSignal | undefined, what: string, work: () => Promise<A>): Promise<A> {
    if (signal?.aborted) throw abortedError(what);
    try {
      return await work();
    } catch (error: unknown) {
      const isClosed = error instanceof StoreError && error.code === "closed";
      if (isClosed && signal?.aborted) throw abortedError(what);
      throw error;
    }
  }
}

/** A host keeps no record of what it was asked, so that a request's name becomes the write's, as far as write ids go. */
function withWriteId<Options extends DeleteOptions>({ request, ...options }: Options & RequestName) {
  return request === undefined ? options : { writeId: request, ...options };
}
