/**
 * A cluster at rest: nobody writes, nothing is owed. Then hosts send each other digests only, which are those of the rows
 * on their disks (I9), and nothing grows (I12): no batch is written, no hint is kept, timers do not pile up.
 */
import { DecodeError } from "../../core/bytes/codec.ts";
import { hasBit } from "../../core/bytes/bitmap.ts";
import { toHex } from "../../core/bytes/hex.ts";
import type { NodeId } from "../../core/identity.ts";
import { clockHash, entryHash } from "../../core/merkle/hash.ts";
import { SharedTrees } from "../../core/merkle/shared-trees.ts";
import { HashTrees } from "../../core/merkle/trees.ts";
import { allPartitions } from "../../core/placement/partition.ts";
import { methods } from "../../core/rpc/rpc.ts";
import { fail } from "./cluster.ts";
import type { SimHost } from "./host.ts";
import type { Tap } from "./network.ts";
import { membershipOn, statesOn } from "./rows.ts";
import type { World } from "./world.ts";

/** Long enough for a round of every host with every other one. */
const restMs = 12_000;
const restMsMax = 120_000;

/** What one stretch of time saw that does not happen at rest, in words. */
interface Watch {
  readonly unrest: string[];
  /** Digests sent, by sender and receiver. */
  readonly digests: Map<string, string>;
}

export async function comeToRest(world: World): Promise<void> {
  const deadlineMs = world.schedule.nowMs + restMsMax;
  let timersBefore: number | undefined;
  for (;;) {
    timersBefore ??= world.schedule.waiting;
    const watch = await watched(world, () => world.sleep(restMs));
    const isOver = world.schedule.nowMs > deadlineMs;
    if (watch.unrest.length > 0) {
      if (isOver) fail(world, "a cluster comes to rest", watch.unrest.slice(0, 5).join("; "));
      timersBefore = undefined;
      continue;
    }
    // They come and go, and so do messages on slow wires; but what leaks is more after each of the rounds.
    const timers = world.schedule.waiting;
    if (timers <= timersBefore + 2 * world.hosts.length) return checkDigests(world, watch.digests);
    if (isOver) fail(world, "timers do not pile up", `${timersBefore} at first, ${timers} after much rest`);
  }
}

async function watched(world: World, work: () => Promise<void>): Promise<Watch> {
  const watch: Watch = { unrest: [], digests: new Map() };
  const batchesBefore = world.hosts.map(({ disk }) => disk.batches);
  const tap: Tap = {
    asked: (from, to, body) => {
      if (body[0] === methods.compare.number) {
        const { digest } = methods.compare.request.decode(body.subarray(1));
        watch.digests.set(`${from} ${to}`, toHex(digest));
      } else if (body[0] !== methods.exchange.number) watch.unrest.push(`${from} asks ${to} for method ${body[0]}`);
    },
    answered: (from, to, method, body) => {
      if (!isAgreement(method, body)) watch.unrest.push(`${from} and ${to} differ (method ${method})`);
    },
  };
  world.network.taps.add(tap);
  await work();
  world.network.taps.delete(tap);
  world.hosts.forEach(({ name, disk }, i) => {
    if (disk.batches > batchesBefore[i]!) watch.unrest.push(`${name} writes to its disk`);
    const hints = statesOn(disk.view).filter(({ hintFor }) => hintFor !== undefined).length;
    if (hints > 0) watch.unrest.push(`${name} keeps ${hints} hints`);
  });
  return watch;
}

function isAgreement(method: number, body: Uint8Array): boolean {
  if (body[0] !== 0) return false;
  try {
    if (method === methods.compare.number)
      return methods.compare.response.decode(body.subarray(1)).groups === undefined;
    return methods.exchange.response.decode(body.subarray(1)).same;
  } catch (error: unknown) {
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

/** What hosts said of their trees is what their rows make. */
function checkDigests(world: World, digests: ReadonlyMap<string, string>): void {
  const trees = new Map(world.hosts.map((host) => [host.id, treesOf(world, host)]));
  for (const [pair, digest] of digests) {
    const [from, to] = pair.split(" ") as [NodeId, NodeId];
    const { holdings } = membershipOn(world.hosts.find(({ id }) => id === from)!.disk.view)!.roster;
    const isHeldBy = (id: NodeId, partition: number): boolean => hasBit(holdings.get(id)!.complete, partition);
    const shared = allPartitions(world.scenario.partitions).filter((p) => isHeldBy(from, p) && isHeldBy(to, p));
    world.oracle.checks += 1;
    const expected = toHex(new SharedTrees(trees.get(from)!, shared).digest());
    if (digest === expected) continue;
    fail(world, "a Merkle root is the root of the data", `${from} told ${to} ${digest}, its rows make ${expected}`);
  }
}

function treesOf(world: World, { disk }: SimHost): HashTrees {
  const trees = new HashTrees(world.scenario.partitions);
  for (const { key, state, hintFor } of statesOn(disk.view)) {
    const { row } = world.oracle.locate(key);
    if (hintFor === undefined) trees.update(row, undefined, entryHash(row, clockHash(state)));
  }
  return trees;
}
