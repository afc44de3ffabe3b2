/**
 * An owner is made to cover what a former one holds in the leaves that differ between their trees. See `hand-off.ts`.
 *
 * While clients write, a few keys of nearly every partition differ: the owners have newer states of them. So the keys of
 * many leaves and partitions go into one question, or each of them would wait for a turn of its own.
 * Invariant: a partition is covered when the owner has said so of each such key, or has taken its state in. What cannot be
 * read here keeps back its own partition, and no other.
 */
import { hasBit } from "../bytes/bitmap.ts";
import { encodeClock } from "../causality/encoding.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import type { Key, NodeId, PartitionIndex } from "../identity.ts";
import { leavesPerPartition } from "../merkle/trees.ts";
import { keyOfRow, locate } from "../placement/locate.ts";
import type { Transport } from "../ports.ts";
import type { Replica } from "../replica/replica.ts";
import { call, methods } from "../rpc/rpc.ts";
import type { Admission } from "./admission.ts";
import type { Progress } from "./progress.ts";
import type { RateCap } from "./rate-cap.ts";
import { Steps } from "./steps.ts";

export interface CoverDeps {
  readonly admission: Admission;
  readonly rate: RateCap;
  readonly progress: Progress;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly replica: Replica;
  readonly transport: Transport;
}

export interface Differing {
  readonly partition: PartitionIndex;
  /** A bit for each leaf that the owner has otherwise. */
  readonly differing: Uint8Array;
}

/** Partitions of which something could not be read, and why. */
export type Unreadable = Map<PartitionIndex, unknown>;

interface ReadDeps extends CoverDeps {
  readonly unreadable: Unreadable;
}

interface Doubtful {
  readonly partition: PartitionIndex;
  readonly key: Key;
  readonly clock: Uint8Array;
}

/** What is asked at once, and the partitions that it is the last of. */
interface Question<D> {
  readonly keys: readonly Doubtful[];
  readonly last: readonly D[];
}

const limits = {
  /** A key and its clock are about 100 bytes. The owner takes a turn for each 32, and all of them are to come in time. */
  keysPerQuestion: 256,
  /** A step of background work. */
  pushBytesMax: 262_144,
  timeoutMs: 10_000,
};
/** Of a step: a look at the disk, and each key that it finds. */
const share = { ofLeaf: 1 / 16, ofKey: 1 / 256 };

/** One after the other, those of which the owner covers everything now. `unreadable` is told what could not be read here. */
export async function* coveredBy<D extends Differing>(
  coverDeps: CoverDeps,
  owner: NodeId,
  { asked, unreadable }: { readonly asked: readonly D[]; readonly unreadable: Unreadable },
): AsyncGenerator<D> {
  const deps = { ...coverDeps, unreadable };
  const uncovered = new Set<PartitionIndex>();
  for await (const { keys, last } of questionsOf(deps, asked)) {
    for (const partition of await makeCover(deps, owner, keys)) uncovered.add(partition);
    yield* last.filter(({ partition }) => !uncovered.has(partition) && !unreadable.has(partition));
  }
}

/** Undefined: it could not be read. */
async function readOf<T>(
  { unreadable }: ReadDeps,
  partition: PartitionIndex,
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error: unknown) {
    unreadable.set(partition, error);
    return undefined;
  }
}

async function* questionsOf<D extends Differing>(deps: ReadDeps, asked: readonly D[]): AsyncGenerator<Question<D>> {
  const { replica, admission } = deps;
  const steps = new Steps(admission);
  let keys: Doubtful[] = [];
  let last: D[] = [];
  for (const each of asked) {
    const { partition, differing } = each;
    for (let leaf = 0; leaf < leavesPerPartition; leaf++) {
      if (!hasBit(differing, leaf)) continue;
      await steps.turn();
      const index = partition * leavesPerPartition + leaf;
      const entries = await readOf(deps, partition, () => replica.index.entriesOf(index));
      if (entries === undefined) break;
      steps.did(share.ofLeaf + entries.length * share.ofKey);
      for (const { row, clock } of entries) {
        keys.push({ partition, key: keyOfRow(row), clock: encodeClock(clock) });
        if (keys.length < limits.keysPerQuestion) continue;
        yield { keys, last };
        [keys, last] = [[], []];
      }
    }
    last.push(each);
  }
  yield { keys, last };
}

/** The partitions of which the owner lacks something still. */
async function makeCover(deps: ReadDeps, owner: NodeId, keys: readonly Doubtful[]): Promise<readonly PartitionIndex[]> {
  if (keys.length === 0) return [];
  const { transport, exchange } = deps;
  const request = { view: exchange.view(), keys: keys.map(({ key, clock }) => ({ key, clock })) };
  const { uncovered } = await call(transport, owner, methods.covers, request, limits.timeoutMs);
  const lacking = keys.filter((_key, i) => hasBit(uncovered, i));
  if (await push(deps, owner, lacking)) return [];
  // One that it cannot take in keeps back its own partition, and no other.
  const refused: PartitionIndex[] = [];
  for (const partition of new Set(lacking.map((each) => each.partition))) {
    const ofIt = lacking.filter((each) => each.partition === partition);
    if (!(await push(deps, owner, ofIt))) refused.push(partition);
  }
  return refused;
}

/** False: the owner did not take in all that could be read of them. */
async function push(deps: ReadDeps, owner: NodeId, keys: readonly Doubtful[]): Promise<boolean> {
  const { replica, cluster, exchange, transport, rate, progress, admission } = deps;
  const rest = [...keys];
  while (rest.length > 0) {
    await admission.turn();
    const states: { readonly key: Key; readonly state: Uint8Array }[] = [];
    let bytes = 0;
    while (rest.length > 0 && bytes < limits.pushBytesMax) {
      const { partition, key } = rest.pop()!;
      const row = await readOf(deps, partition, () => replica.row(locate(key, cluster.ring.partitions)));
      if (row === undefined) continue;
      const state = row.toBytes();
      states.push({ key, state });
      bytes += state.length;
    }
    if (states.length === 0) continue;
    const request = { view: exchange.view(), push: states, wanted: [], bytesMax: 0 };
    const { applied } = await call(transport, owner, methods.swap, request, limits.timeoutMs);
    progress.moved(states.length, bytes);
    if (applied !== states.length) return false;
    await rate.pay(bytes);
  }
  return true;
}
