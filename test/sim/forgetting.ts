/**
 * What may be forgotten, what must never be seen again once it is (I2), and what must be forgotten in the end (I12).
 */
import { covers, type Versioned } from "../../core/causality/version-set.ts";
import type { NodeId, PartitionIndex } from "../../core/identity.ts";
import { latestMark } from "../../core/membership/forgetting-marks.ts";
import { type Event, nameOf } from "./history.ts";
import type { Oracle } from "./oracle.ts";
import { type Membership, objectOn, type StoredState } from "./rows.ts";
import type { SimHost } from "./host.ts";
import type { World } from "./world.ts";
import { moveCopy } from "./write.ts";

/** From the last answer of an owner to the last row: steps that wait for their turn. */
const dropMsMax = 1_000;

/** Call when an owner takes a state off its disk. Only deleted and expired values are forgotten. */
export function checkForgotten(oracle: Oracle, host: string, { key, state }: StoredState, wallMs: number): void {
  oracle.checks += 1;
  const readable = readableAt(state, wallMs);
  if (readable !== undefined) {
    const text = `${host} forgets ${key} with ${oracle.tell(key, nameOf(readable.dot))}, which can be read`;
    return oracle.broken("only what is deleted is forgotten", text);
  }
  const live = new Set(state.values.map(({ dot }) => nameOf(dot)));
  const history = oracle.history(key);
  for (const event of history.events.values()) {
    // Also what the clock does not name any more, because everybody knew it.
    if (!history.knows(state.vector, event)) continue;
    event.reaped = true;
    event.gone ||= !live.has(event.name);
  }
}

function readableAt({ values }: Versioned, wallMs: number): Versioned["values"][number] | undefined {
  return values.find(({ tombstone, expiresAtMs }) => !tombstone && (expiresAtMs ?? Infinity) > wallMs);
}

/** Call when the membership on a disk changes. */
export function noteMarks(
  { markedMs, schedule }: World,
  { id }: SimHost,
  { from, to }: { readonly from: Membership; readonly to: Membership },
): void {
  for (const partition of to.roster.forgettingMarks.keys()) {
    const [before, now] = [from, to].map(({ roster }) => latestMark(roster.forgettingMarks, partition));
    if (now! > before!) markedMs.set(markOf(id, partition), schedule.nowMs);
  }
}

function markOf(host: NodeId, partition: PartitionIndex): string {
  return `${host} ${partition}`;
}

/** An owner that does not answer is waited for so long (`hand-off.ts`). */
const askMs = 10_000;

/**
 * Call when a host that does not own the key, as its own disk knows, takes a state of it off its disk: its owners have all
 * of that state, but for one that did not answer when they were asked, and never fewer than two (PROTOCOL 9, *Former
 * owners*). A copy that was damaged counts as held: its owner may have confirmed what the disk had then. Rows go one by one,
 * so where the ring has just changed the owners before that may be those who were asked (seed 301664). One that
 * its owner's disk has just lost counts too, also for an older copy of that disk: it may have confirmed, while others were
 * still to be heard (seeds 17, 93, 404986). And under an owner's name a second process on a copy of its disk may be the one
 * that was asked (seed 400186). And what it was forgetting as an owner, with the consent of all, when the ring changed, it
 * forgets: the mark that is on its disk before tells those who come (seed 1000353).
 */
export function checkHandedOver(
  { oracle, hosts, twins, damagedKeys, ringsBefore, lostCopies, markedMs: markedMsOf, schedule }: World,
  host: SimHost,
  { key, state }: StoredState,
  owners: readonly NodeId[],
): void {
  const { id, name } = host;
  if (oracle.history(key).truncated || damagedKeys.has(key)) return;
  oracle.checks += 1;
  const located = oracle.locate(key);
  const hasIt = (owner: NodeId): boolean => {
    const copies = [...hosts, ...twins].filter((each) => each.id === owner && each.name !== name);
    const alive = copies.map(({ disk }) => objectOn(disk.view, located));
    const gone = lostCopies.filter((each) => each.id === owner && schedule.nowMs - each.atMs < askMs);
    const lost = gone.map(({ states }) => states.find((each) => each.key === key && each.hintFor === undefined)?.state);
    return [...alive, ...lost].some(
      (copy) => copy !== undefined && state.vector.every((entry) => covers(copy.vector, entry)),
    );
  };
  const areEnough = (asked: readonly NodeId[]): boolean =>
    asked.filter(hasIt).length >= Math.max(1, asked.length - 1, Math.min(2, asked.length));
  const before = ringsBefore.get(id);
  const isRecent = before !== undefined && schedule.nowMs - before.atMs < dropMsMax;
  const ownersBefore = isRecent ? before.ring.owners(located.partition) : [];
  if (areEnough(owners) || (isRecent && areEnough(ownersBefore))) return;
  const markedMs = markedMsOf.get(markOf(id, located.partition)) ?? -Infinity;
  const isMarked = schedule.nowMs - markedMs < dropMsMax;
  if (isMarked && ownersBefore.includes(id) && readableAt(state, host.wallTime()) === undefined) {
    return checkForgotten(oracle, name, { key, state }, host.wallTime());
  }
  const text = `${name} drops ${key}, which of its owners ${owners.join()} only ${owners.filter(hasIt).length} have`;
  oracle.broken("former owners drop only what owners have", text);
}

