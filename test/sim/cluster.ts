/** Waits until a simulated cluster stands, or is settled, within a bound of simulated time. */
import type { NodeStatus } from "../../core/api.ts";
import type { SimHost } from "./host.ts";
import { membershipOn } from "./rows.ts";
import type { World } from "./world.ts";

/** Thrown to leave the drive once a rule is broken. */
export const stopped = new Error("a rule is broken");

/** The cluster stands in this time. */
const startMsMax = 120_000;
export const pollMs = 500;

/** All hosts run, agree on the ring and hold their partitions. */
export async function stand(world: World): Promise<void> {
  const [founder, ...others] = world.hosts;
  world.start(founder!, true);
  await until(world, startMsMax, "the first host stands", () => founder!.ready);
  for (const host of others) {
    world.start(host);
    // Hosts that join in the same moment take the same tokens, and some end without any.
    if (!world.scenario.joinsAtOnce) await until(world, startMsMax, `${host.name} has its share`, () => hasShare(host));
  }
  await until(world, startMsMax, "the cluster stands", () => world.hosts.every((host) => host.ready));
  await settle(world, startMsMax, "partitions are filled at first");
}

function hasShare({ id, disk }: SimHost): boolean {
  return membershipOn(disk.view)?.ring.host(id) !== undefined;
}

/** Rings agree, everything is filled, former owners hold nothing, everybody reaches everybody; with `drained`, and nothing is owed to anybody. */
export async function settle(world: World, boundMs: number, what: string, drained = false): Promise<void> {
  const deadlineMs = world.schedule.nowMs + boundMs;
  for (;;) {
    const states = await Promise.all(world.hosts.map((host) => host.call((node) => node.status())));
    const first = states[0]!;
    const isSettled = states.every(
      (status) =>
        status !== "died" &&
        first !== "died" &&
        status.partitions.filling === 0 &&
        (!drained || status.hints === 0) &&
        status.partitions.handingOff === 0 &&
        status.ring === first.ring &&
        membersTold(status) === membersTold(first) &&
        membersOf(status).length === world.hosts.length &&
        membersOf(status).every(({ alive }) => alive),
    );
    if (isSettled) return;
    if (world.schedule.nowMs > deadlineMs) {
      const told = states.map((status, i) => {
        const { name } = world.hosts[i]!;
        if (status === "died") return `${name} is down`;
        const { ring, partitions, hints } = status;
        const members = membersOf(status);
        return `${name} ring ${ring.slice(0, 6)}, filling ${partitions.filling} of ${partitions.owned}, handing off ${partitions.handingOff}, ${members.filter(({ alive }) => alive).length} alive of ${members.length}, ${hints} hints`;
      });
      fail(world, what, told.join("; "));
    }
    await world.sleep(pollMs);
  }
}

/** Those that are on the ring, or may be. */
export function membersOf({ members }: NodeStatus): NodeStatus["members"] {
  return members.filter(({ status }) => status === "up" || status === "leaving");
}

/** Who is a member, in which life, and who is not any more: all agree on it in the end (I8). */
function membersTold({ members }: NodeStatus): string {
  return members
    .map(({ id, life, status }) => `${id} ${life} ${status}`)
    .toSorted()
    .join();
}

export async function until(
  world: World,
  boundMs: number,
  what: string,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = world.schedule.nowMs + boundMs;
  while (!(await holds())) {
    if (world.schedule.nowMs > deadlineMs) fail(world, what, `not within ${boundMs / 1000} s`);
    await world.sleep(100);
  }
}

export function fail(world: World, rule: string, text: string): never {
  world.oracle.broken(rule, text);
  throw stopped;
}
