/**
 * What operators do to a ring, and what befalls its hosts for good: joining, leaving, losing a machine, removing a host
 * that is cut off but alive, evening out, two rings that were founded apart. And what an operator does about it in the end.
 */
import type { RingRequest } from "../../../core/api.ts";
import type { NodeId } from "../../../core/identity.ts";
import type { MemberStatus } from "../../../core/membership/member.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";
import type { FaultKind } from "./draw.ts";
import type { World } from "../world.ts";
import { browser, type Carry, done, host, killAndRestart, statusOf } from "./carry.ts";

/** Below it nobody is sent away: there would be nothing left to lose. */
const hostsMin = 4;
const hostsMax = 10;
const tryAgainMs = 1_000;
/** After a start a host gets this long to find its place by itself. */
const settlesInMs = 5_000;

/** What partitions are moved with. */
const transferMethods = new Set<number>(
  [methods.scan, methods.handOff, methods.covers, methods.swap].map(({ number }) => number),
);

export const membershipFaults = {
  join: (world, { rare, forMs }) => {
    const joiner = addJoiner(world);
    if (joiner === undefined) return undefined;
    if (rare !== true) return done;
    // Somebody has taken it in, and it is cut off before it is told the secrets; then it is removed.
    let heal = done;
    const look = (): void => {
      if (world.healed || !joiner.running) return;
      const isKnown = world.hosts.some((each) => each !== joiner && saysOnRing(each, joiner.id));
      if (!isKnown) return void world.schedule.after(1, "is it taken in?", look);
      world.schedule.log(`${joiner.name} is cut off as it joins, and removed`);
      heal = cutOff(world, joiner);
      let isCut = true;
      removeLater(world, joiner.id, () => isCut && !world.healed);
      world.schedule.after(forMs, "heals", () => {
        isCut = false;
        heal();
      });
    };
    look();
    return done;
  },
  /** In the same moment: both may take the same tokens. */
  "join-two": (world) => {
    if (world.hosts.length + 2 > hostsMax) return undefined;
    addJoiner(world);
    addJoiner(world);
    return done;
  },
  /** It takes nothing before an operator commits its join. */
  "join-held": (world) => {
    const joiner = addJoiner(world, { mayJoin: false });
    return joiner && (() => void ask(world, joiner, { kind: "join", host: joiner.id }));
  },
  /** Somebody leaves while another one comes; sometimes it is the same. */
  "join-leave": (world, fault) => {
    const joiner = addJoiner(world);
    if (joiner === undefined) return undefined;
    const leaver = fault.amount < 0.3 ? joiner : host(world, fault, 0);
    world.schedule.after(fault.amount * 3_000, "operator", () => void tellToLeave(world, leaver));
    return done;
  },
  leave: (world, fault) => (tellToLeave(world, host(world, fault, 0)) === undefined ? undefined : done),
  /** Its machine burns down; somebody removes it. */
  "lose-host": (world, fault) => {
    const victim = host(world, fault, 0);
    if (!mayGo(world, victim) || world.lost.size > 0) return undefined;
    burn(world, victim, "is lost for good");
    removeLater(world, victim.id, () => world.lost.has(victim.id));
    return done;
  },
  /** A browser is never opened again: nobody removes it, its lease ends. */
  "closed-for-good": (world, fault) => {
    const victim = browser(world, fault);
    if (victim === undefined || !mayGo(world, victim) || world.lost.size > 0) return undefined;
    burn(world, victim, "is closed for good");
    return done;
  },
  /** It is taken for dead, and goes on alone. Later it hears of it, and comes back as a new member. */
  "remove-cut": (world, fault) => {
    const victim = host(world, fault, 0);
    if (!mayGo(world, victim) || !victim.running) return undefined;
    world.schedule.log(`${victim.name} is cut off, and removed`);
    const heal = cutOff(world, victim);
    let isCut = true;
    // It may admit somebody while it is alone.
    const joiner = fault.rare === true && world.hosts.length < hostsMax ? world.addHost() : undefined;
    const healJoiner = joiner && cutOff(world, joiner, victim);
    if (joiner !== undefined) {
      world.arrivals.copied(joiner);
      world.schedule.after(settlesInMs, "joins apart", () => world.start(joiner));
    }
    const remove = (): void => removeLater(world, victim.id, () => isCut && !world.healed);
    if (joiner === undefined) remove();
    else world.schedule.after(fault.forMs / 3, "operator", remove);
    return () => {
      isCut = false;
      heal();
      healJoiner?.();
      // Half of them stay away until everything heals.
      if (fault.amount < 0.5) bringBackLater(world, victim, fault.forMs * fault.amount);
    };
  },
  rebalance: (world, fault) => {
    const operator = host(world, fault, 0);
    if (!operator.ready) return undefined;
    void ask(world, operator, { kind: "rebalance" });
    return done;
  },
  /** Somebody founds a second ring of that name, behind a cut; then the two meet. */
  "other-ring": (world) => {
    if (world.hosts.length >= hostsMax || world.hosts.some(({ foundsApart }) => foundsApart)) return undefined;
    const founder = world.addHost({ foundsApart: true });
    const heal = cutOff(world, founder);
    // Whole in its own ring, but no source of what the first one had.
    world.arrivals.copied(founder);
    world.start(founder, true);
    return () => {
      heal();
      founder.kill("is stopped by its operator");
      world.start(founder);
    };
  },
  /** One end of a copy or a hand-off dies, at any of its messages. */
  "kill-in-transfer": (world, fault) => {
    let left = Math.floor((fault.amount * 40) % 10);
    let isOver = false;
    for (const sender of world.hosts) {
      const { transport } = sender;
      if (transport === undefined) continue;
      transport.onNextRequest = (to, body) => {
        if (isOver || !transferMethods.has(body[0]!) || left-- > 0) return;
        isOver = true;
        const receiver = world.hosts.find(({ id }) => id === to);
        const victim = fault.amount < 0.5 ? sender : (receiver ?? sender);
        world.happened(fault.kind);
        if (victim.running)
          killAndRestart(world, victim, fault, `is killed as ${sender.name} sends part of a transfer`);
      };
    }
    // It happens when a transfer does.
    return undefined;
  },
} satisfies Partial<Readonly<Record<FaultKind, Carry>>>;

