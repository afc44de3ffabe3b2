/**
 * Sends one minted state to the first N healthy hosts of its preference list and counts the durable copies.
 * Owners that are away are stood for by the next healthy hosts of the walk, which keep hints (paper 4.6, sloppy quorum);
 * where no stand-in is left, this node keeps in mind who missed what.
 */
import type { LeanState } from "../causality/lean-state.ts";
import { reasonOf } from "../tasks.ts";
import type { NodeId } from "../identity.ts";
import type { LocatedKey } from "../placement/locate.ts";
import { healthyTargets } from "../placement/preference-list.ts";
import type { PartitionView } from "../quorum/holders.ts";
import { type WriteAck, type WriteNeeds, type WriteOutcome, WriteTally } from "../quorum/write-tally.ts";
import { callEncoded, encodeCall, methods } from "../rpc/rpc.ts";
import type { CoordinateDeps } from "./deps.ts";
import { type Failure, othersText } from "./others.ts";

/** Whom a write goes to, decided before it is minted so that the own hints are in the batch of the mint. */
export interface WritePlan {
  readonly view: PartitionView;
  readonly ring: string;
  /** Other hosts that get the state; `standsFor` makes it a hint. */
  readonly targets: readonly { readonly node: NodeId; readonly standsFor?: NodeId }[];
  /** Owners and complete holders that are away and for whom this node keeps the write. */
  readonly owed: readonly NodeId[];
}

export function planWrite(deps: CoordinateDeps, located: LocatedKey): WritePlan {
  const { cluster } = deps;
  const { ring, self } = cluster;
  const isUp = (node: NodeId): boolean => cluster.health.isUp(node);
  const view = cluster.partitionView(located.partition);
  const { targets, uncovered } = healthyTargets(ring, located.partition, isUp);
  const owed = [...uncovered];
  const others = targets.filter(({ node }) => node !== self);
  const own = targets.find(({ node }) => node === self);
  if (own?.standsFor !== undefined) owed.push(own.standsFor);
  // A coordinator that is neither owner nor among the stand-ins still keeps what it mints: for the first owner away.
  if (own === undefined && owed.length === 0) owed.push(targets.find((t) => t.standsFor)?.standsFor ?? view.owners[0]!);
  for (const former of formerOwnersInUse(view)) {
    if (former === self) continue;
    if (isUp(former)) others.push({ node: former });
    else owed.push(former);
  }
  return { view, ring: ring.fingerprint, targets: others, owed };
}

/** While an owner is filling, complete holders that own the partition no more still count (PROTOCOL 9, *Former owners*). */
function formerOwnersInUse(view: PartitionView): NodeId[] {
  if (!view.owners.some((owner) => view.holders.get(owner) === "filling")) return [];
  return [...view.holders].flatMap(([node, state]) =>
    state === "complete" && !view.owners.includes(node) ? [node] : [],
  );
}

/** The task that sends a state to one host; it outlasts the write that was answered at W. */
export const replicating = "replicate";

export interface Replication {
  readonly plan: WritePlan;
  readonly state: Uint8Array;
  /** The same without what its owners have for certain, or nearly so. */
  readonly lean?: LeanState | undefined;
  /** What this node itself has durably done with the write. */
  readonly ownAcks: readonly WriteAck[];
  readonly needs: WriteNeeds;
  readonly deadlineMs: number;
}

export interface Replicated {
  readonly outcome: Exclude<WriteOutcome, { readonly kind: "pending" }>;
  readonly durable: readonly NodeId[];
  readonly hinted: readonly { readonly for: NodeId; readonly at: NodeId }[];
  /** What became of the hosts that made no copy, where the outcome is a failure. */
  readonly others: string;
}

