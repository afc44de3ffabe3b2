/** Faults of disks. */
import { encodeUtf8 } from "lib0/string";
import { keyOfRow } from "../../../core/placement/locate.ts";
import { membershipOn, statesOn } from "../rows.ts";
import type { SimHost } from "../host.ts";
import type { World } from "../world.ts";
import type { Fault, FaultKind } from "./draw.ts";
import { isStillApart } from "./membership.ts";
import { type Carry, change, done, host, killFor } from "./carry.ts";

export const diskFaults = {
  wipe: (world, fault) => {
    const victim = host(world, fault, 0);
    // The last disk that knows of the cluster: without it the others would wait for ever, as they should.
    if (!world.hosts.some((other) => other !== victim && membershipOn(other.disk.synced) !== undefined))
      return undefined;
    const end = killFor(world, victim, (each) => each.kill("loses its disk"));
    world.losesCopies(victim);
    world.oracle.losing(victim, world.schedule.nowMs, () => victim.disk.wipe());
    world.arrivals.arrives(victim, world.schedule.nowMs);
    // Sometimes it is back before anybody noticed.
    if (fault.amount < 0.5) end?.();
    return end ?? (() => world.start(victim));
  },
  "restore-old": (world, fault) => {
    const victim = host(world, fault, 0);
    // Nobody else knows what was forgotten there since: a backup of a whole ring brings that back, as it should (seed 17005120).
    if (isStillApart(world, victim)) return undefined;
    world.copiedHosts.add(victim.id);
    if (fault.rare === true) return restoreUnseen(world, fault, victim);
    const backup = world.backups.get(victim);
    if (backup === undefined) return undefined;
    const end = killFor(world, victim, (each) => each.kill("gets an old copy of its disk back"));
    world.losesToCopy(victim, backup);
    world.oracle.losing(victim, world.schedule.nowMs, () => victim.disk.restore(backup));
    // A peer remembers a later start of this host than its disk does, so it could know. (One that could not write told nobody.)
    const isNoticed = world.hosts.some((peer) => {
      const mark = membershipOn(peer.disk.view)?.roster.members.get(victim.id)?.mark;
      return peer !== victim && mark !== undefined && backup.get("meta", encodeUtf8(`mark ${mark}`)) === undefined;
    });
    if (isNoticed) world.arrivals.arrives(victim, world.schedule.nowMs);
    else world.arrivals.forgetArrival(victim);
    return end ?? (() => world.start(victim));
  },
  full: (world, fault) =>
    change(world, host(world, fault, 0).disk.mood, { full: fault.amount < 0.5 ? "engine" : "headroom" }),
  "write-errors": (world, fault) => change(world, host(world, fault, 0).disk.mood, { writeErrors: fault.amount }),
  "read-errors": (world, fault) => change(world, host(world, fault, 0).disk.mood, { readErrors: fault.amount * 0.5 }),
  "slow-disk": (world, fault) =>
    change(world, host(world, fault, 0).disk.mood, { slowness: 10 ** (1 + fault.amount * 2) }),
  damage: (world, fault) => {
    const victim = host(world, fault, 0);
    if (!damageRecord(world, victim)) return undefined;
    world.schedule.log(`a record of ${victim.name} is damaged`);
    return done;
  },
  /** Written and synced, said the disk; the store cannot know better, only anti-entropy can mend it. */
  missing: (world, fault) => {
    const victim = host(world, fault, 0);
    const end = killFor(world, victim, (each) => each.kill("finds a record missing"));
    world.losesCopies(victim);
    world.oracle.losing(victim, world.schedule.nowMs, () => victim.disk.lose("objects"));
    world.arrivals.forgetArrival(victim);
    return end;
  },
} satisfies Partial<Readonly<Record<FaultKind, Carry>>>;

/**
 * It gets a copy of its disk back from before its last start, of which one peer alone knows; and that one is away. Nobody
 * else can tell, so that it serves requests when the two meet.
 */
function restoreUnseen(world: World, { hosts, forMs }: Fault, victim: SimHost): (() => void) | undefined {
  const others = world.hosts.filter((each) => each !== victim);
  const peer = others[hosts[1]! % others.length]!;
  if (!victim.ready || !peer.ready || world.twins.length > 0) return undefined;
  const rest = others.filter((each) => each !== peer);
  const cut = (one: SimHost, from: readonly SimHost[]): (() => void) =>
    world.network.cutPairs(
      from.map(({ id }) => [one.id, id] as const),
      true,
    );
  const copy = victim.disk.synced.copy();
  const startsBefore = startsOf(victim, peer);
  const healVictim = cut(victim, rest);
  const healPeer = cut(peer, rest);
  victim.kill("is killed, and starts where one peer alone sees it");
  world.start(victim);
  let heal = healPeer;
  const swap = (): void => {
    if (world.healed) return;
    if (startsOf(victim, peer) === startsBefore) return void world.schedule.after(10, "is it seen?", swap);
    const healPair = cut(victim, [peer]);
    heal = () => {
      healPair();
      healPeer();
    };
    victim.kill("gets an old copy of its disk back, and only one that is away could tell");
    world.losesToCopy(victim, copy);
    world.oracle.losing(victim, world.schedule.nowMs, () => victim.disk.restore(copy));
    world.arrivals.arrives(victim, world.schedule.nowMs);
    healVictim();
    world.start(victim);
    world.schedule.after(forMs, "meets who could tell", () => {
      if (!world.healed) heal();
    });
  };
  swap();
  return done;
}

/** The last start of a host that another one knows of. */
function startsOf({ id }: SimHost, { disk }: SimHost): number {
  return membershipOn(disk.view)?.roster.members.get(id)?.incarnation ?? 0;
}

/** Flips a bit of one of its records; false: it has none. */
export function damageRecord(world: World, victim: SimHost): boolean {
  const before = statesOn(victim.disk.view);
  let row: Uint8Array | undefined;
  world.oracle.losing(victim, world.schedule.nowMs, () => {
    row = victim.disk.damage("objects");
  });
  if (row === undefined) return false;
  const damaged = keyOfRow(row);
  world.damagedKeys.add(damaged);
  const had = before.find(({ key, hintFor }) => key === damaged && hintFor === undefined)?.state.vector;
  world.arrivals.damaged(victim, damaged, { nowMs: world.schedule.nowMs, had });
  return true;
}
