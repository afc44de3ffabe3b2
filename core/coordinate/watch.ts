/**
 * watch(key | prefix): the state now, then each change (PROTOCOL 6.5). Hosts keep a log of changed keys; a watcher follows
 * the logs of enough hosts and reads what changed.
 * Invariant: nothing is missed: where a log has forgotten, or another host is followed, everything is read anew; what
 * expires, and is in no log, is read when it does.
 */
import type { ReadAnswer, WatchEvent, Watched } from "../api.ts";
import { bucketOf, makeKey, nameOf } from "../bytes/key.ts";
import { Recent } from "../bytes/recent.ts";
import { coversAll, type Dot } from "../causality/version-set.ts";
import type { Key, NodeId } from "../identity.ts";
import { locate } from "../placement/locate.ts";
import type { CancelSignal, Stop } from "../ports.ts";
import type { ChangeFilter } from "../replica/change-log.ts";
import { Expiries } from "../expiries.ts";
import { reasonOf } from "../tasks.ts";
import type { ChangeFeeds } from "./change-feeds.ts";
import type { CoordinateDeps } from "./deps.ts";
import { notMember, type Requests } from "./requests.ts";

export interface WatchDeps extends CoordinateDeps {
  readonly requests: Requests;
  readonly feeds: ChangeFeeds;
}

const retryMs = 500;
const listPage = 1_000;
/** Keys of which a watch remembers what it has shown. */
const shownMax = 10_000;

/**
 * Ends with `not-member` when the membership of this host does: it hears of no change any more.
 * @throws StoreError before the stream begins: `bad-request`, no key is called so; `not-member`
 */
export function watch(
  deps: WatchDeps,
  bucket: string,
  what: Watched,
  signal: CancelSignal,
): AsyncGenerator<WatchEvent> {
  if (!isMember(deps)) throw notMember(deps.cluster);
  if ("name" in what) return states(deps, { prefix: makeKey(bucket, what.name), exact: true }, [], signal);
  makeKey(bucket, what.prefix || "x"); // only to check both
  const shown = [...(what.shown ?? [])].map((name) => makeKey(bucket, name));
  return states(deps, { prefix: `${bucket}/${what.prefix}`, exact: false }, shown, signal);
}

async function* states(
  deps: WatchDeps,
  filter: ChangeFilter,
  shownBefore: readonly Key[],
  signal: CancelSignal,
): AsyncGenerator<WatchEvent> {
  if (signal.aborted) return;
  const changed = new ChangedKeys();
  /** Keys under a prefix whose last event showed a value: a list does not tell that one was deleted. */
  const live = new Set(shownBefore);
  const stopFollowing = new Following(deps, filter, { changed, live }).start();
  const end = (): void => changed.end();
  const stopWithNode = deps.tasks.onStop(end);
  signal.addEventListener("abort", end, { once: true });
  const { clock, tasks } = deps;
  const stopLooking = onceNoMember(deps, end);
  const expiries = new Expiries({ after: (ms, run) => tasks.after(ms, run), wallMs: () => clock.wallTime() }, (keys) =>
    changed.add(keys),
  );
  const shown = new Shown();
  try {
    for await (const key of changed) {
      const answer = await readOrRetry(deps, key, changed);
      if (answer === undefined) continue;
      expiries.shown(key, answer.siblings);
      const vector = deps.contexts.open(answer.context ?? undefined, key).vector;
      const news = shown.judge(key, fingerprintOf(answer), vector);
      if (news === "older") tasks.after(retryMs, () => changed.add([key]));
      if (news !== "new") continue;
      if (answer.siblings.length === 0) live.delete(key);
      else if (!filter.exact) live.add(key);
      yield { ...answer, bucket: bucketOf(key), name: nameOf(key) };
    }
    if (!signal.aborted && !tasks.stopped && !isMember(deps)) throw notMember(deps.cluster);
  } finally {
    stopLooking();
    stopFollowing();
    expiries.stop();
    stopWithNode();
    signal.removeEventListener("abort", end);
    end();
  }
}

const isMember = ({ cluster }: WatchDeps): boolean => cluster.isMember(cluster.self);

/** Calls `hear` when the membership of this host has ended. */
function onceNoMember(deps: WatchDeps, hear: () => void): Stop {
  let stopTimer: Stop = () => {};
  const look = (): void => {
    if (!isMember(deps)) return hear();
    stopTimer = deps.tasks.after(retryMs, look);
  };
  look();
  return () => stopTimer();
}

/** What was shown last of each key; of keys that changed lately, if they are many. */
class Shown {
  readonly #last = new Recent<Key, { readonly seen: string; readonly vector: readonly Dot[] }>(shownMax, () => 1);
  readonly #doubted = new Set<Key>();

  /**
   * `same`: several hosts tell of one write, and a merge may change nothing that a reader sees. `older`: the last state was
   * read from another quorum while its write was under way. It is to be read again, once: what is older then too is shown,
   * for whoever knew better may have burnt down.
   */
  judge(key: Key, seen: string, vector: readonly Dot[]): "new" | "same" | "older" {
    const last = this.#last.get(key);
    if (last?.seen === seen) {
      this.#doubted.delete(key);
      return "same";
    }
    const isOlder = last !== undefined && coversAll(last.vector, vector) && !coversAll(vector, last.vector);
    if (isOlder && !this.#doubted.has(key)) {
      this.#doubted.add(key);
      return "older";
    }
    this.#doubted.delete(key);
    this.#last.set(key, { seen, vector });
    return "new";
  }
}

