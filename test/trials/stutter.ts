/**
 * Slow is not dead: one of five hosts is stopped for 300 ms every two seconds while requests go on. How often is it taken
 * for dead, for how long, and does the ring change for it? Then it is killed: how soon do the others route around it?
 */
import { load } from "../support/load.ts";
import { loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { avoidedAfter, pause, SuspicionWatch } from "../support/suspicion.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const hostCount = 5;
const stopMs = 300;
const periodMs = 2_000;
/** What a client would notice. */
const longMs = 3_000;
const spec = { protocol: "http", operation: "mixed", inFlight: 0, perSecond: 100, valueBytes: 200, keys: 500 } as const;

export const trial: Trial = {
  name: "stutter",
  summary: "a host that stops for 300 ms every 2 s is not taken for dead; one that is killed is, within a second",
  async run({ short, folder, signal }) {
    await using hosts = await HostProcesses.of(hostCount, folder);
    const ms = short ? 16_000 : 60_000;
    const { id } = await hosts.status(hostCount - 1);
    const watch = new SuspicionWatch(hosts, hostCount - 1, id);
    const watching = watch.run();
    const loading = load({ ...spec, targets: hosts.urls.slice(0, -1), ms }, signal);
    for (const endMs = Date.now() + ms; Date.now() < endMs && !signal.aborted;) {
      const pid = hosts.pid(hostCount - 1)!;
      process.kill(pid, "SIGSTOP");
      await pause(stopMs);
      process.kill(pid, "SIGCONT");
      await pause(periodMs - stopMs);
    }
    const result = await loading;
    watch.stop();
    await watching;

    await hosts.settled();
    const killedAtMs = Date.now();
    await hosts.signal(hostCount - 1, "SIGKILL");
    const avoidedMs = await avoidedAfter(hosts, hostCount - 1, { id, killedAtMs });
    const figures: Figure[] = [
      { name: "suspicions", value: watch.suspicionsMs.length, unit: "" },
      {
        name: `suspicions above ${longMs / 1_000} s`,
        value: watch.suspicionsMs.filter((each) => each > longMs).length,
        unit: "",
        bar: { atMost: 2 },
      },
      { name: "longest suspicion", value: Math.max(0, ...watch.suspicionsMs), unit: "ms" },
      { name: "changes of the ring", value: watch.rings.size - 1, unit: "", bar: { atMost: 0 } },
      { name: "requests that failed meanwhile", value: result.errors, unit: "" },
      { name: "until all route around it after kill -9", value: avoidedMs, unit: "ms", bar: { atMost: 1_000 } },
      loadAverage(),
    ];
    return { figures, failures: [] };
  },
};
