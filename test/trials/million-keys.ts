/**
 * A bulk load of small values: how fast, in how much memory, and does a host ever stop answering meanwhile?
 * A stall is a timer of the host that was late, but for the time that its thread waited for a processor that others had;
 * beside it, that time included, is what a process saw that did nothing.
 */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { loadAverage } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { metric } from "../support/http-client.ts";
import { load, type LoadSpec } from "../support/load.ts";
import type { Stall } from "../support/stall-probe.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const probe = fileURLToPath(new URL("../support/stall-probe.js", import.meta.url));

export const trial: Trial = {
  name: "million-keys",
  summary: "1,000,000 keys of 200 bytes loaded without the hosts' event loop stalling over 100 ms",
  async run(context) {
    const { short, folder, signal } = context;
    const stalls: Stall[] = [];
    const env = { NODE_OPTIONS: `--import ${probe}` };
    await using hosts = await HostProcesses.of(3, folder, {
      env,
      onMessage: (stall) => void stalls.push(stall as Stall),
    });
    const keys = short ? 50_000 : 1_000_000;
    stalls.length = 0; // what happened at the start is not the load's
    const idleStalls: Stall[] = [];
    const idle = fork(probe, ["alone"]).on("message", (stall) => idleStalls.push(stall as Stall));
    const fill: LoadSpec = {
      protocol: "native",
      targets: hosts.addresses,
      operation: "fill",
      inFlight: 128,
      valueBytes: 200,
      keys,
      ms: 0,
    };
    const result = await load(fill, signal).finally(() => idle.kill());

    const memory = await largest(hosts, "everwrite_process_resident_memory_bytes");
    const heap = await largest(hosts, "everwrite_nodejs_heap_size_used_bytes");
    const longest = (of: keyof Stall, all: readonly Stall[]): number => Math.max(0, ...all.map((stall) => stall[of]));
    const loadStalls = [...stalls];
    const held = await Promise.all(hosts.urls.map((_url, i) => hosts.status(i).then((status) => status.keys)));
    const reads = await load({ ...fill, operation: "get", inFlight: 64, ms: short ? 3_000 : 10_000 }, signal);
    const figures: Figure[] = [
      { name: "keys loaded", value: result.count, unit: "", bar: { atLeast: keys } },
      { name: "load", value: result.perSecond, unit: "/s" },
      { name: "put p99.9 during the load", value: result.p999Ms, unit: "ms" },
      { name: "longest stall of an event loop", value: longest("ownMs", loadStalls), unit: "ms", bar: { atMost: 100 } },
      {
        name: "longest, processors that others had included",
        value: longest("ms", loadStalls),
        unit: "ms",
        reference: { name: "an idle process", value: longest("ms", idleStalls) },
      },
      { name: "memory of a host afterwards, largest", value: memory / 1e6, unit: "MB" },
      { name: "of it, objects in use", value: heap / 1e6, unit: "MB" },
      { name: "keys that each host counts, least", value: Math.min(...held), unit: "" },
      { name: "gets afterwards, 64 in flight", value: reads.perSecond, unit: "/s" },
      { name: "get p99 afterwards", value: reads.p99Ms, unit: "ms" },
      loadAverage(),
    ];
    const failures =
      result.errors + reads.errors === 0
        ? []
        : [`${result.errors + reads.errors} requests failed: ${(result.failures[0] ?? reads.failures[0])?.message}`];
    return { figures, failures };
  },
};

async function largest(hosts: HostProcesses, name: string): Promise<number> {
  return Math.max(...(await Promise.all(hosts.urls.map((url) => metric(url, name)))));
}
