/**
 * What applications watch (PROTOCOL 6.5). The node holds one session with one host, an owner of what is watched where it can;
 * that host tells which keys changed, these are read, and whoever watches is shown what is new to him.
 * Invariant: no change is missed. When a session ends, however, the next one begins with all that is watched, which is then
 * read anew; a key that could not be read is read again; and one of which a value expires is read when it does.
 */
import type { Watched } from "../api.ts";
import type { Infer } from "../bytes/codec.ts";
import { toHex } from "../bytes/hex.ts";
import { bucketOf, makeKey, nameOf } from "../bytes/key.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import { Expiries } from "../expiries.ts";
import { type CancelSignal, type Random, type Stop, TransportError } from "../ports.ts";
import { filtersPerEdgeMax, filtersPerRequestMax, type WatchedNews } from "../rpc/edge-messages.ts";
import { edgeMethods } from "../rpc/edge-methods.ts";
import type { ChangeOrigin, StoreChange, StoreRead } from "../store-node.ts";
import { inLanes, reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Contact } from "./contact.ts";

interface WatchingDeps {
  readonly contact: Contact;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
  /** From the own copies alone. */
  readonly read: (key: Key, source: StoreRead["source"]) => Promise<StoreRead>;
  /** Asks a host, and takes in what it tells. @throws StoreError */
  readonly refresh: (key: Key, host: NodeId) => Promise<void>;
  /** Whether what is known here is what the host has: by what it told, or once no write of the key is on its way any more. */
  readonly isCurrent: (key: Key, told: ToldChange) => Promise<boolean>;
  /** Of which something is known here. */
  readonly keys: () => Iterable<Key>;
  /** `settled` may have changed. */
  readonly compared: () => void;
}

/** Below the time after which an unanswered request makes a host suspect. */
const waitMs = 1_000;
const timeoutMs = 5_000;
const retryMs = 250;
/** Hosts that have no room for what is watched are asked less and less often, up to so many times that doubled. */
const refusedMax = 6;
/** Of what is watched, so much begins in one request: what one host refuses as too much is refused as a whole. */
const addedPerRequest = 500;
/** A session goes on with what it has when more is refused, and asks for that again so often. */
const refusedRetryMs = 10_000;
/** So often in a row a host may fail to read what changed: it may be cut off from its own. Then another is asked. */
const unreadMax = 8;
const refreshLanes = 16;
const digestBytes = 16;

/** What a host told of a document's change. */
export interface ToldChange {
  /** Of the host's state. */
  readonly digest: Uint8Array;
  readonly news?: WatchedNews;
}

interface Filter {
  readonly prefix: string;
  readonly exact: boolean;
}

export class Watching {
  readonly #deps: WatchingDeps;
  readonly #watchers = new Set<Watcher>();
  #following = false;
  /** Filters that were compared with hosts in the present session. */
  #compared: ReadonlySet<string> = new Set();

  constructor(deps: WatchingDeps) {
    this.#deps = deps;
  }

  async *watch(bucket: string, what: Watched, signal: CancelSignal): AsyncGenerator<StoreChange> {
    if (signal.aborted) return;
    const exact = "name" in what;
    const filter = { prefix: exact ? makeKey(bucket, what.name) : `${bucket}/${what.prefix}`, exact };
    const watcher = new Watcher(filter, exact ? [] : [...(what.shown ?? [])].map((name) => makeKey(bucket, name)));
    const end = (): void => watcher.end();
    const stopWithNode = this.#deps.tasks.onStop(end);
    signal.addEventListener("abort", end, { once: true });
    this.#watchers.add(watcher);
    const { contact, tasks } = this.#deps;
    const after = (ms: number, run: () => void): Stop => tasks.after(ms, run);
    const expiries = new Expiries({ after, wallMs: () => contact.wallMs }, (keys) => {
      for (const key of keys) watcher.add(key, "remote");
    });
    try {
      await this.#begin(watcher);
      this.#follow();
      for await (const { key, origin } of watcher) {
        const read = await this.#deps.read(key, origin === "remote" && contact.isConnected ? "quorum" : "local");
        expiries.shown(key, read.siblings);
        if (watcher.isNews(key, read)) yield { ...read, bucket: bucketOf(key), name: nameOf(key), origin };
      }
    } finally {
      this.#watchers.delete(watcher);
      stopWithNode();
      signal.removeEventListener("abort", end);
      expiries.stop();
      watcher.end();
    }
  }

