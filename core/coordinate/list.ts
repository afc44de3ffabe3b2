/**
 * The keys of a bucket: a scatter over all hosts, for rows are ordered by ring position and not by name. Expensive.
 * Invariant: a key is listed when a read would find it; replicas that disagree on it are asked by a real read.
 */
import type { ListAnswer, ListOptions } from "../api.ts";
import { bitmapOf, clearBits, hasBit } from "../bytes/bitmap.ts";
import type { Infer } from "../bytes/codec.ts";
import { compareBytes, equalBytes } from "../bytes/compare.ts";
import { makeKey, nameOf } from "../bytes/key.ts";
import { toHex } from "../bytes/hex.ts";
import { siblings } from "../causality/version-set.ts";
import { dropStrays } from "../cluster/unreadable.ts";
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { listLimitMax, listLimitOf } from "../limits.ts";
import { locate, type LocatedKey, locateRow, partitionsOfStray } from "../placement/locate.ts";
import { allPartitions, partitionOf } from "../placement/partition.ts";
import { resolveQuorum } from "../quorum/resolve.ts";
import { call, methods } from "../rpc/rpc.ts";
import type { RecordPage } from "../storage/record-store.ts";
import type { CoordinateDeps } from "./deps.ts";
import { readState } from "./read.ts";

type Request = Infer<typeof methods.list.request>;
type Response = Infer<typeof methods.list.response>;
type Listed = Response["keys"][number];

/** Rows looked at for one answer, so that a small bucket among many keys does not hold a host up. */
const rowsPerAnswerMax = 50_000;
const rowsPerPage = 2_000;

/**
 * Fewer than asked for, and `next`, where the time was over before.
 * @throws StoreError `quorum-not-met` when too few complete replicas of some partition answered, or not in time
 */
export async function list(
  deps: CoordinateDeps,
  bucket: string,
  options: ListOptions & { readonly timeoutMs: number },
): Promise<ListAnswer> {
  const limit = listLimitOf(options);
  const prefix = options.prefix ?? "";
  makeKey(bucket, prefix || "x"); // only to check both
  const { partitions } = deps.cluster.ring;
  const deadlineMs = deps.clock.now() + options.timeoutMs;
  const keys: string[] = [];
  let after = options.after === undefined ? undefined : locate(makeKey(bucket, options.after), partitions).row;
  for (;;) {
    if (deps.clock.now() > deadlineMs) {
      if (keys.length > 0) return { keys, next: keys.at(-1)! };
      throw new StoreError(
        "quorum-not-met",
        `listing took longer than ${options.timeoutMs} ms: ask for fewer, or allow more`,
      );
    }
    const view = deps.exchange.view();
    const request = { view, bucket, prefix, limit: limit - keys.length + 1, ...(after === undefined ? {} : { after }) };
    const { listed, through } = await scatter(deps, request);
    for (const replicas of listed) {
      // What a host lists that has not noticed yet that the key is damaged is no key of anybody.
      const located = locateRow(replicas[0]!.row, partitions);
      if (located === undefined || !(await isLive(deps, located, replicas))) continue;
      if (keys.length === limit) return { keys, next: keys.at(-1)! };
      keys.push(nameOf(located.key));
    }
    if (through === undefined) return { keys, next: null };
    after = through;
  }
}

