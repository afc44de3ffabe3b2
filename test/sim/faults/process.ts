/** Faults of processes and of the clocks of their machines. */
import type { SimHost } from "../host.ts";
import type { FaultKind } from "./draw.ts";
import type { World } from "../world.ts";
import { browser, type Carry, done, host, killAndRestart, killFor, statusOf } from "./carry.ts";
import { removeInSleep } from "./membership.ts";

export const processFaults = {
  kill: (world, fault) => killFor(world, host(world, fault, 0), (victim) => victim.kill()),
  "kill-at-step": (world, fault) => {
    const victim = host(world, fault, 0);
    const { process } = victim;
    if (process === undefined) return undefined;
    let left = Math.floor(fault.amount * 300);
    process.onStep = () => {
      if (left-- <= 0) killAndRestart(world, victim, fault, "is killed between two steps");
    };
    return done;
  },
  "kill-at-batch": (world, fault) => {
    const victim = host(world, fault, 0);
    if (!victim.running) return undefined;
    const point = (["before", "written", "synced"] as const)[Math.floor(fault.amount * 3)]!;
    victim.disk.onNextBatch = (reached) => {
      if (reached === point) killAndRestart(world, victim, fault, `is killed at a batch: ${point}`);
    };
    return done;
  },
  "kill-at-request": (world, fault) => {
    const victim = host(world, fault, 0);
    if (victim.transport === undefined) return undefined;
    let left = Math.floor(fault.amount * 20);
    victim.transport.onNextRequest = () => {
      if (left-- <= 0) killAndRestart(world, victim, fault, "is killed as it sends");
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
    // Somebody takes it for dead although it was there a moment ago.
    if (fault.rare === true) removeInSleep(world, victim, fault.forMs * fault.amount);
    return () => {
      world.schedule.log(`${victim.name} goes on`);
      process.resume();
    };
  },
  /** Its tab is closed. */
  absent: (world, fault) => {
    const victim = browser(world, fault);
    return victim && killFor(world, victim, (each) => each.kill("is closed"));
  },
  /** Its machine is suspended. */
  asleep: (world, fault) => {
    const process = browser(world, fault)?.process;
    if (process === undefined || process.paused) return undefined;
    world.schedule.log(`${process.name} falls asleep`);
    process.pause();
    return () => {
      world.schedule.log(`${process.name} wakes up`);
      process.resume();
    };
  },
  /** Its tab is closed, opened again, and closed once more as it hears that its lease has lapsed; its seeds have moved. */
  "closed-again": (world, fault) => {
    const victim = browser(world, fault);
    return (
      victim &&
      killFor(world, victim, (each) => each.kill("is closed")) &&
      (() => {
        world.start(victim);
        victim.disk.onNextBatch = (reached) => {
          if (reached !== "synced" || statusOf(victim) !== "lapsed") return;
          victim.kill("is closed as it hears that its lease has lapsed");
          victim.start([]);
        };
      })
    );
  },
  /** All machines but one browser's are suspended, and that one is cut off a moment before. */
  "sleep-together": (world, fault) => {
    const lone = browser(world, fault);
    const others = world.hosts.filter((each) => each !== lone);
    if (lone === undefined || others.some(({ process }) => process?.paused !== false)) return undefined;
    const awake = others.map(({ process }) => process!);
    world.schedule.log(`${lone.name} is cut off, and all others fall asleep`);
    const heal = world.network.cutPairs(
      others.map(({ id }) => [lone.id, id] as const),
      true,
    );
    const beforeMs = 1_000 + fault.amount * 3_000;
    world.schedule.after(beforeMs, "fall asleep", () => {
      if (!world.healed) for (const process of awake) process.pause();
    });
    return () => {
      for (const process of awake) process.resume();
      world.schedule.after(beforeMs, "is there again", () => {
        if (!world.healed) heal();
      });
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
  "clock-jump": (world, fault) => {
    const { machine, name } = host(world, fault, 0);
    const jumpMs = (fault.amount - 0.5) * 2 * (fault.amount < 0.8 ? 5_000 : 7_200_000);
    machine.skewMs += jumpMs;
    world.schedule.log(`the clock of ${name} jumps by ${Math.round(jumpMs)} ms`);
    return done;
  },
  /** Its directory was copied, and somebody starts the copy too. */
  twin: (world, fault) => {
    const victim = host(world, fault, 0);
    if (!victim.running || world.twins.length > 0 || statusOf(victim) !== "up") return undefined;
    const twin = world.addTwin(victim);
    return () => world.endTwin(twin);
  },
} satisfies Partial<Readonly<Record<FaultKind, Carry>>>;

function cutPower(world: World, victim: SimHost): void {
  world.oracle.losing(victim, world.schedule.nowMs, () => victim.powerCut());
}

function killAll(world: World, kill: (victim: SimHost) => void): () => void {
  for (const victim of world.hosts) if (victim.running) kill(victim);
  return () => {
    for (const victim of world.hosts) world.start(victim);
  };
}
