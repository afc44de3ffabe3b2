/**
 * Follows the change logs of hosts on behalf of all watchers of this node: one long request per host, however many watch.
 * Invariants: a watcher hears of each change after it was told `everything`, or is told so again, or is told `lost`; all that is
 * watched fits into one question, for what does not is refused when its watch begins.
 */
import type { Infer } from "../bytes/codec.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { StoreError } from "../errors.ts";
import type { Key, NodeId } from "../identity.ts";
import type { Stop, Transport } from "../ports.ts";
import type { ChangeFilter, ChangePosition } from "../replica/change-log.ts";
import { changeFiltersMax } from "../rpc/messages.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";

/** `everything`: read all that the filter lets through, now. `lost`: this host is no longer followed; follow another. */
export type News = readonly Key[] | "everything" | "lost";

interface Follower {
  readonly filter: ChangeFilter;
  readonly hear: (news: News) => void;
  after: ChangePosition;
}

interface Feed {
  readonly followers: Set<Follower>;
  running: boolean;
}

interface FeedDeps {
  readonly exchange: Exchange;
  readonly transport: Transport;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
}

/** Below the time after which an unanswered request makes a peer suspect. */
const waitMs = 1_000;
const timeoutMs = 5_000;

export class ChangeFeeds {
  readonly #deps: FeedDeps;
  readonly #feeds = new Map<NodeId, Feed>();
  /** How many watch each filter, at whatever hosts. */
  readonly #watched = new Map<string, number>();

  constructor(deps: FeedDeps) {
    this.#deps = deps;
  }

  /** Other filters than those that are watched now for which there is room. */
  get room(): number {
    return changeFiltersMax - this.#watched.size;
  }

  /** A watch of the filter begins; it may follow any hosts until it is stopped. @throws StoreError `overloaded` */
  watch(filter: ChangeFilter): Stop {
    const name = nameOf(filter);
    const others = this.#watched.get(name) ?? 0;
    if (others === 0 && this.room === 0)
      throw new StoreError(
        "overloaded",
        `${changeFiltersMax} keys and prefixes are watched through this host: watch a prefix, or at another host`,
      );
    this.#watched.set(name, others + 1);
    return () => {
      const left = this.#watched.get(name)! - 1;
      if (left > 0) this.#watched.set(name, left);
      else this.#watched.delete(name);
    };
  }

  /** Follows a host until stopped, or until told `lost`. */
  follow(host: NodeId, filter: ChangeFilter, hear: (news: News) => void): Stop {
    const feed = this.#feedOf(host);
    let follower: Follower | undefined;
    let stopped = false;
    this.#deps.tasks.run("watch", async () => {
      try {
        const { epoch, sequence } = await this.#ask(host, [{ ...filter }], 0);
        if (stopped) return;
        follower = { filter, hear, after: { epoch, sequence } };
        feed.followers.add(follower);
        hear("everything");
        this.#keepAsking(host, feed);
      } catch (error: unknown) {
        this.#deps.telemetry.event({ kind: "replica-failed", id: host, reason: reasonOf(error) });
        if (!stopped) hear("lost");
      }
    });
    return () => {
      stopped = true;
      if (follower !== undefined) feed.followers.delete(follower);
    };
  }

  #feedOf(host: NodeId): Feed {
    const feed = this.#feeds.get(host) ?? { followers: new Set(), running: false };
    this.#feeds.set(host, feed);
    return feed;
  }

  #keepAsking(host: NodeId, feed: Feed): void {
    if (feed.running) return;
    feed.running = true;
    this.#deps.tasks.run("watch", async () => {
      try {
        while (feed.followers.size > 0 && !this.#deps.tasks.stopped) await this.#askOnce(host, feed);
      } catch (error: unknown) {
        this.#deps.telemetry.event({ kind: "replica-failed", id: host, reason: reasonOf(error) });
        const lost = [...feed.followers];
        feed.followers.clear();
        for (const { hear } of lost) hear("lost");
      } finally {
        feed.running = false;
      }
    });
  }

  async #askOnce(host: NodeId, feed: Feed): Promise<void> {
    const asked = askedBy(feed.followers);
    const filters = asked.map(({ filter, after }) => ({ ...filter, after }));
    const { results, epoch, sequence } = await this.#ask(host, filters, waitMs);
    for (const [i, { followers }] of asked.entries()) {
      const result = results[i];
      if (result === undefined) continue;
      for (const follower of followers) {
        if (!feed.followers.has(follower)) continue;
        follower.after = { epoch, sequence };
        if (result.missed) follower.hear("everything");
        else if (result.keys.length > 0) follower.hear(result.keys as Key[]);
      }
    }
  }

  #ask(
    host: NodeId,
    filters: Infer<typeof methods.changes.request>["filters"],
    wait: number,
  ): Promise<Infer<typeof methods.changes.response>> {
    const { transport, exchange } = this.#deps;
    return call(transport, host, methods.changes, { view: exchange.view(), filters, waitMs: wait }, timeoutMs);
  }
}

interface Asked {
  readonly filter: ChangeFilter;
  after: ChangePosition;
  readonly followers: Follower[];
}

/**
 * Thousands may watch the same: it is asked once, for whoever of them is furthest behind; the others look at some keys twice.
 * Should the host have begun anew meanwhile, some who followed it before that wait for the next question.
 */
function askedBy(followers: Iterable<Follower>): Asked[] {
  const asked = new Map<string, Asked>();
  for (const follower of followers) {
    const { filter, after } = follower;
    const name = `${after.epoch} ${nameOf(filter)}`;
    const same = asked.get(name) ?? { filter, after, followers: [] };
    if (after.sequence < same.after.sequence) same.after = after;
    same.followers.push(follower);
    asked.set(name, same);
  }
  return [...asked.values()].slice(0, changeFiltersMax);
}

function nameOf({ prefix, exact }: ChangeFilter): string {
  return `${exact ? "=" : "^"}${prefix}`;
}
