/** The simulated disk and wires keep what the ports promise; time is let run as fast as the machine's. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { storageConformance } from "../conformance/storage-tests.ts";
import { transportConformance } from "../conformance/transport.ts";
import type { NodeId } from "../../core/identity.ts";
import { Chance } from "./chance.ts";
import { SimDisk } from "./disk.ts";
import { calm, SimNetwork } from "./network.ts";
import { Process } from "./process.ts";
import { Schedule } from "./schedule.ts";
import { SimTransport } from "./transport.ts";

const stops: (() => void)[] = [];
after(() => stops.forEach((stop) => stop()));

/** Runs what is due, again and again, until all tests are over. */
function inRealTime(): Schedule {
  const schedule = new Schedule();
  schedule.nowMs = performance.now();
  let over = false;
  const turn = (): void => {
    void schedule.run(performance.now()).then(() => {
      if (!over) setTimeout(turn, 0);
    });
  };
  turn();
  stops.push(() => {
    over = true;
  });
  return schedule;
}

let processes = 0;

function startProcess(schedule: Schedule): Process {
  processes += 1;
  return new Process(`p${processes}`, schedule, { skewMs: 0 }, schedule.nowMs);
}

storageConformance("the simulated disk", async () => {
  const schedule = inRealTime();
  const disk = new SimDisk(new Chance("conformance"), {
    written: () => {},
    doubted: () => () => {},
    clearing: (clear) => clear(),
  });
  let storage = disk.open(startProcess(schedule));
  return {
    storage,
    reopen: async () => {
      await storage.close();
      disk.powerCut();
      storage = disk.open(startProcess(schedule));
      return storage;
    },
  };
});

transportConformance("the simulated wires", () => {
  const schedule = inRealTime();
  const mood = { delayMs: [0.1, 0.5] as const, spikeMs: 0, ...calm };
  const network = new SimNetwork(schedule, new Chance("conformance"), { silentMs: 1_000, redialMsMax: 100, mood });
  const nodes = new Map<string, SimTransport>();
  const kill = async (name: string): Promise<void> => {
    const node = nodes.get(name);
    node?.process.kill();
    node?.died(false);
    nodes.delete(name);
  };
  return {
    tooManyBytes: 65 * 1024 * 1024,
    async start(name) {
      await kill(name);
      const transport = new SimTransport(name as NodeId, network, startProcess(schedule));
      nodes.set(name, transport);
      // Tests look at the clock of the machine, which is ahead of the last event.
      const request = transport.request.bind(transport);
      transport.request = (...args) => {
        schedule.nowMs = performance.now();
        return request(...args);
      };
      return { transport, address: `sim:${name}` };
    },
    kill,
    close: async () => {
      for (const name of nodes.keys()) await kill(name);
    },
  };
});

test("a schedule in which somebody calls himself at once, again and again, is stuck", async () => {
  const schedule = new Schedule();
  const again = (): void => void schedule.after(0, "again", again);
  again();
  await schedule.run(Infinity, () => schedule.isStuck);
  assert.equal(schedule.nowMs, 0);
});
