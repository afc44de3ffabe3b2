/**
 * Follows the change logs of hosts on behalf of all watchers of this node: one long request per host, however many watch.
 * Invariant: a watcher hears of each change after it was told `everything`, or is told so again, or is told `lost`.
 */
import type { Infer } from "../bytes/codec.ts";
import type { Exchange } from "../cluster/exchange.ts";
import type { Key, NodeId } from "../identity.ts";
import type { Stop, Transport } from "../ports.ts";
import type { ChangeFilter, ChangePosition } from "../replica/change-log.ts";
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

  constructor(deps: FeedDeps) {
    this.#deps = deps;
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
    const asking = sameAsked(feed.followers);
    const filters = asking.map(([{ filter, after }]) => ({ ...filter, after }));
    const { results, epoch, sequence } = await this.#ask(host, filters, waitMs);
    for (const [i, followers] of asking.entries()) {
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

/** Thousands may watch the same: it is asked once. */
function sameAsked(followers: Iterable<Follower>): (readonly [Follower, ...Follower[]])[] {
  const groups = new Map<string, [Follower, ...Follower[]]>();
  for (const follower of followers) {
    const { filter, after } = follower;
    const asked = `${after.epoch} ${after.sequence} ${filter.exact} ${filter.prefix}`;
    const group = groups.get(asked);
    if (group === undefined) groups.set(asked, [follower]);
    else group.push(follower);
  }
  return [...groups.values()];
}
