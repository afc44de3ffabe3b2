/**
 * The answering side of anti-entropy, and what both sides share: which partitions are compared, and how states are
 * taken in. See `anti-entropy.ts` for the steps.
 * Invariant: an answer is bounded by limits of this side, whatever the request.
 */
import type { Infer } from "../bytes/codec.ts";
import { equalBytes } from "../bytes/compare.ts";
import { hasBit } from "../bytes/bitmap.ts";
import { toHex } from "../bytes/hex.ts";
import { parseKey } from "../bytes/key.ts";
import { encodeClock } from "../causality/encoding.ts";
import type { Cluster } from "../cluster/cluster.ts";
import type { Exchange } from "../cluster/exchange.ts";
import { type CheckMember, checkOwnMembership, stillMember } from "../cluster/still-member.ts";
import { StoreError } from "../errors.ts";
import type { NodeId, PartitionIndex } from "../identity.ts";
import { hashBytes, packHashes } from "../merkle/hash.ts";
import { SharedTrees } from "../merkle/shared-trees.ts";
import { keyOfRow, locate } from "../placement/locate.ts";
import { allPartitions } from "../placement/partition.ts";
import type { Clock, Random, Transport } from "../ports.ts";
import type { Holdings } from "../replica/holdings.ts";
import type { OwnTime } from "../replica/own-time.ts";
import type { Replica } from "../replica/replica.ts";
import type { View } from "../rpc/common-messages.ts";
import { methods, type RpcServer } from "../rpc/rpc.ts";
import { reasonOf, type Tasks } from "../tasks.ts";
import type { Telemetry } from "../telemetry.ts";
import type { Pace } from "./admission.ts";
import type { Agreements } from "./agreements.ts";
import type { RateCap } from "./rate-cap.ts";
import { Steps } from "./steps.ts";

export interface AntiEntropyDeps extends Pace {
  readonly server: RpcServer;
  readonly cluster: Cluster;
  readonly exchange: Exchange;
  readonly holdings: Holdings;
  readonly replica: Replica;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly ownTime: OwnTime;
  readonly agreements: Agreements;
  readonly random: Random;
  readonly tasks: Tasks;
  readonly telemetry: Telemetry;
  /** Of what rounds and repairs move. */
  readonly rate: Pick<RateCap, "pay">;
  /** What is kept for the peer is on its way to it: comparing now would find the same keys, and move them twice. */
  readonly sendsHintsTo: (peer: NodeId) => boolean;
}

type Request<M extends keyof typeof methods> = Infer<(typeof methods)[M]["request"]>;
type Response<M extends keyof typeof methods> = Infer<(typeof methods)[M]["response"]>;
type KeyState = Response<"swap">["states"][number];

/** Partitions in one request, shared or not; the answer has up to 512 bytes for each. */
const partitionsMax = 4_096;
/** An answer ends after the key or the state that reaches it; a leaf is never cut in what it lacks. */
const answerBytesMax = 1_048_576;
/** Of a step (`admission.ts`): a look at the disk, and each key that it finds. Requests go between two leaves. */
const share = { ofLeaf: 1 / 32, ofKey: 1 / 512 };
/** In a step beside clients, which go into one commit: no further one after so many, or so many bytes. */
const together = { states: 16, bytes: 65_536 };

export function serveAntiEntropy(deps: AntiEntropyDeps): void {
  const { server, exchange, agreements, throttle } = deps;
  const meet = async (from: NodeId, view: View): Promise<void> => {
    await exchange.meetOnOneRing(from, view);
  };
  const takeTurn = async (deadlineMs: number): Promise<void> => {
    if (!(await throttle(deadlineMs)))
      throw new StoreError("not-ready", "not begun by its deadline: this host is busy");
  };
  server.on(methods.compare, async (from, { view, digest }) => {
    await meet(from, view);
    if (deps.sendsHintsTo(from)) throw new StoreError("not-ready", "hints are on their way to you");
    const shared = sharedWith(deps, from);
    if (!equalBytes(shared.digest(), digest)) return { groups: shared.groups() };
    agreements.note(from, atRest(deps, shared.partitions), deps.ownTime.nowMs());
    return {};
  });
  server.on(methods.compareLeaves, async (from, { view, groups }, deadlineMs) => {
    await meet(from, view);
    await takeTurn(deadlineMs);
    const partitions = groups.reduce((sum, { hashes }) => sum + hashes.length / hashBytes, 0);
    if (partitions > partitionsMax) throw new StoreError("bad-request", `${partitions} partitions at once`);
    return { partitions: sharedWith(deps, from).answerGroups(groups) };
  });
  server.on(methods.compareKeys, async (from, request, deadlineMs) => {
    await meet(from, request.view);
    return answerKeys(deps, request, deadlineMs);
  });
  server.on(methods.swap, async (from, request, deadlineMs) => {
    await meet(from, request.view);
    // Hints come so too; those for one that is no member any more belong to others (seed 9006633).
    const checkSender = stillMember(deps.cluster, from);
    const check = (): void => {
      checkSender();
      checkOwnMembership(deps.cluster);
    };
    await takeTurn(deadlineMs);
    return answerSwap(deps, { id: from, check }, request);
  });
}

/** Whose states are to be taken in. */
export interface Sender {
  readonly id: NodeId;
  /** Made when it was asked, or met. */
  readonly check: CheckMember;
}

