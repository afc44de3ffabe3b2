/** Carries faults out, and takes them back when their time is over or everything heals. */
import { keyOfRow } from "../../core/placement/locate.ts";
import type { SimHost } from "./host.ts";
import type { Fault, FaultKind } from "./scenario.ts";
import type { World } from "./world.ts";

/** Returns how it ends; undefined when it did not happen at all. */
type Carry = (world: World, fault: Fault) => (() => void) | undefined;

const done = (): void => {};

export function inject(world: World, fault: Fault): void {
  if (world.healed) return;
  const end = carries[fault.kind](world, fault);
  if (end === undefined) return;
  world.faults.set(fault.kind, (world.faults.get(fault.kind) ?? 0) + 1);
  if (end === done) return;
  world.schedule.after(fault.forMs, `${fault.kind} ends`, () => {
    if (!world.healed) end();
  });
}

/** Copies the disk that the fault will bring back. */
export function backUp(world: World, fault: Fault): void {
  const victim = host(world, fault, 0);
  world.backups.set(victim, { image: victim.disk.synced.copy(), starts: victim.starts });
}

/** Everything works again, and everybody runs. */
export function healAll(world: World): void {
  world.healed = true;
  world.schedule.log("everything heals");
  world.network.healAll();
  for (const host of world.hosts) {
    Object.assign(host.disk.mood, { full: false, writeErrors: 0, readErrors: 0, slowness: 1 });
    host.disk.onNextBatch = undefined;
    if (host.transport !== undefined) host.transport.onNextRequest = undefined;
    host.process?.resume();
    // What memory still holds hides the damage for as long as the process runs.
    if (host.disk.damaged) host.kill("is restarted, to meet its damaged records");
    world.start(host);
  }
}

const carries: Readonly<Record<FaultKind, Carry>> = {
  cut: (world, fault) => cutAll(world, fault, pairs(world, fault, 1), true),
  "cut-one-way": (world, fault) => cutAll(world, fault, pairs(world, fault, 1), false),
  isolate: (world, fault) => {
    const lone = host(world, fault, 0);
    return cutAll(
      world,
      fault,
      world.hosts.flatMap((other) => (other === lone ? [] : [[lone, other] as const])),
      true,
    );
  },
  halves: (world, fault) => {
    const [left, right] = halvesOf(world, fault);
    return cutAll(
      world,
      fault,
      left.flatMap((a) => right.map((b) => [a, b] as const)),
      true,
    );
  },
  bridge: (world, fault) => {
    const [left, right] = halvesOf(world, fault);
    const apart = right.slice(1);
    return cutAll(
      world,
      fault,
      left.flatMap((a) => apart.map((b) => [a, b] as const)),
      true,
    );
  },
  flap: (world, fault) => {
    const chosen = pairs(world, fault, 2);
    const periodMs = 20 + fault.amount * 2_000;
    let over = false;
    const down = (): void => {
      if (over || world.healed) return;
      const end = cutAll(world, fault, chosen, true)!;
      world.schedule.after(periodMs / 2, "flap up", end);
      world.schedule.after(periodMs, "flap down", down);
    };
    down();
    return () => {
      over = true;
    };
  },
  reset: (world, fault) => {
    for (const [a, b] of pairs(world, fault, 1)) {
      world.schedule.log(`the connection of ${a.name} and ${b.name} breaks`);
      a.transport?.breakLink(b.id, "reset");
    }
    return done;
  },
  loss: (world, { amount }) => change(world, world.network.mood, { loss: amount * 0.3 }),
  duplicates: (world, { amount }) => change(world, world.network.mood, { duplicates: 0.1 + amount * 0.9 }),
  "slow-net": (world, { amount }) => change(world, world.network.mood, { spikes: amount, spikeMs: 3_000 }),
  late: (world, { amount }) => change(world, world.network.mood, { spikes: 0.02 + amount * 0.1, spikeMs: 120_000 }),
  kill: (world, fault) => killFor(world, host(world, fault, 0), (victim) => victim.kill()),
  "kill-at-batch": (world, fault) => {
    const victim = host(world, fault, 0);
    if (!victim.running) return undefined;
    const point = (["before", "written", "synced"] as const)[Math.floor(fault.amount * 3)]!;
    let restart = done;
    victim.disk.onNextBatch = (reached) => {
      if (reached !== point) return;
      victim.kill(`is killed at a batch: ${point}`);
      restart = () => world.start(victim);
      world.schedule.after(fault.forMs, "restart", () => world.start(victim));
    };
    return () => restart();
  },
  "kill-at-request": (world, fault) => {
    const victim = host(world, fault, 0);
    if (victim.transport === undefined) return undefined;
    let left = Math.floor(fault.amount * 20);
    victim.transport.onNextRequest = () => {
      if (left-- > 0) return;
      victim.kill("is killed as it sends");
      world.schedule.after(fault.forMs, "restart", () => world.start(victim));
    };
    return done;
  },
  "power-cut": (world, fault) => killFor(world, host(world, fault, 0), (victim) => cutPower(world, victim)),
  "power-cut-all": (world) => killAll(world, (victim) => cutPower(world, victim)),
  "mass-restart": (world) => killAll(world, (victim) => victim.kill()),
  pause: (world, fault) => {
    const victim = host(world, fault, 0);
    const { process } = victim;
    if (process === undefined || process.paused) return undefined;
    world.schedule.log(`${victim.name} stops for a while`);
    process.pause();
    return () => {
      world.schedule.log(`${victim.name} goes on`);
      process.resume();
    };
  },
  stutter: (world, fault) => {
    const victim = host(world, fault, 0);
    let over = false;
    const stop = (): void => {
      const { process } = victim;
      if (over || world.healed) return;
      if (process?.paused === false) {
        process.pause();
        world.schedule.after(20 + fault.amount * 1_000, "stutters", () => process.resume());
      }
      world.schedule.after(50 + fault.amount * 2_000, "stutters", stop);
    };
    stop();
    return () => {
      over = true;
    };
  },
  wipe: (world, fault) => {
    const victim = host(world, fault, 0);
    const end = killFor(world, victim, (each) => each.kill("loses its disk"));
    world.oracle.losing(victim, world.schedule.nowMs, () => victim.disk.wipe());
    world.arrivals.arrives(victim, world.schedule.nowMs);
    // Sometimes it is back before anybody noticed.
    if (fault.amount < 0.5) end?.();
    return end ?? (() => world.start(victim));
  },
  "restore-old": (world, fault) => {
    const victim = host(world, fault, 0);
    const { image: backup, starts: startsThen } = world.backups.get(victim) ?? { starts: 0 };
    if (backup === undefined) return undefined;
    const end = killFor(world, victim, (each) => each.kill("gets an old copy of its disk back"));
    world.oracle.losing(victim, world.schedule.nowMs, () => victim.disk.restore(backup));
    // Peers remember a later start of this host than its disk does, so it could know.
    const isNoticed = victim.starts > startsThen;
    if (isNoticed) world.arrivals.arrives(victim, world.schedule.nowMs);
    else world.arrivals.forgetArrival(victim);
    return end ?? (() => world.start(victim));
  },
  full: (world, fault) => change(world, host(world, fault, 0).disk.mood, { full: true }),
  "write-errors": (world, fault) => change(world, host(world, fault, 0).disk.mood, { writeErrors: fault.amount }),
  "read-errors": (world, fault) => change(world, host(world, fault, 0).disk.mood, { readErrors: fault.amount * 0.5 }),
  "slow-disk": (world, fault) =>
    change(world, host(world, fault, 0).disk.mood, { slowness: 10 ** (1 + fault.amount * 2) }),
  damage: (world, fault) => {
    const victim = host(world, fault, 0);
    let row: Uint8Array | undefined;
    world.oracle.losing(victim, world.schedule.nowMs, () => {
      row = victim.disk.damage("objects");
    });
    if (row === undefined) return undefined;
    world.damagedKeys.add(keyOfRow(row));
    world.arrivals.arrives(victim, world.schedule.nowMs, [keyOfRow(row)]);
    world.schedule.log(`a record of ${victim.name} is damaged`);
    return done;
  },
  "clock-jump": (world, fault) => {
    const { machine, name } = host(world, fault, 0);
    const jumpMs = (fault.amount - 0.5) * 2 * (fault.amount < 0.8 ? 5_000 : 7_200_000);
    machine.skewMs += jumpMs;
    world.schedule.log(`the clock of ${name} jumps by ${Math.round(jumpMs)} ms`);
    return done;
  },
  join: (world) => {
    if (world.hosts.length >= 9) return undefined;
    const joiner = world.addHost();
    world.arrivals.arrives(joiner, world.schedule.nowMs);
    world.start(joiner);
    return done;
  },
};

