/** What the faults have in common: whom they hit, and how they end. */
import type { MemberStatus } from "../../../core/membership/member.ts";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";
import type { Fault } from "./draw.ts";
import type { World } from "../world.ts";

/** Carries a fault out. Returns how it ends; undefined when it did not happen at all. */
export type Carry = (world: World, fault: Fault) => (() => void) | undefined;

/** There is nothing to take back. */
export const done = (): void => {};

export function host(world: World, { hosts }: Fault, index: number): SimHost {
  return world.hosts[hosts[index]! % world.hosts.length]!;
}

export function browser(world: World, { hosts }: Fault): SimHost | undefined {
  const browsers = world.hosts.filter(({ leaseMs }) => leaseMs !== undefined);
  return browsers[hosts[0]! % browsers.length];
}

/** Sets a mood until the fault ends. */
export function change<T extends object>(world: World, mood: T, to: Partial<T>): () => void {
  const names = Object.keys(to) as (keyof T)[];
  const before = Object.fromEntries(names.map((name) => [name, mood[name]])) as Partial<T>;
  Object.assign(mood, to);
  world.schedule.log(`mood: ${JSON.stringify(to)}`);
  return () => Object.assign(mood, before);
}

/** What its own disk says of it. */
export function statusOf({ id, disk }: SimHost): MemberStatus | undefined {
  return membershipOn(disk.view)?.roster.members.get(id)?.status;
}

export function killAndRestart(world: World, victim: SimHost, { forMs }: Fault, verb: string): void {
  victim.kill(verb);
  world.schedule.after(forMs, "restart", () => world.start(victim));
}

export function killFor(world: World, victim: SimHost, kill: (victim: SimHost) => void): (() => void) | undefined {
  if (!victim.running) return undefined;
  kill(victim);
  return () => world.start(victim);
}