/** Call when a host that does not own the key has taken a state of it off its disk: others have the copies from then on. */
export function noteHandedOver({ oracle, hosts }: World, { id }: SimHost, { key, state }: StoredState): void {
  const located = oracle.locate(key);
  const history = oracle.history(key);
  const copies = hosts.flatMap((host) =>
    host.id === id ? [] : [{ at: host.id, copy: objectOn(host.disk.view, located) }],
  );
  for (const event of history.events.values()) {
    if (!history.knows(state.vector, event)) continue;
    const holders = copies.filter(({ copy }) => copy !== undefined && history.knows(copy.vector, event));
    // Whoever confirmed it may have lost its disk since, a second process under an owner's name, say (seed 18001778).
    if (holders.length === 0) oracle.checkLeft(event.write, `after ${id} handed it over`);
    moveCopy(
      event.write,
      id,
      holders.map(({ at }) => at),
    );
  }
}

/**
 * Call when a host is about to take a hint off its disk; what it gives, once the hint is gone. Delivered, the copy has moved
 * to its owner: a write that two hosts kept for one owner, as its coordinator and as the stand-in, is one copy there (seeds
 * 404383, 406340). One that is over its bounds goes without its owner having it, if all other owners have it (PROTOCOL 7;
 * `background/relieve-hints.ts`). Of the writes in it fewer copies are promised from then on, though never less than W.
 */
export function sparing(
  { oracle, hosts }: World,
  host: NodeId,
  { key, state, hintFor }: StoredState,
  owners: readonly NodeId[],
): () => void {
  const located = oracle.locate(key);
  const history = oracle.history(key);
  const has = (owner: NodeId, event: Event): boolean =>
    hosts.some(({ id, disk }) => id === owner && history.knows(objectOn(disk.view, located)?.vector ?? [], event));
  const target = owners.find((owner) => owner === hintFor);
  const kept = [...history.events.values()].filter((event) => history.knows(state.vector, event));
  const spared = kept.filter((event) => owners.every((owner) => has(owner, event) === (owner !== hintFor)));
  const moved = kept.filter((event) => target !== undefined && has(target, event) && !has(host, event));
  // An owner may lose its disk after it has said that it has it, and before the hint goes (seed 17006050).
  const left = kept.filter((event) => !owners.some((owner) => has(owner, event)));
  return () => {
    for (const { write } of spared) write.sparedBy.add(host);
    for (const { write } of moved) moveCopy(write, host, [target!]);
    for (const { write } of left) oracle.checkLeft(write, `after ${host} gave up a hint`);
  };
}

/** Call when a rejected batch is on the disk after all, over this: of what was spared then it may have been the last copy. */
export function checkRevived(oracle: Oracle, { key, state }: StoredState): void {
  const history = oracle.history(key);
  const known = [...history.events.values()].filter((event) => history.knows(state.vector, event));
  for (const { write } of known) oracle.checkLeft(write, "after a rejected batch came back");
}

/**
 * The first deleted key that an owner still has, in words. But for those that another host than an owner has too, from
 * earlier: that host does not consent.
 */
export function tombstoneLeft({ oracle, hosts, scenario, damagedKeys }: World): string | undefined {
  const ring = oracle.ring();
  if (ring === undefined) return "hosts differ about the ring";
  for (const key of oracle.keys) {
    // A damaged record of which there is no other copy stays as it is.
    if (scenario.n === 1 && damagedKeys.has(key)) continue;
    const located = oracle.locate(key);
    const owners = ring.owners(located.partition);
    const holders = hosts.flatMap((host) => {
      const state = objectOn(host.disk.view, located);
      return state === undefined ? [] : [{ host, state }];
    });
    const left = holders.find(({ state }) => state.values.every(({ tombstone }) => tombstone));
    if (left !== undefined && holders.every(({ host }) => owners.includes(host.id)))
      return `${left.host.name} has ${key}`;
  }
  return undefined;
}