function host(world: World, { hosts }: Fault, index: number): SimHost {
  return world.hosts[hosts[index]! % world.hosts.length]!;
}

function pairs(world: World, { hosts }: Fault, count: number): (readonly [SimHost, SimHost])[] {
  return Array.from({ length: count }, (_, i) => {
    const a = hosts[2 * i]! % world.hosts.length;
    const b = (a + 1 + (hosts[2 * i + 1]! % (world.hosts.length - 1))) % world.hosts.length;
    return [world.hosts[a]!, world.hosts[b]!] as const;
  });
}

function halvesOf(world: World, { hosts }: Fault): readonly [SimHost[], SimHost[]] {
  const isLeft = (i: number): boolean => hosts[i % hosts.length]! % 2 === 0;
  return [world.hosts.filter((_, i) => isLeft(i)), world.hosts.filter((_, i) => !isLeft(i))];
}

function cutAll(
  world: World,
  { kind }: Fault,
  cut: readonly (readonly [SimHost, SimHost])[],
  bothWays: boolean,
): (() => void) | undefined {
  if (cut.length === 0) return undefined;
  const directed = cut.flatMap(([a, b]) =>
    bothWays ? [[a.id, b.id] as const, [b.id, a.id] as const] : [[a.id, b.id] as const],
  );
  world.schedule.log(`${kind}: ${cut.map(([a, b]) => `${a.name}${bothWays ? "-" : ">"}${b.name}`).join(" ")}`);
  for (const [from, to] of directed) world.network.cut(from, to);
  let over = false;
  return () => {
    if (over || world.healed) return;
    over = true;
    for (const [from, to] of directed) world.network.heal(from, to);
  };
}

function change<T extends object>(world: World, mood: T, change: Partial<T>): () => void {
  const names = Object.keys(change) as (keyof T)[];
  const before = Object.fromEntries(names.map((name) => [name, mood[name]])) as Partial<T>;
  Object.assign(mood, change);
  world.schedule.log(`mood: ${JSON.stringify(change)}`);
  return () => Object.assign(mood, before);
}

function killFor(world: World, victim: SimHost, kill: (victim: SimHost) => void): (() => void) | undefined {
  if (!victim.running) return undefined;
  kill(victim);
  return () => world.start(victim);
}

function cutPower(world: World, victim: SimHost): void {
  world.oracle.losing(victim, world.schedule.nowMs, () => victim.powerCut());
}

function killAll(world: World, kill: (victim: SimHost) => void): () => void {
  for (const victim of world.hosts) if (victim.running) kill(victim);
  return () => {
    for (const victim of world.hosts) world.start(victim);
  };
}