  /** Something of the key is known anew. */
  tell(key: Key, origin: ChangeOrigin): void {
    for (const watcher of this.#watchers) if (watcher.lets(key)) watcher.add(key, origin);
  }

  isWatched(key: Key): boolean {
    for (const watcher of this.#watchers) if (watcher.lets(key)) return true;
    return false;
  }

  /** All that is watched has been compared with hosts since a host was last found. */
  get isCompared(): boolean {
    return [...this.#watchers].every(({ filter }) => this.#compared.has(textOf(filter)));
  }

  /** First what is here; a single key of which nothing is known is asked for, so that nobody is shown its absence in vain. */
  async #begin(watcher: Watcher): Promise<void> {
    const { contact, keys, refresh, telemetry } = this.#deps;
    const known = [...keys()].filter((key) => watcher.lets(key));
    if (!watcher.filter.exact || known.length > 0) {
      for (const key of known) watcher.add(key, "storage");
      return;
    }
    const key = watcher.filter.prefix as Key;
    await contact.tried;
    const [host] = contact.hostsFor({ key });
    let origin: ChangeOrigin = "storage";
    try {
      if (host !== undefined) {
        await refresh(key, host);
        origin = "remote";
      }
    } catch (error: unknown) {
      telemetry.event({ kind: "task-failed", task: "watch", reason: `${key}: ${reasonOf(error)}` });
    }
    watcher.add(key, origin);
  }

  /** As long as anything is watched. */
  #follow(): void {
    if (this.#following) return;
    this.#following = true;
    const { tasks, contact, telemetry } = this.#deps;
    /** What is watched goes on being followed, if less and less often. */
    const unexpected = (error: unknown): "refused" => {
      telemetry.event({ kind: "task-failed", task: "watch", reason: reasonOf(error) });
      return "refused";
    };
    tasks.run("watch", async () => {
      let last: NodeId | undefined;
      let refused = 0;
      try {
        while (this.#watchers.size > 0 && !tasks.stopped) {
          const [{ filter }] = [...this.#watchers] as [Watcher];
          const hosts = filter.exact ? contact.hostsFor({ key: filter.prefix as Key }) : contact.hosts();
          const host = hosts.find((id) => id !== last) ?? hosts[0];
          const end = host === undefined ? "failed" : await this.#session(host).catch(unexpected);
          last = host;
          this.#setCompared(new Set());
          refused = end === "refused" ? Math.min(refused + 1, refusedMax) : 0;
          await tasks.sleep(retryMs * 2 ** refused);
        }
      } finally {
        this.#following = false;
      }
    });
  }

  /** Until the host fails, or cannot read, or nothing is watched any more. `refused`: nothing was followed. */
  async #session(host: NodeId): Promise<"failed" | "refused"> {
    const { random, tasks, telemetry, keys } = this.#deps;
    const session = toHex(random.bytes(8));
    const told = new Map<string, Filter>();
    const due = new Map<Key, ToldChange | undefined>();
    let unread = 0;
    let refused = 0;
    let stopRefused: Stop | undefined;
    try {
      for (let begins = true; this.#watchers.size > 0 && !tasks.stopped; begins = false) {
        const wanted = new Map([...this.#watchers].map(({ filter }) => [textOf(filter), filter]));
        const added = [...wanted].flatMap(([text, filter]) => (told.has(text) ? [] : [filter]));
        const dropped = [...told].flatMap(([text, filter]) => (wanted.has(text) ? [] : [filter]));
        // What ends makes room.
        const isFull = stopRefused !== undefined && dropped.length === 0;
        const add = isFull ? [] : added.slice(0, addedPerRequest);
        const drop = dropped.slice(0, filtersPerRequestMax);
        const isBehind = due.size > 0 || (!isFull && add.length < added.length) || drop.length < dropped.length;
        const request = { session, begins, add, drop, waitMs: isBehind ? 0 : waitMs };
        const answer = await this.#ask(host, request);
        for (const filter of drop) told.delete(textOf(filter));
        if (answer === "refused") {
          refused += 1;
          // Another host may have room, unless this edge watches too much for any.
          if (told.size === 0 || (refused > refusedMax && wanted.size <= filtersPerEdgeMax)) return "refused";
          stopRefused?.();
          stopRefused = tasks.after(refusedRetryMs, () => {
            stopRefused = undefined;
          });
          continue;
        }
        if (add.length > 0) refused = 0;
        for (const filter of add) told.set(textOf(filter), filter);
        for (const [key, change] of changesIn(answer)) due.set(key, change);
        // What is known here may be deleted there, and then no list names it.
        for (const filter of add) for (const key of keys()) if (lets(filter, key)) due.set(key, undefined);
        for (const watcher of this.#watchers) for (const key of watcher.unsure) due.set(key, undefined);
        await this.#refresh(due, host);
        if (due.size === 0) {
          unread = 0;
          this.#setCompared(new Set(told.keys()));
        } else {
          unread += 1;
          if (unread >= unreadMax) break;
          await tasks.sleep(retryMs);
        }
      }
    } catch (error: unknown) {
      if (!(error instanceof StoreError || error instanceof TransportError)) throw error;
      telemetry.event({ kind: "replica-failed", id: host, reason: reasonOf(error) });
    } finally {
      stopRefused?.();
    }
    return "failed";
  }

  /** `refused`: the host has no room for all that is added, and follows none of it; what was dropped is. @throws TransportError, StoreError */
  async #ask(
    host: NodeId,
    request: Infer<typeof edgeMethods.edgeWatch.request>,
  ): Promise<Infer<typeof edgeMethods.edgeWatch.response> | "refused"> {
    const { contact, telemetry } = this.#deps;
    try {
      return await contact.askOne(host, edgeMethods.edgeWatch, request, timeoutMs);
    } catch (error: unknown) {
      if (!(error instanceof StoreError && error.code === "overloaded") || request.add.length === 0) throw error;
      telemetry.event({ kind: "replica-failed", id: host, reason: error.message });
      return "refused";
    }
  }

  /** What cannot be read stays due. @throws TransportError: the host is gone */
  async #refresh(due: Map<Key, ToldChange | undefined>, host: NodeId): Promise<void> {
    const left = [...due];
    const lane = async (isFailed: () => boolean): Promise<void> => {
      for (let next = left.pop(); next !== undefined && !isFailed(); next = left.pop()) {
        const [key, change] = next;
        try {
          if (change === undefined || !(await this.#deps.isCurrent(key, change))) await this.#deps.refresh(key, host);
          due.delete(key);
          this.tell(key, "remote");
        } catch (error: unknown) {
          if (!(error instanceof StoreError)) throw error;
          this.#deps.telemetry.event({ kind: "task-failed", task: "watch", reason: `${key}: ${error.message}` });
        }
      }
    };
    await inLanes(Array.from({ length: Math.min(refreshLanes, left.length) }, () => lane));
  }

  #setCompared(filters: ReadonlySet<string>): void {
    this.#compared = filters;
    this.#deps.compared();
  }
}

function changesIn({
  keys,
  digests,
  news,
}: Infer<typeof edgeMethods.edgeWatch.response>): Map<Key, ToldChange | undefined> {
  const byPlace = new Map(news.map((each) => [each.place, each]));
  return new Map(
    keys.map((key, place) => {
      const [digest, more] = [digests[place], byPlace.get(place)];
      if (digest?.length !== digestBytes) return [key as Key, undefined];
      return [key as Key, more === undefined ? { digest } : { digest, news: more }];
    }),
  );
}

/** One who watches: keys to be shown, each once however often it changed meanwhile, and what he was shown of each. */
class Watcher {
  readonly filter: Filter;
  /** Keys that an earlier watch has shown with values, and that were not looked at since: they may be gone. */
  readonly unsure: Set<Key>;
  readonly #due = new Map<Key, ChangeOrigin>();
  readonly #shown = new Map<Key, string>();
  #ended = false;
  #wake: () => void = () => {};

  constructor(filter: Filter, shown: readonly Key[]) {
    this.filter = filter;
    this.unsure = new Set(shown.filter((key) => lets(filter, key)));
    for (const key of this.unsure) this.#shown.set(key, "by an earlier watch");
  }

  lets(key: Key): boolean {
    return lets(this.filter, key);
  }

  add(key: Key, origin: ChangeOrigin): void {
    this.unsure.delete(key);
    this.#due.set(key, origin);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Under a prefix a key without values is news only to who was shown some. */
  isNews(key: Key, { siblings, deleted, pending }: StoreRead): boolean {
    const seen = `${siblings.map(({ dot }) => dot).join()};${deleted};${pending}`;
    const before = this.#shown.get(key);
    if (before === seen || (before === undefined && !this.filter.exact && siblings.length === 0)) return false;
    if (this.filter.exact || siblings.length > 0) this.#shown.set(key, seen);
    else this.#shown.delete(key);
    return true;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<{ readonly key: Key; readonly origin: ChangeOrigin }> {
    while (!this.#ended) {
      const [next] = this.#due;
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      this.#due.delete(next[0]);
      yield { key: next[0], origin: next[1] };
    }
  }
}

function lets({ prefix, exact }: Filter, key: Key): boolean {
  return exact ? key === prefix : key.startsWith(prefix);
}

function textOf({ prefix, exact }: Filter): string {
  return `${exact ? "=" : "^"}${prefix}`;
}
