/** Stories of how edges hear of hosts (PROTOCOL 6). */
import assert from "node:assert/strict";
import { until } from "../cluster.ts";
import type { SimHost } from "../host.ts";
import { membershipOn } from "../rows.ts";
import { type Device, withDevice } from "./device.ts";
import type { Stage, Story } from "./stage.ts";

/** Between two looks an edge waits for half a second. */
const refreshMsMax = 10_000 + 1_000;
const neverMs = 2_000_000_000;

/** Each connection that it makes at first tells it to ask anew. */
async function inContact(stage: Stage, device: Device): Promise<void> {
  await device.start();
  await device.online();
  await stage.sleep(2_000);
}

/** A host that has taken its share, of which all hosts know. */
async function newcomer({ world }: Stage): Promise<SimHost> {
  const host = world.addHost();
  world.arrivals.arrives(host, world.schedule.nowMs);
  world.start(host);
  const isKnown = (at: SimHost): boolean => membershipOn(at.disk.view)?.ring.host(host.id) !== undefined;
  await until(world, 60_000, `all know ${host.name}`, () => world.hosts.every(isKnown));
  return host;
}

export const edgeContactStories: readonly Story[] = [
  {
    name: "an edge that asks nothing hears of a new host within ten seconds",
    brokenBy: "an edge refreshes its membership only when it is told that it is stale",
    play: withDevice(
      0,
      async (stage, device) => {
        await inContact(stage, device);
        const host = await newcomer(stage);
        await until(stage.world, refreshMsMax, "the edge has heard of it", () => device.knows(host));
      },
      { refreshIntervalMs: 10_000 },
    ),
  },
  {
    name: "an edge whose view of the ring is old hears of the new one with the first answer",
    brokenBy: "an edge does not heed what ring a host is on",
    play: withDevice(
      0,
      async (stage, device) => {
        await inContact(stage, device);
        const host = await newcomer(stage);
        await stage.sleep(30_000);
        assert.equal(device.knows(host), false);
        await device.siblings();
        await until(stage.world, 200, "the edge has heard of it", () => device.knows(host));
      },
      { refreshIntervalMs: neverMs },
    ),
  },
  {
    name: "an edge whose view of the ring is old hears of the new one with the answer to its first write",
    brokenBy: "an edge does not heed what ring a host is on",
    play: withDevice(
      0,
      async (stage, device) => {
        await inContact(stage, device);
        const host = await newcomer(stage);
        assert.equal(device.knows(host), false);
        await device.put({});
        await until(stage.world, 200, "the edge has heard of it", () => device.knows(host));
      },
      { refreshIntervalMs: neverMs },
    ),
  },
];
