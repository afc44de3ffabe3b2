/** Stories of clocks that many actors would make long. */
import assert from "node:assert/strict";
import { encodeVersioned } from "../../../core/causality/encoding.ts";
import { methods } from "../../../core/rpc/rpc.ts";
import { objectOn } from "../rows.ts";
import type { Stage, Story } from "./stage.ts";

const pageLoads = 200;

function sizes(stage: Stage): { entries: number; bytes: number }[] {
  const located = stage.world.oracle.locate("sim/key0");
  return stage.world.hosts.map(({ disk }) => {
    const state = objectOn(disk.view, located);
    assert.ok(state);
    return { entries: state.vector.length, bytes: encodeVersioned(state).length };
  });
}

export const clockStories: readonly Story[] = [
  {
    name: "a cart written in each of 200 page loads on 3 devices stays below 2 kB",
    brokenBy: "truncation does not wait for agreement",
    cluster: { config: { readRepairShare: 0, inFlightMsMax: 2_000 } },
    play: async (stage) => {
      const { hosts } = stage.world;
      for (let load = 0; load < pageLoads; load++) {
        const device = hosts[load % hosts.length]!;
        // Each start of a process is an actor of its own, as each load of a page is.
        await stage.restart(device);
        await stage.sleep(10_000);
        await stage.get(device);
        await stage.put(device, { context: "latest" });
        const bytes = Math.max(...sizes(stage).map((size) => size.bytes));
        assert.ok(bytes < 2_000, `${bytes} bytes after ${load + 1} page loads`);
      }
      await stage.settled();
      await stage.sleep(10_000);
      assert.deepEqual(await stage.siblings(hosts[0]!), [`write ${pageLoads - 1}`]);
      for (const { bytes, entries } of sizes(stage)) {
        assert.ok(bytes < 2_000, `${bytes} bytes`);
        assert.ok(entries <= 60, `${entries} entries`);
      }
      assert.ok(stage.world.entriesCut > 100, `${stage.world.entriesCut} entries were cut with agreement`);
      assert.equal(stage.world.oracle.history("sim/key0").truncated, false, "none by force");
    },
  },
  {
    name: "a thousand writers do not make a clock of a thousand entries, and nothing comes back",
    cluster: { config: { readRepairShare: 0, inFlightMsMax: 2_000, clockEntriesMax: 100 } },
    play: async (stage) => {
      const [a, b] = stage.walk();
      for (let writer = 0; writer < 1_000; writer++) {
        // A write id has an actor of its own.
        await stage.put([a!, b!][writer % 2]!, { client: 1, context: "latest", withId: true });
        if (writer % 50 === 49) await stage.sleep(8_000);
      }
      assert.deepEqual(await stage.siblings(a!), ["write 999"]);
      for (const { entries } of sizes(stage)) assert.ok(entries <= 200, `${entries} entries`);
      assert.equal(stage.world.oracle.history("sim/key0").truncated, false, "none by force");
    },
  },
  {
    name: "without agreement nothing is cut below ten times the limit, and above it that is counted",
    brokenBy: "truncation does not wait for agreement",
    cluster: { config: { readRepairShare: 0, clockEntriesMax: 2 } },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      const { hosts, network, oracle } = stage.world;
      // c is away: what it holds nobody knows.
      for (const other of hosts) if (other !== c) network.cut(other.id, c!.id);
      await stage.sleep(5_000);
      for (let load = 0; load < 20; load++) {
        const device = [a!, b!][load % 2]!;
        await stage.restart(device);
        await stage.get(device);
        await stage.put(device, { context: "latest" });
      }
      assert.equal(oracle.history("sim/key0").truncated, false, "nothing was cut");
      assert.equal(stage.world.entriesCut, 0);
      for (let load = 0; load < 4; load++) {
        await stage.restart(a!);
        await stage.get(a!);
        await stage.put(a!, { context: "latest" });
      }
      assert.equal(oracle.history("sim/key0").truncated, true, "what was cut by force is told as such");
      assert.equal(stage.world.entriesCut, 0);
    },
  },
  {
    name: "nothing is cut while a host keeps a hint from before, for it would come back",
    brokenBy: "truncation does not ask who keeps hints",
    cluster: { hosts: 4, config: { readRepairShare: 0, inFlightMsMax: 2_000, clockEntriesMax: 3 } },
    play: async (stage) => {
      const [a, , c, standIn] = stage.walk();
      c!.kill();
      await stage.sleep(3_000);
      await stage.put(a!);
      // The owners become equal, and the hint reaches nobody.
      standIn!.disk.mood.readErrors = 1;
      await stage.start(c!);
      for (let load = 0; load < 20; load++) {
        const device = [a!, c!][load % 2]!;
        await stage.restart(device);
        await stage.sleep(10_000);
        await stage.get(device);
        await stage.put(device, { context: "latest" });
      }
    },
  },
  {
    name: "an event is as old as the knowledge of it here, whatever the clock of its coordinator said",
    brokenBy: "truncation takes an agreement for older than what it knows",
    // No hint tells that the third owner lacks something.
    cluster: { config: { readRepairShare: 0, inFlightMsMax: 2_000, clockEntriesMax: 1, hintBytesMax: 0 } },
    play: async (stage) => {
      const [a, b, c] = stage.walk();
      const { network } = stage.world;
      for (const host of [a!, b!]) host.machine.skewMs = -3_600_000;
      await stage.sleep(30_000);
      await stage.put(b!, { client: 1, withId: true, quorum: "all" });
      for (const host of [b!, a!]) await stage.put(host, { client: 1, context: "latest", quorum: "all" });
      // Until the mark is raised under which entries may go.
      await stage.sleep(15_000);
      for (const other of [a!, b!]) {
        network.cut(other.id, c!.id);
        network.cut(c!.id, other.id);
      }
      for (let write = 0; write < 12; write++) {
        await stage.sleep(3_000);
        await stage.put(b!, { client: 1, context: "latest" });
      }
    },
  },
  {
    name: "nothing is cut while a message from before may be in flight",
    brokenBy: "truncation forgets what is in flight",
    cluster: { config: { readRepairShare: 0, inFlightMsMax: 500_000, clockEntriesMax: 1 } },
    play: async (stage) => {
      const [a, , c] = stage.walk();
      const { transport } = a!;
      assert.ok(transport);
      const repeats: (() => Promise<unknown>)[] = [];
      transport.onNextRequest = (to, body) => {
        if (body[0] === methods.replicate.number) repeats.push(() => transport.request(to, body, 1_000));
      };
      await stage.put(a!, { quorum: "all", withId: true });
      transport.onNextRequest = undefined;
      for (let write = 0; write < 10; write++) {
        await stage.sleep(20_000); // a mark is raised, and all have asked all after that
        await stage.get(c!);
        await stage.put(c!, { context: "latest" });
      }
      assert.equal(repeats.length, 2);
      for (const repeat of repeats) await repeat();
    },
  },
  {
    name: "a member that consented to a mark and could not be reached when it was raised keeps its data, and nothing is cut before it knows of it",
    brokenBy: "a consent does not count",
    cluster: { hosts: 4, config: { readRepairShare: 0, inFlightMsMax: 2_000, clockEntriesMax: 3 } },
    play: async (stage) => {
      const [a, b, , other] = stage.walk();
      const { world } = stage;
      const write = async (): Promise<void> => {
        await stage.restart(b!);
        await stage.sleep(10_000);
        await stage.get(b!);
        await stage.put(b!, { context: "latest" });
      };
      const heals: (() => void)[] = [];
      stage.beforeRequest(a!, methods.commitReap, () => heals.push(stage.cutOff(other!)));
      for (let load = 0; load < 20 && heals.length === 0; load++) await write();
      assert.equal(heals.length, 1, "a mark is raised");
      for (let load = 0; load < 4; load++) await write();
      assert.equal(world.entriesCut, 0);
      heals[0]!();
      for (let load = 0; load < 8; load++) await write();
      await stage.settled();
      assert.ok(world.entriesCut > 0);
      for (const host of world.hosts) {
        const status = await host.call((node) => node.status());
        assert.ok(status !== "died");
        assert.deepEqual(status.storage.setAside, [], host.name);
      }
    },
  },
];
