/**
 * A bulk load of small values: how fast, in how much memory, and does a host ever stop answering meanwhile?
 * The stall is what the host itself measures: the longest delay of its event loop since it was last asked (its timer has
 * a resolution of 10 ms, which is in the figure).
 */
import { loadAverage, median } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { metric } from "../support/http-client.ts";
import { load, type LoadSpec } from "../support/load.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const lagMetric = "everwrite_nodejs_eventloop_lag_max_seconds";
/** A scrape begins a new interval, so none may be missed. */
const scrapeMs = 1_000;

export const trial: Trial = {
  name: "million-keys",
  summary: "1,000,000 keys of 200 bytes loaded without the hosts' event loop stalling over 100 ms",
  async run(context) {
    const { short, folder, signal } = context;
    await using hosts = await HostProcesses.of(3, folder);
    const keys = short ? 50_000 : 1_000_000;
    for (const url of hosts.urls) await metric(url, lagMetric); // what happened at the start is not the load's
    const lags: number[] = [];
    const watch = setInterval(() => {
      for (const url of hosts.urls) metric(url, lagMetric).then((seconds) => lags.push(seconds * 1_000), context.log);
    }, scrapeMs);
    const fill: LoadSpec = {
      protocol: "native",
      targets: hosts.addresses,
      operation: "fill",
      inFlight: 128,
      valueBytes: 200,
      keys,
      ms: 0,
    };
    const result = await load(fill, signal).finally(() => clearInterval(watch));
    for (const url of hosts.urls) lags.push((await metric(url, lagMetric)) * 1_000);

    const memory = await Promise.all(hosts.urls.map((url) => metric(url, "everwrite_process_resident_memory_bytes")));
    const held = await Promise.all(hosts.urls.map((_url, i) => hosts.status(i).then((status) => status.keys)));
    const reads = await load({ ...fill, operation: "get", inFlight: 64, ms: short ? 3_000 : 10_000 }, signal);
    const figures: Figure[] = [
      { name: "keys loaded", value: result.count, unit: "", bar: { atLeast: keys } },
      { name: "load", value: result.perSecond, unit: "/s" },
      { name: "put p99.9 during the load", value: result.p999Ms, unit: "ms" },
      { name: "longest stall of an event loop", value: Math.max(...lags), unit: "ms", bar: { atMost: 100 } },
      { name: "longest stall per second, median", value: median(lags), unit: "ms" },
      { name: "memory of a host afterwards, largest", value: Math.max(...memory) / 1e6, unit: "MB" },
      { name: "keys that each host counts, least", value: Math.min(...held), unit: "" },
      { name: "gets afterwards, 64 in flight", value: reads.perSecond, unit: "/s" },
      { name: "get p99 afterwards", value: reads.p99Ms, unit: "ms" },
      loadAverage(),
    ];
    const failures =
      result.errors + reads.errors === 0
        ? []
        : [`${result.errors + reads.errors} requests failed: ${result.firstError ?? reads.firstError}`];
    return { figures, failures };
  },
};