/** One go of an operator who puts things in order; true when everybody who is there is a member, and nobody else. */
export async function putInOrder(world: World): Promise<boolean> {
  // Those that are lost; and who left and told one host only, which was lost then.
  const missed = world.departed.flatMap(({ id }) => {
    const operator = world.hosts.find((each) => saysOnRing(each, id));
    return operator === undefined ? [] : [{ id, operator }];
  });
  for (const { id, operator } of missed) await removeBy(world, id, operator);
  for (const each of world.hosts) {
    if (each.readyForMs < settlesInMs) continue;
    const status = statusOf(each);
    if (status === "removed" || isStillApart(world, each)) {
      bringBack(world, each);
    } else if (isHeld(each) && status === "up") {
      await ask(world, each, { kind: "join", host: each.id });
    }
  }
  const { hosts } = world;
  // Somebody may have been removed just now, and not know it.
  const saysUp = ({ disk }: SimHost, id: NodeId): boolean =>
    membershipOn(disk.view)?.roster.members.get(id)?.status === "up";
  return (
    missed.length === 0 &&
    world.asks === 0 &&
    hosts.every((each) => each.ready && !isHeld(each) && hosts.every(({ id }) => saysUp(each, id)))
  );
}

function saysOnRing({ disk }: SimHost, id: NodeId): boolean {
  const status = membershipOn(disk.view)?.roster.members.get(id)?.status;
  return status === "up" || status === "leaving";
}

/** It waits for somebody to give it tokens. */
function isHeld({ mayJoin, disk, id }: SimHost): boolean {
  return !mayJoin && membershipOn(disk.view)?.ring.host(id) === undefined;
}

function isGone(status: MemberStatus | undefined): boolean {
  return status === "removed" || status === "left" || status === "lapsed";
}

/** It asks its seeds once when it starts, and none of them answered. */
export function isStillApart({ hosts }: World, { disk, id, foundsApart }: SimHost): boolean {
  const members = membershipOn(disk.view)?.roster.members;
  return foundsApart && members !== undefined && !hosts.some((other) => other.id !== id && members.has(other.id));
}