/** Partitions that both hold completely: who fills one copies it anyway, and would only find that all of it is missing. */
export function sharedWith({ cluster, holdings, replica }: AntiEntropyDeps, peer: NodeId): SharedTrees {
  const theirs = cluster.roster.holdings.get(peer);
  const partitions =
    theirs === undefined
      ? []
      : allPartitions(holdings.partitions).filter(
          (partition) =>
            holdings.get(partition) === "complete" &&
            hasBit(theirs.complete, partition) &&
            replica.index.isSound(partition),
        );
  return new SharedTrees(replica.index.trees, partitions);
}

/** Those whose trees show all that is known here: a change that is on its way to the disk is known already. */
export function atRest({ replica }: AntiEntropyDeps, partitions: readonly PartitionIndex[]): PartitionIndex[] {
  const changing = replica.index.changingPartitions();
  return partitions.filter((partition) => !changing.has(partition));
}

/**
 * Merges states of a peer into what is held here, within a turn that was taken, and further ones. One that cannot be taken
 * in does not hold up the others.
 * @returns how many were taken in
 * @throws StoreError `not-member` when the sender is none any more
 */
export async function applyAll(deps: AntiEntropyDeps, from: Sender, states: readonly KeyState[]): Promise<number> {
  const { replica, cluster, telemetry, throttle, servesClients } = deps;
  const results: PromiseSettledResult<unknown>[] = [];
  for (let at = 0, size = 0; at < states.length; at += size) {
    if (at > 0) await throttle();
    from.check();
    size = servesClients() ? countTogether(states, at) : states.length;
    const step = states.slice(at, at + size).map(async ({ key, state }) => {
      // Copied, for a row that is kept in memory must not keep the whole message there.
      const located = locate(parseKey(key), cluster.ring.partitions);
      await replica.apply(located, state.slice(), { isPatient: true });
    });
    results.push(...(await Promise.allSettled(step)));
  }
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
  if (failures.length > 0) {
    const reason = `${failures.length} states of anti-entropy were not taken in: ${reasonOf(failures[0])}`;
    telemetry.event({ kind: "replica-failed", id: from.id, reason });
  }
  return results.length - failures.length;
}

export function shareOfLeaf(keys: number): number {
  return share.ofLeaf + keys * share.ofKey;
}

function countTogether(states: readonly KeyState[], start: number): number {
  let at = start;
  for (let bytes = 0; at < states.length && at - start < together.states && bytes < together.bytes; at++) {
    bytes += states[at]!.state.length;
  }
  return at - start;
}

/**
 * Leaf by leaf: our keys that are not in the peer's list, and which of its list we have not. What does not fit, and what
 * is not reached in half of the time that the peer waits, a later round finds: some of it in time is better than all too late.
 */
async function answerKeys(
  { replica, clock: time, throttle }: AntiEntropyDeps,
  { leaves }: Request<"compareKeys">,
  deadlineMs: number,
): Promise<Response<"compareKeys">> {
  const leafCount = replica.index.trees.leafCount;
  const steps = new Steps({ turn: throttle });
  const keys: { key: string; clock: Uint8Array }[] = [];
  const lacking: Uint8Array[] = [];
  const endMs = (time.now() + deadlineMs) / 2;
  let bytes = 0;
  for (const { index, hashes } of leaves) {
    if (bytes >= answerBytesMax || time.now() > endMs) break;
    if (index >= leafCount) continue;
    if (!(await steps.turn(endMs))) break;
    const entries = await replica.index.entriesOf(index);
    steps.did(shareOfLeaf(entries.length));
    const theirs = splitHashes(hashes);
    for (const entry of entries) {
      if (theirs.delete(toHex(packHashes([entry.hash]))) || bytes >= answerBytesMax) continue;
      const key = keyOfRow(entry.row);
      const clock = encodeClock(entry.clock);
      keys.push({ key, clock });
      bytes += key.length + clock.length;
    }
    for (const hash of theirs.values()) lacking.push(hash);
    bytes += theirs.size * hashBytes;
  }
  return { keys, lacking: joined(lacking) };
}

async function answerSwap(
  deps: AntiEntropyDeps,
  from: Sender,
  { push, wanted, bytesMax }: Request<"swap">,
): Promise<Response<"swap">> {
  const { replica, cluster } = deps;
  const applied = await applyAll(deps, from, push);
  // Of hints nothing else may be left.
  if (applied > 0) await replica.commits.settle();
  const states: KeyState[] = [];
  let bytes = 0;
  let done = 0;
  for (const key of wanted) {
    if (bytes >= Math.min(bytesMax, answerBytesMax)) break;
    done += 1;
    const { encoded } = await replica.row(locate(parseKey(key), cluster.ring.partitions));
    if (encoded === undefined) continue;
    states.push({ key, state: encoded });
    bytes += encoded.length;
  }
  return { states, done, applied };
}

/** By their hexadecimal digits. */
export function splitHashes(hashes: Uint8Array): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (let at = 0; at + hashBytes <= hashes.length; at += hashBytes) {
    const hash = hashes.subarray(at, at + hashBytes);
    found.set(toHex(hash), hash);
  }
  return found;
}

function joined(hashes: readonly Uint8Array[]): Uint8Array {
  const list = new Uint8Array(hashes.length * hashBytes);
  hashes.forEach((hash, i) => list.set(hash, i * hashBytes));
  return list;
}
