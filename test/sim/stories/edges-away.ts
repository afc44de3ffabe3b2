/**
 * Stories of edges that are away for days of simulated time, with the grace period that hosts have unless they are told
 * another: longer than that, after which hosts have forgotten what was deleted, and than the age of hints (a day each).
 * Nobody's time is spent on it: whoever is switched off has no events.
 */
import assert from "node:assert/strict";
import { nodeDefaults } from "../../../core/config.ts";
import { until } from "../cluster.ts";
import { withDevice } from "./device.ts";
import type { Stage, Story } from "./stage.ts";

const dayMs = 86_400_000;
const { graceMs, hintAgeMaxMs } = nodeDefaults;
/** What hosts may have sent before they were switched off is waited for so long. */
const inFlightMsMax = 60_000;
const usualGrace = { config: { readRepairShare: 0, graceMs, inFlightMsMax }, lateMsMax: 1 } as const;

/** All hosts are switched off for so long, and on again; nobody begins to forget before all have run for a while. */
async function night(stage: Stage, ms: number): Promise<void> {
  const { world } = stage;
  for (const host of world.hosts) host.kill("is switched off");
  await world.sleep(ms);
  const heal = stage.cutOff(world.hosts[0]!);
  for (const host of world.hosts) world.start(host);
  await world.sleep(inFlightMsMax + 10_000);
  heal();
  await stage.settled();
}

/** Three days: after the first one the delete of the key is forgotten by its three owners. */
async function threeDays(stage: Stage): Promise<void> {
  assert.ok(Math.max(graceMs, hintAgeMaxMs) <= dayMs);
  await stage.sleep(10_000);
  await night(stage, dayMs);
  await until(stage.world, 60_000, "the key is forgotten", () => stage.world.reaped.keys === 3);
  await night(stage, 2 * dayMs);
}

export const edgeAwayStories: readonly Story[] = [
  {
    name: "an edge that was switched off for three days brings what it had not sent, and has nothing more of what hosts have forgotten since",
    brokenBy: "an edge never lets go of what hosts have forgotten",
    cluster: usualGrace,
    play: withDevice(0, async (stage, device, host) => {
      await stage.put(host, { quorum: "all" });
      await device.start();
      await device.online();
      assert.deepEqual(await device.siblings(), ["write 0"]);
      device.cut();
      await stage.sleep(10_000);
      await device.put({});
      assert.deepEqual(await device.siblings("local"), ["write 0", "write 1"]);
      device.edge.kill("is switched off");
      await stage.delete(host, { quorum: "all" });
      await threeDays(stage);
      device.heal();
      await device.start();
      await device.delivered();
      assert.deepEqual(await stage.siblings(host), ["write 1"]);
      assert.deepEqual(await device.siblings(), ["write 1"]);
    }),
  },
  {
    name: "a write of an edge that sleeps for three days before its answer comes is set aside: hosts may have forgotten it since",
    brokenBy: "an edge repeats a write however long ago it was sent",
    cluster: usualGrace,
    play: withDevice(0, async (stage, device, host) => {
      const { world } = stage;
      await device.start();
      await device.online();
      await stage.sleep(2_000);
      const heal = world.network.cutPairs(
        world.hosts.map(({ id }) => [id, device.edge.id] as const),
        false,
      );
      const writing = device.put({ w: "all" });
      await until(world, 1_000, "hosts have it", async () => (await stage.siblings(host)).length > 0);
      device.edge.process!.pause();
      await stage.delete(host, { quorum: "all" });
      await threeDays(stage);
      heal();
      device.edge.process!.resume();
      const facts = () => device.edge.node!.facts();
      await until(world, 60_000, "the edge has asked hosts", () => facts().connected && facts().pending === 0);
      const parked = await device.edge.call((node) => node.parked());
      assert.deepEqual(parked !== "died" && parked.map(({ error }) => error.code), ["outcome-unknown"]);
      assert.deepEqual(await stage.siblings(host), []);
      await writing;
    }),
  },
];
