/**
 * Watches on behalf of edges (PROTOCOL 6.5): an edge holds one session with one host, which follows the change logs of
 * whomever its keys need, and tells which keys to read anew.
 * Of a document it tells what is new at once, but so often only, whatever else changes meanwhile: keystrokes go ahead of
 * that (`channels.ts`), and each time the edge stores the document. What the edge was told otherwise, with the answer to
 * its own write say, it tells at the end of the wait.
 * Invariant: within a session no change is left out. An answer that is lost ends it: the edge begins another, here or
 * elsewhere, and reads all that it watches anew.
 */
import type { Infer } from "../bytes/codec.ts";
import { isUpdate } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import type { Stop } from "../ports.ts";
import type { ChangeFilter } from "../replica/change-log.ts";
import type { CachedState } from "../replica/state-cache.ts";
import { filtersPerEdgeMax, type WatchedNews } from "../rpc/edge-messages.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";
import type { Channels } from "./channels.ts";
import { Following, type WatchDeps } from "./watch.ts";

type Request = Infer<typeof methods.edgeWatch.request>;
type Response = Infer<typeof methods.edgeWatch.response>;

/** A long poll ends before its connection would count as silent. */
const waitMaxMs = 5_000;
/** An edge asks again as soon as it is answered; a frozen page begins anew. */
const sessionIdleMs = 30_000;
const sweepMs = 5_000;
/** Keys in one answer. */
const keysMax = 10_000;
/** What a prefix has told is kept as long. */
const sessionMaxMs = 3_600_000;
/** Of all sessions: a question to a host's log takes 10,000, and this host's own watchers need some. */
const filtersMax = 8_000;
/** In one answer; what is more is read. */
const newsBytesMax = 262_144;
/** From one answer that tells of a document to the next; the longer where the edge hears its keystrokes ahead of that. */
const documentPauseMs = 250;
const heardPauseMs = 1_000;

export interface EdgeWatchesDeps extends WatchDeps {
  readonly channels: Pick<Channels, "takesPart">;
}

export class EdgeWatches {
  readonly #deps: EdgeWatchesDeps;
  /** One an edge. */
  readonly #sessions = new Map<NodeId, Session>();

  constructor(deps: EdgeWatchesDeps) {
    this.#deps = deps;
  }

  serve(server: RpcServer): void {
    const { clock, cluster, tasks } = this.#deps;
    tasks.every("end idle watches of edges", sweepMs, () => {
      for (const [edge, { askedMs, beganMs }] of this.#sessions) {
        if (clock.now() - askedMs > sessionIdleMs || clock.now() - beganMs > sessionMaxMs) this.#end(edge);
      }
    });
    server.on(methods.edgeWatch, async (edge, request): Promise<Response> => {
      // The others tell it nothing any more.
      if (!cluster.isMember(cluster.self)) {
        this.#end(edge);
        throw new StoreError("not-member", "this host is no member any more: watch at another one");
      }
      if (request.begins) this.#begin(edge, request.session);
      const session = this.#sessions.get(edge);
      if (session === undefined || session.id !== request.session) {
        throw new StoreError("not-ready", "this host does not know this watch: begin anew");
      }
      return session.ask(request);
    });
  }

  /** Answers a write of the edge's: its answer is going to tell it of the change. */
  during<T>(edge: NodeId, key: Key, write: () => Promise<T>): Promise<T> {
    const session = this.#sessions.get(edge);
    return session === undefined ? write() : session.during(key, write);
  }

  #begin(edge: NodeId, id: string): void {
    this.#end(edge);
    this.#deps.toldStates.follow(edge);
    const filters = (): number => [...this.#sessions.values()].reduce((sum, each) => sum + each.filters, 0);
    this.#sessions.set(edge, new Session(this.#deps, { id, edge }, filters));
  }

  #end(edge: NodeId): void {
    this.#sessions.get(edge)?.end();
    this.#sessions.delete(edge);
    this.#deps.toldStates.forget(edge);
  }
}

/**
 * Documents change with each keystroke. Any change reaches each owner, which then tells it (again): so who has the state of a
 * complete owner misses nothing for long, unless its disk refuses writes. What is not in memory is not looked for.
 */
function documentOf({ cluster, replica }: WatchDeps, key: Key): CachedState | undefined {
  if (replica.commits.state !== "ok") return undefined;
  const copy = replica.readInMemory(cluster.locate(key));
  return copy?.role === "complete" && copy.held.state.values.some(isUpdate) ? copy.held : undefined;
}

const noDigest = new Uint8Array(0);

class Session {
  readonly id: string;
  readonly #edge: NodeId;
  askedMs: number;
  readonly beganMs: number;
  readonly #deps: EdgeWatchesDeps;
  /** Of all sessions. */
  readonly #countAll: () => number;
  readonly #filters = new Map<string, Stop>();
  readonly #changed = new Set<Key>();
  /** Documents, and when they were last told. */
  readonly #toldMs = new Map<Key, number>();
  /** How many writes of the edge's are being answered. */
  readonly #writing = new Map<Key, number>();
  #toldRing: string | undefined;
  #ended = false;
  #wake: () => void = () => {};

  constructor(
    deps: EdgeWatchesDeps,
    { id, edge }: { readonly id: string; readonly edge: NodeId },
    countAll: () => number,
  ) {
    this.#deps = deps;
    this.id = id;
    this.#edge = edge;
    this.#countAll = countAll;
    this.beganMs = this.askedMs = deps.clock.now();
  }

  get filters(): number {
    return this.#filters.size;
  }

