/** Carries faults out, and takes them back when their time is over or everything heals. */
import type { Fault, FaultKind } from "./draw.ts";
import type { World } from "../world.ts";
import { type Carry, done, host } from "./carry.ts";
import { diskFaults } from "./disk.ts";
import { membershipFaults } from "./membership.ts";
import { networkFaults } from "./network.ts";
import { processFaults } from "./process.ts";

const carries: Readonly<Record<FaultKind, Carry>> = {
  ...networkFaults,
  ...processFaults,
  ...diskFaults,
  ...membershipFaults,
};

export function inject(world: World, fault: Fault): void {
  if (world.healed) return;
  const end = carries[fault.kind](world, fault);
  if (end === undefined) return;
  world.happened(fault.kind);
  if (end === done) return;
  world.schedule.after(fault.forMs, `${fault.kind} ends`, () => {
    if (!world.healed) end();
  });
}

/** Copies the disk that the fault will bring back. */
export function backUp(world: World, fault: Fault): void {
  const victim = host(world, fault, 0);
  world.backups.set(victim, victim.disk.synced.copy());
}

/** Everything works again, and everybody runs. */
export function healAll(world: World): void {
  world.healed = true;
  world.schedule.log("everything heals");
  world.network.healAll();
  for (const twin of world.twins) world.endTwin(twin);
  for (const each of world.hosts) {
    each.calm();
    // What memory still holds hides the damage for as long as the process runs.
    if (each.disk.damaged) each.kill("is restarted, to meet its damaged records");
    world.start(each);
  }
}
