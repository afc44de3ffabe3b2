/**
 * watch(key | prefix): the state now, then each change (PROTOCOL 6.5). Hosts keep a log of changed keys; a watcher polls
 * the logs of enough hosts with long requests and reads what changed, so that no stream of its own can break unnoticed.
 * Invariant: nothing is missed: where a log has forgotten, or another host is followed, everything is read anew.
 */
import type { WatchEvent } from "../api.ts";
import { bucketOf, makeKey, nameOf } from "../bytes/key.ts";
import type { Key, NodeId } from "../identity.ts";
import { locate } from "../placement/locate.ts";
import type { CancelSignal } from "../ports.ts";
import type { ChangePosition } from "../replica/change-log.ts";
import { call, methods } from "../rpc/rpc.ts";
import { reasonOf } from "../tasks.ts";
import type { CoordinateDeps } from "./deps.ts";
import { list } from "./list.ts";
import type { Requests } from "./requests.ts";

export type Watched = { readonly name: string } | { readonly prefix: string };

const pollMs = 5_000;
const retryMs = 500;
/** A read that found too few replicas is tried again rather than skipped. */
const listPage = 1_000;

export async function* watch(
  deps: CoordinateDeps & { readonly requests: Requests },
  bucket: string,
  what: Watched,
  signal: CancelSignal,
): AsyncGenerator<WatchEvent> {
  const changed = new ChangedKeys();
  const stop = (): void => changed.end();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  try {
    const exact = "name" in what;
    const prefix = exact ? makeKey(bucket, what.name) : `${bucket}/${what.prefix}`;
    follow(deps, { bucket, prefix, exact, changed });
    const seen = new Map<Key, string | null>();
    for await (const key of changed) {
      const answer = await readOrRetry(deps, key, changed);
      if (answer === undefined) continue;
      // Several hosts tell of one write, and a merge may change nothing that a reader sees.
      if (exact && seen.get(key) === fingerprintOf(answer)) continue;
      if (exact) seen.set(key, fingerprintOf(answer));
      yield { ...answer, bucket: bucketOf(key), name: nameOf(key) };
    }
  } finally {
    signal.removeEventListener("abort", stop);
    changed.end();
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

interface Following {
  readonly bucket: string;
  readonly prefix: string;
  readonly exact: boolean;
  readonly changed: ChangedKeys;
}

/** One key: one owner of it is followed. A prefix: every host, for its keys are anywhere. */
function follow(deps: CoordinateDeps, what: Following): void {
  if (what.exact) {
    const { partition } = locate(what.prefix as Key, deps.cluster.ring.partitions);
    deps.tasks.run("watch", () => followOne(deps, what, () => firstUp(deps, deps.cluster.ring.walk(partition))));
    return;
  }
  const followed = new Set<NodeId>();
  const followNew = (): void => {
    if (what.changed.ended || deps.tasks.stopped) return;
    for (const { id } of deps.cluster.ring.hosts) {
      if (followed.has(id)) continue;
      followed.add(id);
      deps.tasks.run("watch", () => followOne(deps, what, () => id));
    }
    deps.tasks.after(retryMs, followNew);
  };
  followNew();
}

function firstUp({ cluster }: CoordinateDeps, walk: readonly NodeId[]): NodeId | undefined {
  return walk.includes(cluster.self) && cluster.isMember(cluster.self)
    ? (walk.slice(0, cluster.ring.n).find((id) => id === cluster.self) ?? walk.find((id) => cluster.health.isUp(id)))
    : walk.find((id) => cluster.health.isUp(id));
}

async function followOne(deps: CoordinateDeps, what: Following, choose: () => NodeId | undefined): Promise<void> {
  let host: NodeId | undefined;
  let after: ChangePosition | undefined;
  while (!what.changed.ended && !deps.tasks.stopped) {
    const next = choose();
    if (next !== host) after = undefined;
    host = next;
    if (host === undefined) {
      await deps.tasks.sleep(retryMs);
      continue;
    }
    try {
      const request = {
        prefix: what.prefix,
        exact: what.exact,
        waitMs: pollMs,
        ...(after === undefined ? {} : { after }),
      };
      const answer = await call(deps.transport, host, methods.changes, request, 2 * pollMs);
      const everything = after === undefined || answer.missed;
      after = { epoch: answer.epoch, sequence: answer.sequence };
      if (everything) await readAnew(deps, what);
      else what.changed.add(answer.keys as Key[]);
    } catch (error: unknown) {
      deps.telemetry.event({ kind: "replica-failed", id: host, reason: reasonOf(error) });
      after = undefined;
      await deps.tasks.sleep(retryMs);
    }
  }
}

async function readAnew(deps: CoordinateDeps, what: Following): Promise<void> {
  if (what.exact) return what.changed.add([what.prefix as Key]);
  const prefix = what.prefix.slice(what.bucket.length + 1);
  let after: string | null | undefined;
  do {
    const page = await list(deps, what.bucket, { prefix, limit: listPage, ...(after ? { after } : {}) });
    what.changed.add(page.keys.map((name) => makeKey(what.bucket, name)));
    after = page.next;
  } while (after !== null && !what.changed.ended);
}

async function readOrRetry(
  deps: CoordinateDeps & { readonly requests: Requests },
  key: Key,
  changed: ChangedKeys,
): Promise<Awaited<ReturnType<Requests["get"]>> | undefined> {
  try {
    return await deps.requests.get(key);
  } catch (error: unknown) {
    deps.telemetry.event({ kind: "task-failed", task: "watch", reason: `${key}: ${reasonOf(error)}` });
    deps.tasks.after(retryMs, () => changed.add([key]));
    return undefined;
  }
}

function fingerprintOf(answer: {
  readonly siblings: readonly { readonly dot: string }[];
  readonly deleted: boolean;
}): string {
  return `${answer.siblings.map(({ dot }) => dot).join()};${answer.deleted}`;
}
