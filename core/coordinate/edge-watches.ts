/**
 * Watches on behalf of edges (PROTOCOL 6.5): an edge holds one session with one host, which follows the change logs of
 * whomever its keys need, and tells which keys to read anew.
 * Invariant: within a session no change is left out. An answer that is lost ends it: the edge begins another, here or
 * elsewhere, and reads all that it watches anew.
 */
import type { Infer } from "../bytes/codec.ts";
import { isUpdate } from "../causality/version-set.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import type { Stop } from "../ports.ts";
import type { ChangeFilter } from "../replica/change-log.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";
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

export function serveEdgeWatches(deps: WatchDeps, server: RpcServer): void {
  const { clock, cluster, tasks } = deps;
  /** One an edge. */
  const sessions = new Map<NodeId, Session>();
  const end = (edge: NodeId): void => {
    sessions.get(edge)?.end();
    sessions.delete(edge);
  };
  tasks.every("end idle watches of edges", sweepMs, () => {
    for (const [edge, { askedMs, beganMs }] of sessions) {
      if (clock.now() - askedMs > sessionIdleMs || clock.now() - beganMs > sessionMaxMs) end(edge);
    }
  });
  const filters = (): number => [...sessions.values()].reduce((sum, each) => sum + each.filters, 0);
  server.on(methods.edgeWatch, async (edge, request): Promise<Response> => {
    // The others tell it nothing any more.
    if (!cluster.isMember(cluster.self)) {
      end(edge);
      throw new StoreError("not-member", "this host is no member any more: watch at another one");
    }
    if (request.begins) {
      end(edge);
      sessions.set(edge, new Session(deps, request.session, filters));
    }
    const session = sessions.get(edge);
    if (session === undefined || session.id !== request.session) {
      throw new StoreError("not-ready", "this host does not know this watch: begin anew");
    }
    const keys = await session.ask(request);
    return { keys, ring: cluster.ring.fingerprint, digests: keys.map((key) => digestOf(deps, key)) };
  });
}

/**
 * Of documents, which change with each keystroke. Any change reaches each owner, which then tells it (again): so who has the
 * state of a complete owner misses nothing for long. What is not in memory is not looked for.
 */
function digestOf({ cluster, replica }: WatchDeps, key: Key): Uint8Array {
  const copy = replica.readInMemory(cluster.locate(key));
  return copy?.role === "complete" && copy.held.state.values.some(isUpdate) ? copy.held.digest : noDigest;
}

const noDigest = new Uint8Array(0);

class Session {
  readonly id: string;
  askedMs: number;
  readonly beganMs: number;
  readonly #deps: WatchDeps;
  /** Of all sessions. */
  readonly #countAll: () => number;
  readonly #filters = new Map<string, Stop>();
  readonly #changed = new Set<Key>();
  #ended = false;
  #wake: () => void = () => {};

  constructor(deps: WatchDeps, id: string, countAll: () => number) {
    this.#deps = deps;
    this.id = id;
    this.#countAll = countAll;
    this.beganMs = this.askedMs = deps.clock.now();
  }

  get filters(): number {
    return this.#filters.size;
  }

  /** What changed since the last answer; waits for that. */
  async ask({ add, drop, waitMs }: Request): Promise<Key[]> {
    this.askedMs = this.#deps.clock.now();
    for (const filter of drop) this.#forget(filter);
    for (const filter of add) this.#follow(filter);
    if (this.#changed.size === 0) await this.#next(Math.min(waitMs, waitMaxMs));
    this.askedMs = this.#deps.clock.now();
    const keys = [...this.#changed].slice(0, keysMax);
    for (const key of keys) this.#changed.delete(key);
    return keys;
  }

  end(): void {
    this.#ended = true;
    for (const stop of this.#filters.values()) stop();
    this.#filters.clear();
    this.#wake();
  }

  #follow(filter: ChangeFilter): void {
    if (this.#filters.has(nameOf(filter))) return;
    if (this.#countAll() >= filtersMax)
      throw new StoreError("overloaded", `edges watch ${filtersMax} things through this host already`);
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