/** Resolves as soon as the outcome is decided or the deadline passed; stragglers go on, and become hints if they fail. */
export function replicate(deps: CoordinateDeps, located: LocatedKey, write: Replication): Promise<Replicated> {
  const { cluster, clock, deadlines } = deps;
  const tally = new WriteTally(write.plan.view, write.needs);
  const failures: Failure[] = [];
  let waiting = 0;
  // Owners get the same bytes, a stand-in its own.
  const request = requestOf(deps, located, write.state);
  const { lean } = write;
  const leanRequest = lean === undefined ? request : { ...request, ...lean, omitted: { places: lean.omitted } };
  const forOwners = encodeCall(methods.replicate, leanRequest);
  const bodyFor = (standsFor: NodeId | undefined): Uint8Array =>
    standsFor === undefined
      ? forOwners
      : encodeCall(methods.replicate, { ...request, hintFor: standsFor, spare: isSpare(write) });
  const asked = new Set([cluster.self, ...write.plan.targets.map(({ node }) => node)]);
  return new Promise((resolve) => {
    let settled = false;
    const settle = (outcome: WriteOutcome): void => {
      if (settled || outcome.kind === "pending") return;
      settled = true;
      stopDeadline();
      const away = write.plan.view.owners.filter((owner) => !asked.has(owner));
      const others = outcome.kind === "failed" ? othersText(failures, { away, silent: waiting }) : "";
      resolve({ outcome, durable: tally.durable, hinted: tally.hinted, others });
    };
    // Nobody takes a copy from who is no member any more. What was counted before is counted anew, for the ring has changed.
    const countOwn = (acks: readonly WriteAck[]): void => {
      if (cluster.isMember(cluster.self)) tally.ackOwn(cluster.self, acks);
    };
    const send = async (node: NodeId, standsFor?: NodeId): Promise<void> => {
      waiting += 1;
      try {
        const whole = (): Uint8Array => encodeCall(methods.replicate, request);
        const ack = await sendState(deps, node, { standsFor, body: bodyFor(standsFor), whole });
        waiting -= 1;
        settle(tally.ack(node, ack));
      } catch (error: unknown) {
        waiting -= 1;
        failures.push({ node, error });
        await passOn(node, standsFor ?? node, error);
      }
    };
    const passOn = async (node: NodeId, owner: NodeId, error: unknown): Promise<void> => {
      const isOwner = (id: NodeId): boolean => write.plan.view.owners.includes(id);
      // Never an owner that was away: it is stood for already, and would be two copies on one disk.
      const isFree = (next: NodeId): boolean => !asked.has(next) && !isOwner(next);
      // A state that is too old (a process may sleep) goes nowhere new: what it holds may be forgotten by now.
      const isTimely = clock.now() <= write.deadlineMs + deps.config.inFlightMsMax / 2;
      const walk = isTimely ? cluster.ring.walk(located.partition) : [];
      const free = walk.filter((next) => isFree(next) && cluster.health.isUp(next));
      // As in `healthyTargets`: pages alone may not keep it, also when who stood in for one of them has forgotten it.
      const lasting = tally.durable.filter(isOwner);
      const fallback = free.find((next) => cluster.ring.anchors([...lasting, next])) ?? free[0];
      if (fallback !== undefined) {
        asked.add(fallback);
        tally.ask(fallback);
        settle(tally.fail(node));
        return send(fallback, owner);
      }
      deps.telemetry.event({ kind: "replica-failed", id: node, reason: reasonOf(error) });
      try {
        await oweTo(deps, located, { targets: [owner], state: write.state });
        countOwn([{ kind: "hint", for: owner }]);
      } finally {
        settle(tally.fail(node));
      }
    };
    const stopDeadline = deadlines.add(write.deadlineMs, () => {
      settle({ kind: "failed", needed: write.needs.w, got: tally.durable.length });
    });
    for (const { node } of write.plan.targets) tally.ask(node);
    countOwn(write.ownAcks);
    for (const { node, standsFor } of write.plan.targets) {
      deps.tasks.run(replicating, () => send(node, standsFor));
    }
    settle(tally.outcome());
  });
}

/** Whether the owners but one are copies enough for what this write promises. */
function isSpare({ plan: { view }, needs }: Replication): boolean {
  return needs.w < view.owners.length && view.owners.every((owner) => view.holders.get(owner) !== "filling");
}

/**
 * Keeps in mind who missed this state: who holds it by a row that points at its own copy, anybody else with the state.
 * @throws StoreError when this disk takes no writes; the state itself is safe where it was acknowledged
 */
export async function oweTo(
  deps: CoordinateDeps,
  located: LocatedKey,
  { targets, state }: { readonly targets: readonly NodeId[]; readonly state: Uint8Array },
): Promise<void> {
  for (const target of targets) {
    await deps.replica.oweTo(located, target, state);
    deps.telemetry.event({ kind: "hint-stored", for: target, at: deps.cluster.self });
  }
}

function requestOf(
  deps: CoordinateDeps,
  { key }: LocatedKey,
  state: Uint8Array,
): Parameters<typeof methods.replicate.request.encode>[0] {
  return { view: deps.exchange.view(), key, state, minted: true };
}

async function sendState(
  { transport, config, telemetry }: CoordinateDeps,
  to: NodeId,
  {
    standsFor,
    body,
    whole,
  }: { readonly standsFor: NodeId | undefined; readonly body: Uint8Array; readonly whole: () => Uint8Array },
): Promise<WriteAck> {
  const send = (bytes: Uint8Array) => callEncoded(transport, to, methods.replicate, bytes, config.replicaTimeoutMs);
  const answer = await send(body);
  const { role } = answer.lacks ? await send(whole()) : answer;
  if (role !== "hint") return { kind: "held", state: role };
  telemetry.event({ kind: "hint-stored", for: standsFor ?? to, at: to });
  return { kind: "hint", for: standsFor ?? to };
}