  /** What changed since the last answer; waits for that. */
  async ask({ add, drop, waitMs }: Request): Promise<Response> {
    const { clock, cluster } = this.#deps;
    this.askedMs = clock.now();
    for (const filter of drop) this.#forget(filter);
    this.#followAll(add);
    const untilMs = this.askedMs + Math.min(waitMs, waitMaxMs);
    for (let dueMs = this.#dueMs(untilMs); dueMs > clock.now(); dueMs = this.#dueMs(untilMs)) {
      await this.#next(dueMs - clock.now());
    }
    this.askedMs = clock.now();
    const keys = [...this.#changed].filter((key) => this.#pausedUntilMs(key) <= this.askedMs).slice(0, keysMax);
    for (const key of keys) this.#changed.delete(key);
    const documents = keys.map((key) => documentOf(this.#deps, key));
    const digests = documents.map((held) => held?.digest ?? noDigest);
    for (const key of this.#toldMs.keys()) if (this.#pausedUntilMs(key) <= this.askedMs) this.#toldMs.delete(key);
    for (const [i, key] of keys.entries()) if (documents[i] !== undefined) this.#toldMs.set(key, this.askedMs);
    const { fingerprint } = cluster.ring;
    const isNew = fingerprint !== this.#toldRing;
    this.#toldRing = fingerprint;
    return { keys, ...(isNew ? { ring: fingerprint } : {}), digests, news: this.#newsOf(keys, documents) };
  }

  async during<T>(key: Key, write: () => Promise<T>): Promise<T> {
    this.#writing.set(key, (this.#writing.get(key) ?? 0) + 1);
    try {
      return await write();
    } finally {
      const others = this.#writing.get(key)! - 1;
      if (others > 0) this.#writing.set(key, others);
      else this.#writing.delete(key);
      this.#wake();
    }
  }

  end(): void {
    this.#ended = true;
    for (const stop of this.#filters.values()) stop();
    this.#filters.clear();
    this.#wake();
  }

  /** When to answer: as soon as anything has changed of which the edge is not told by other answers, with a pause for documents. */
  #dueMs(untilMs: number): number {
    if (this.#ended) return -Infinity;
    const nowMs = this.#deps.clock.now();
    let dueMs = untilMs;
    for (const key of this.#changed) {
      if (dueMs <= nowMs) break;
      const pausedMs = this.#pausedUntilMs(key);
      if (pausedMs < dueMs && !this.#isToldElsewhere(key)) dueMs = pausedMs;
    }
    return dueMs;
  }

  /** A document that was told lately waits for a later answer, whatever else is told meanwhile. */
  #pausedUntilMs(key: Key): number {
    const toldMs = this.#toldMs.get(key);
    if (toldMs === undefined) return -Infinity;
    return toldMs + (this.#deps.channels.takesPart(key, this.#edge) ? heardPauseMs : documentPauseMs);
  }

  #isToldElsewhere(key: Key): boolean {
    const held = documentOf(this.#deps, key);
    if (held === undefined) return false;
    return this.#writing.has(key) || this.#deps.toldStates.wasTold({ edge: this.#edge, key }, held.digest);
  }

  #newsOf(keys: readonly Key[], documents: readonly (CachedState | undefined)[]): WatchedNews[] {
    const { toldStates, contexts } = this.#deps;
    const all: WatchedNews[] = [];
    let bytes = 0;
    for (const [place, key] of keys.entries()) {
      const held = documents[place];
      if (held === undefined || bytes > newsBytesMax) continue;
      const news = toldStates.newsFor(held, { edge: this.#edge, key });
      if (news?.state === undefined) continue;
      bytes += news.state.length;
      all.push({ place, ...news, state: news.state, context: contexts.seal(held, held.state, key) });
    }
    return all;
  }

  /** All or none: an edge that is refused some goes on with what it had, or elsewhere. @throws StoreError `overloaded` */
  #followAll(filters: readonly ChangeFilter[]): void {
    const added = new Set(filters.map(nameOf).filter((name) => !this.#filters.has(name))).size;
    if (added > 0 && this.#filters.size + added > filtersPerEdgeMax)
      throw new StoreError(
        "overloaded",
        `an edge watches at most ${filtersPerEdgeMax} keys and prefixes: watch a prefix`,
      );
    if (added > 0 && (this.#countAll() + added > filtersMax || added > this.#deps.feeds.room))
      throw new StoreError(
        "overloaded",
        `this host and edges through it watch as many keys and prefixes as it follows: no room for more`,
      );
    for (const filter of filters) this.#follow(filter);
  }

  #follow(filter: ChangeFilter): void {
    if (this.#filters.has(nameOf(filter))) return;
    /** All that was ever told under a prefix: of those a list does not tell that one was deleted meanwhile. */
    const told = new Set<Key>();
    let isDropped = false;
    const isEnded = (): boolean => isDropped || this.#ended;
    const changed = {
      add: (keys: Iterable<Key>): void => {
        for (const key of keys) {
          if (!filter.exact) told.add(key);
          this.#changed.add(key);
        }
        this.#wake();
      },
      get ended() {
        return isEnded();
      },
    };
    const stop = new Following(this.#deps, filter, { changed, live: told }).start();
    this.#filters.set(nameOf(filter), () => {
      isDropped = true;
      stop();
    });
  }

  #forget(filter: ChangeFilter): void {
    this.#filters.get(nameOf(filter))?.();
    this.#filters.delete(nameOf(filter));
  }

  #next(waitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const stopTimer = this.#deps.clock.after(waitMs, resolve);
      this.#wake = () => {
        stopTimer();
        resolve();
      };
    });
  }
}

function nameOf({ prefix, exact }: ChangeFilter): string {
  return `${exact ? "=" : "^"}${prefix}`;
}
