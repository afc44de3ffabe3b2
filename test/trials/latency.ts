/**
 * The paper's service level (2.2): latency is judged at the 99.9th percentile, at a rate of 500 requests a second that
 * does not wait for answers. Latency counts from the moment when a request was due.
 */
import { failuresOf, loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { load, type LoadSpec } from "../support/load.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const base = { operation: "mixed", inFlight: 0, perSecond: 500, valueBytes: 200, keys: 10_000 } as const;

export const trial: Trial = {
  name: "latency",
  summary: "p99.9 of 500 requests a second, half puts and half gets, at N=3, R=2, W=2",
  async run({ short, folder, signal }) {
    await using hosts = await HostProcesses.of(3, folder);
    const figures: Figure[] = [];
    const failures: string[] = [];
    for (const protocol of ["native", "http"] as const) {
      const targets = protocol === "native" ? hosts.addresses : hosts.urls;
      const spec: LoadSpec = { ...base, protocol, targets, ms: short ? 10_000 : 60_000 };
      const result = await load(spec, signal);
      failures.push(...failuresOf(protocol, result));
      figures.push(
        { name: `${protocol}: answered`, value: result.perSecond, unit: "/s" },
        { name: `${protocol}: p50`, value: result.p50Ms, unit: "ms" },
        { name: `${protocol}: p99`, value: result.p99Ms, unit: "ms" },
        { name: `${protocol}: p99.9`, value: result.p999Ms, unit: "ms", bar: { atMost: 100 } },
        { name: `${protocol}: slowest`, value: result.maxMs, unit: "ms" },
      );
    }
    return { figures: [...figures, loadAverage()], failures };
  },
};