function burn(world: World, victim: SimHost, verb: string): void {
  victim.kill(verb);
  world.losesCopies(victim);
  world.oracle.losing(victim, world.schedule.nowMs, () => victim.disk.wipe());
  world.depart(victim);
  world.lost.add(victim.id);
}

function addJoiner(world: World, how: { readonly mayJoin?: boolean } = {}): SimHost | undefined {
  if (world.hosts.length >= hostsMax) return undefined;
  const joiner = world.addHost(how);
  world.arrivals.arrives(joiner, world.schedule.nowMs);
  world.start(joiner);
  return joiner;
}

function tellToLeave(world: World, victim: SimHost): Promise<boolean> | undefined {
  if (world.healed || !mayGo(world, victim) || !victim.ready) return undefined;
  return ask(world, victim, { kind: "leave", host: victim.id });
}

function mayGo(world: World, victim: SimHost): boolean {
  const staying = world.hosts.filter((each) => statusOf(each) === "up" && !each.foundsApart);
  return staying.length >= hostsMin && staying.includes(victim) && world.twins.length === 0;
}

function cutOff(world: World, victim: SimHost, ally?: SimHost): () => void {
  const others = world.hosts.filter((other) => other !== victim && other !== ally);
  const heal = world.network.cutPairs(
    others.map((other) => [victim.id, other.id] as const),
    true,
  );
  return () => {
    if (!world.healed) heal();
  };
}

function bringBackLater(world: World, victim: SimHost, waitMs: number): void {
  world.schedule.after(waitMs, "operator", () => {
    if (!world.healed && victim.ready && isGone(statusOf(victim))) bringBack(world, victim);
  });
}

/** It knows by now, and takes no requests: started with its seeds it comes back as a new member. */
function bringBack(world: World, victim: SimHost): void {
  victim.kill("is brought back by its operator");
  if (!victim.foundsApart) world.arrivals.arrives(victim, world.schedule.nowMs);
  world.start(victim);
}

function removeLater(world: World, id: NodeId, isWanted: () => boolean): void {
  world.schedule.after(tryAgainMs, "operator", () => {
    if (!isWanted()) return;
    const ready = world.hosts.filter((each) => each.ready && each.id !== id && !each.foundsApart);
    if (ready.length === 0) return removeLater(world, id, isWanted);
    void removeBy(world, id, world.chance.pick(ready)).then((isRemoved) => {
      if (!isRemoved) removeLater(world, id, isWanted);
    });
  });
}

/** By force, as nobody has found out yet that it does not answer. */
export function removeInSleep(world: World, victim: SimHost, afterMs: number): void {
  const { process } = victim;
  world.schedule.after(afterMs, "operator", () => {
    const ready = world.hosts.filter((each) => each.ready && each !== victim && !each.foundsApart);
    if (world.healed || process?.paused !== true || !mayGo(world, victim) || ready.length === 0) return;
    void removeBy(world, victim.id, world.chance.pick(ready), true);
  });
}

async function removeBy(world: World, id: NodeId, operator: SimHost, force = false): Promise<boolean> {
  const isRemoved = await ask(world, operator, { kind: "remove", host: id, force });
  // It may have been carried out by one that died before it could say so.
  if (!isRemoved && !isGone(membershipOn(operator.disk.view)?.roster.members.get(id)?.status)) return false;
  world.lost.delete(id);
  // What it has by now misses what the others take from here on.
  const victim = world.hosts.find((each) => each.id === id);
  if (victim !== undefined) world.arrivals.arrives(victim, world.schedule.nowMs);
  return true;
}

/** Whether it was carried out; a rebalance, whole: what waits for partitions that fill has to be asked for again. */
export async function ask(world: World, at: SimHost, request: RingRequest): Promise<boolean> {
  const what = `${request.kind} ${"host" in request ? request.host : ""}`;
  world.asks += 1;
  try {
    const plan = await at.call((node) => node.changeRing(request));
    const result = plan === "died" ? "died" : `${plan.tokens} tokens, ${plan.withheld} withheld`;
    world.schedule.log(`operator at ${at.name}: ${what}: ${result}`);
    return plan !== "died" && (request.kind !== "rebalance" || plan.withheld === 0);
  } catch (error: unknown) {
    world.schedule.log(`operator at ${at.name}: ${what}: ${(error as Error).message}`);
    return false;
  } finally {
    world.asks -= 1;
  }
}