/** Rows up to `through` (all: undefined), each with what every answering host says of it, in row order. */
async function scatter(
  deps: CoordinateDeps,
  request: Request,
): Promise<{ readonly listed: readonly (readonly Listed[])[]; readonly through: Uint8Array | undefined }> {
  const { cluster, transport, config } = deps;
  const hosts = cluster.ring.hosts.map(({ id }) => id).filter((id) => cluster.health.isUp(id));
  const answers = await Promise.all(
    hosts.map(async (host): Promise<{ host: NodeId; response?: Response }> => {
      try {
        return { host, response: await call(transport, host, methods.list, request, config.requestTimeoutMs) };
      } catch {
        // Whether enough others answered is decided for each partition below.
        return { host };
      }
    }),
  );
  const responses = answers.flatMap(({ host, response }) => (response === undefined ? [] : [{ host, response }]));
  checkCoverage(deps, responses);
  const through = responses
    .flatMap(({ response }) => (response.through === undefined ? [] : [response.through]))
    .reduce<Uint8Array | undefined>(
      (low, row) => (low === undefined || compareBytes(row, low) < 0 ? row : low),
      undefined,
    );
  const byRow = new Map<string, Listed[]>();
  for (const listed of responses.flatMap(({ response }) => response.keys)) {
    if (through !== undefined && compareBytes(listed.row, through) > 0) continue;
    const row = toHex(listed.row);
    byRow.set(row, [...(byRow.get(row) ?? []), listed]);
  }
  return { listed: [...byRow].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, replicas]) => replicas), through };

  function checkCoverage(
    { cluster: { ring, replicas } }: CoordinateDeps,
    from: readonly { readonly host: NodeId; readonly response: Response }[],
  ): void {
    const needed = resolveQuorum(config.r, replicas, "r");
    const complete = new Map(from.map(({ host, response }) => [host, response.complete]));
    for (const partition of allPartitions(ring.partitions)) {
      const got = ring.owners(partition).filter((owner) => {
        const bits = complete.get(owner);
        return bits !== undefined && hasBit(bits, partition);
      }).length;
      if (got >= needed) continue;
      const text = `${needed} complete replicas needed to list partition ${partition}, ${got} answered`;
      throw new StoreError("quorum-not-met", text, { needed, got, from: [...complete.keys()] });
    }
  }
}

async function isLive(deps: CoordinateDeps, located: LocatedKey, replicas: readonly Listed[]): Promise<boolean> {
  const first = replicas[0]!;
  const owners = deps.cluster.ring.owners(located.partition).length;
  const agree = replicas.length >= owners && replicas.every((each) => equalBytes(each.digest, first.digest));
  if (agree) return first.live;
  const { config, clock } = deps;
  const { held } = await readState(deps, located, { r: config.r, timeoutMs: config.requestTimeoutMs });
  return siblings(held.state, clock.wallTime()).length > 0;
}

/** What this host holds of a bucket, live or deleted, from `after` on; as far as it comes by `untilMs`, a key at least. */
export async function listHere(deps: CoordinateDeps, request: Request, untilMs: number): Promise<Response> {
  const { replica, cluster, clock } = deps;
  const { partitions } = cluster.ring;
  const keyPrefix = `${request.bucket}/${request.prefix}`;
  const limit = Math.min(request.limit, listLimitMax + 1);
  const keys: Listed[] = [];
  const isComplete = (partition: PartitionIndex): boolean => replica.holdingOf(partition) === "complete";
  const complete = bitmapOf(partitions, allPartitions(partitions).filter(isComplete));
  let gte: Uint8Array | null = request.after === undefined ? new Uint8Array(0) : following(request.after);
  let through: Uint8Array | undefined;
  const strays: Uint8Array[] = [];
  let isFull = false;
  for (let rows = 0; gte !== null && rows < rowsPerAnswerMax && !isFull; rows += rowsPerPage) {
    const page: RecordPage = await replica.page({ gte, limit: rowsPerPage, keysOnly: true });
    // Not even their keys are known: a partition that lies in this stretch is not listed completely.
    if (page.damaged) clearBits(complete, partitionOf(gte, partitions), lastPartition(page, partitions));
    for (const { key: row } of page.rows) {
      through = row;
      const located = locateRow(row, partitions);
      if (located === undefined) strays.push(row);
      if (located?.key.startsWith(keyPrefix) !== true) continue;
      const { role, held } = await replica.read(located);
      if (role !== "complete" && role !== "filling") continue;
      keys.push({ row, live: siblings(held.state, clock.wallTime()).length > 0, digest: held.digest });
      // States are read whole, for their clocks: so many names may be gigabytes.
      isFull = keys.length === limit || clock.now() >= untilMs;
      if (isFull) break;
    }
    if (!isFull) gte = page.next;
  }
  await dropStrays(deps, strays);
  // What they held may be of this bucket, and is fetched again.
  for (const row of strays)
    for (const each of partitionsOfStray(row, partitions)) if (!isComplete(each)) clearBits(complete, each, each);
  const isEnd = gte === null;
  return { keys, complete, ...(isEnd || through === undefined ? {} : { through }) };
}

/** Of the stretch that a page looked at. */
function lastPartition({ next }: RecordPage, partitions: number): number {
  return next === null ? partitions - 1 : partitionOf(next, partitions);
}

/** The least row above this one. */
function following(row: Uint8Array): Uint8Array {
  const next = new Uint8Array(row.length + 1);
  next.set(row);
  return next;
}
