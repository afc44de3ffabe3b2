/** Faults of the wires. */
import type { SimHost } from "../host.ts";
import type { Fault, FaultKind } from "./draw.ts";
import type { World } from "../world.ts";
import { browser, type Carry, change, done, host } from "./carry.ts";

type Pair = readonly [SimHost, SimHost];

export const networkFaults = {
  cut: (world, fault) => cutAll(world, fault, pairs(world, fault, 1), true),
  "cut-one-way": (world, fault) => cutAll(world, fault, pairs(world, fault, 1), false),
  isolate: (world, fault) => {
    const lone = host(world, fault, 0);
    return cutAll(world, fault, fromTo([lone], others(world, lone)), true);
  },
  halves: (world, fault) => {
    const [left, right] = halvesOf(world, fault);
    return cutAll(world, fault, fromTo(left, right), true);
  },
  /** A browser, or any host, that one host sees, and the others do not. */
  "half-seen": (world, fault) => {
    const lone = fault.rare === true ? host(world, fault, 0) : browser(world, fault);
    if (lone === undefined) return undefined;
    const witness = host(world, fault, 1);
    const unseen = others(world, lone).filter((other) => other !== witness);
    return cutAll(world, fault, fromTo([lone], unseen), true);
  },
  /** Two halves that one host sees both of. */
  bridge: (world, fault) => {
    const [left, right] = halvesOf(world, fault);
    return cutAll(world, fault, fromTo(left, right.slice(1)), true);
  },
  /** Hosts are isolated one by one, and come back in another order (FoundationDB). */
  swizzle: (world, fault) => {
    const chosen = fault.hosts.slice(0, 1 + Math.floor(fault.amount * world.hosts.length));
    const victims = [...new Set(chosen.map((index) => world.hosts[index % world.hosts.length]!))];
    const stepMs = fault.forMs / (2 * victims.length);
    const back = victims.toSorted(
      (a, b) => fault.hosts[victims.indexOf(a) + 1]! - fault.hosts[victims.indexOf(b) + 1]!,
    );
    const ends = new Map<SimHost, () => void>();
    victims.forEach((victim, i) => {
      world.schedule.after(i * stepMs, "swizzle cuts", () => {
        if (world.healed) return;
        ends.set(victim, cutAll(world, fault, fromTo([victim], others(world, victim)), true)!);
      });
    });
    back.forEach((victim, i) => {
      world.schedule.after((victims.length + i) * stepMs, "swizzle heals", () => ends.get(victim)?.());
    });
    return done;
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
  "slow-net": (world, { amount }) =>
    change(world, world.network.mood, { spikes: amount, spikeMs: Math.min(3_000, world.scenario.lateMsMax) }),
  late,
  "minutes-late": late,
  "bad-frames": (world, { amount }) => change(world, world.network.mood, { badFrames: amount * 0.3 }),
} satisfies Partial<Readonly<Record<FaultKind, Carry>>>;

function late(world: World, { amount }: Fault): () => void {
  return change(world, world.network.mood, { spikes: 0.02 + amount * 0.1, spikeMs: world.scenario.lateMsMax });
}

function others(world: World, lone: SimHost): SimHost[] {
  return world.hosts.filter((other) => other !== lone);
}

function fromTo(left: readonly SimHost[], right: readonly SimHost[]): Pair[] {
  return left.flatMap((a) => right.map((b) => [a, b] as const));
}

function pairs(world: World, { hosts }: Fault, count: number): Pair[] {
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

function cutAll(world: World, { kind }: Fault, cut: readonly Pair[], bothWays: boolean): (() => void) | undefined {
  if (cut.length === 0) return undefined;
  world.schedule.log(`${kind}: ${cut.map(([a, b]) => `${a.name}${bothWays ? "-" : ">"}${b.name}`).join(" ")}`);
  const heal = world.network.cutPairs(
    cut.map(([a, b]) => [a.id, b.id]),
    bothWays,
  );
  return () => {
    if (!world.healed) heal();
  };
}