/** Keys to be read, each once however often it changed meanwhile. */
class ChangedKeys {
  readonly #keys = new Set<Key>();
  #ended = false;
  #wake: () => void = () => {};

  get ended(): boolean {
    return this.#ended;
  }

  add(keys: Iterable<Key>): void {
    for (const key of keys) this.#keys.add(key);
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Key> {
    while (!this.#ended) {
      const [next] = this.#keys;
      if (next === undefined) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      this.#keys.delete(next);
      yield next;
    }
  }
}

/** Where a watcher collects what is to be read. */
type Collecting = Pick<ChangedKeys, "add" | "ended">;

/**
 * A prefix: every host is followed, for its keys are anywhere. One key: this host alone where it owns it and takes writes, for
 * its own copy is part of each read; else every owner, for one tells of a change that those who are then read may not have yet: the last who
 * comes to have it tells of it too.
 */
export class Following {
  readonly #deps: WatchDeps;
  readonly #filter: ChangeFilter;
  readonly #changed: Collecting;
  readonly #live: ReadonlySet<Key>;
  readonly #followed = new Map<NodeId, Stop>();
  #reading = false;
  #readAgain = false;

  constructor(
    deps: WatchDeps,
    filter: ChangeFilter,
    keys: { readonly changed: Collecting; readonly live: ReadonlySet<Key> },
  ) {
    this.#deps = deps;
    this.#filter = filter;
    this.#changed = keys.changed;
    this.#live = keys.live;
  }

  /** @throws StoreError `overloaded`: too much is watched through this host */
  start(): Stop {
    const leave = this.#deps.feeds.watch(this.#filter);
    this.#followWhoIsNeeded();
    return () => {
      leave();
      for (const stop of this.#followed.values()) stop();
      this.#followed.clear();
    };
  }

  /** Looks again now and then, for hosts come and go. */
  #followWhoIsNeeded(): void {
    if (this.#changed.ended || this.#deps.tasks.stopped) return;
    for (const host of this.#hostsNeeded()) {
      if (!this.#followed.has(host)) this.#followed.set(host, this.#follow(host));
    }
    this.#deps.tasks.after(retryMs, () => this.#followWhoIsNeeded());
  }

  /** Of one key, stops following who need not be. Where no owner is up, a stand-in, anew each time: it logs no hints. */
  #hostsNeeded(): readonly NodeId[] {
    const { ring, self, health } = this.#deps.cluster;
    if (!this.#filter.exact) return ring.hosts.map(({ id }) => id).filter((id) => health.isUp(id));
    const { partition } = locate(this.#filter.prefix as Key, ring.partitions);
    const owners = ring.owners(partition);
    // What its disk refuses the others take, and nothing here tells of it.
    const hearsAll = owners.includes(self) && this.#deps.replica.commits.state === "ok";
    const wanted = hearsAll ? [self] : owners;
    for (const [host, stop] of this.#followed) {
      if (wanted.includes(host)) continue;
      // It owns the key no more, so it hears of no further changes. Or this host owns it now: news of another may come before
      // the own copy has what they tell of, and a read of which that copy is one would miss it.
      stop();
      this.#followed.delete(host);
    }
    const up = wanted.filter((host) => health.isUp(host));
    if (up.length > 0 || this.#followed.size > 0) return up;
    const standIn = ring.walk(partition).find((host) => health.isUp(host));
    return standIn === undefined ? [] : [standIn];
  }

  #follow(host: NodeId): Stop {
    return this.#deps.feeds.follow(host, this.#filter, (news) => {
      if (news === "lost") this.#followed.delete(host);
      else if (news === "everything") this.#readEverything();
      else this.#changed.add(news);
    });
  }

  /** Once for all hosts that ask for it at a time: listing a bucket is expensive. */
  #readEverything(): void {
    if (this.#filter.exact) {
      this.#changed.add([this.#filter.prefix as Key]);
      return;
    }
    this.#readAgain = true;
    if (this.#reading) return;
    this.#reading = true;
    this.#deps.tasks.run("watch", async () => {
      try {
        while (this.#readAgain && !this.#changed.ended) {
          this.#readAgain = false;
          await this.#listAll();
        }
      } catch (error: unknown) {
        this.#deps.telemetry.event({ kind: "task-failed", task: "watch", reason: reasonOf(error) });
        this.#deps.tasks.after(retryMs, () => this.#readEverything());
      } finally {
        this.#reading = false;
      }
    });
  }

  async #listAll(): Promise<void> {
    this.#changed.add(this.#live);
    const { prefix } = this.#filter;
    const slash = prefix.indexOf("/");
    const bucket = prefix.slice(0, slash);
    let after: string | null | undefined;
    do {
      const options = { prefix: prefix.slice(slash + 1), limit: listPage, ...(after ? { after } : {}) };
      const page = await this.#deps.requests.list(bucket, options);
      this.#changed.add(page.keys.map((name) => makeKey(bucket, name)));
      after = page.next;
    } while (after !== null && !this.#changed.ended);
  }
}

async function readOrRetry(deps: WatchDeps, key: Key, changed: ChangedKeys): Promise<ReadAnswer | undefined> {
  try {
    return await deps.requests.get(key);
  } catch (error: unknown) {
    deps.telemetry.event({ kind: "task-failed", task: "watch", reason: `${key}: ${reasonOf(error)}` });
    deps.tasks.after(retryMs, () => changed.add([key]));
    return undefined;
  }
}

function fingerprintOf({ siblings, deleted }: ReadAnswer): string {
  return `${siblings.map(({ dot }) => dot).join()};${deleted}`;
}
