/**
 * What a host costs before anybody uses it: time from the start of its process to the first acknowledged put, and memory.
 */
import { join } from "node:path";
import { loadAverage, median } from "../support/figures.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv, metric } from "../support/http-client.ts";
import { load } from "../support/load.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const mebibyte = 1_048_576;
const idleMegabytes = 150;

export const trial: Trial = {
  name: "memory-and-start",
  summary: "start to first acknowledged put below 1.5 s, memory of an idle host below 150 MB",
  async run(context) {
    const { short, folder, signal } = context;
    const first: number[] = [];
    for (let round = 0; round < (short ? 3 : 7); round++) {
      await using hosts = new HostProcesses(join(folder, `first-${round}`));
      let added: Promise<unknown> = Promise.resolve();
      const add = (): void => {
        added = hosts.add();
      };
      first.push(await toFirstPut(hosts, add));
      await added;
    }

    // As Node runs by itself: a larger young generation is for busy hosts, and kept while they idle.
    await using hosts = await HostProcesses.of(3, join(folder, "three"), { nodeFlags: [] });
    const idle = await idleMemory(hosts, short);
    const fill = { protocol: "native", operation: "fill", inFlight: 64, valueBytes: 200, ms: 0 } as const;
    await load({ ...fill, targets: hosts.addresses, keys: short ? 10_000 : 100_000 }, signal);
    const again: number[] = [];
    for (let round = 0; round < (short ? 3 : 7); round++) {
      await hosts.signal(0, "SIGKILL");
      again.push(await toFirstPut(hosts, () => hosts.start(0)));
      await hosts.settled();
    }
    context.log(`idle hosts: ${idle.map((bytes) => Math.round(bytes / mebibyte)).join(", ")} MiB`);
    const bar = { atMost: 1_500 };
    const figures: Figure[] = [
      { name: "start to first put, a new cluster, median", value: median(first), unit: "ms", bar },
      { name: "start to first put, a new cluster, slowest", value: Math.max(...first), unit: "ms" },
      { name: "restart with data after kill -9, median", value: median(again), unit: "ms", bar },
      { name: "restart with data after kill -9, slowest", value: Math.max(...again), unit: "ms" },
      {
        name: "memory of an idle host of three, largest",
        value: Math.max(...idle) / 1e6,
        unit: "MB",
        bar: { atMost: idleMegabytes },
      },
      loadAverage(),
    ];
    return { figures, failures: [] };
  },
};

/** After half a minute, in which what the start has left is collected; in a short run when it is small enough, if that is sooner. */
async function idleMemory(hosts: HostProcesses, short: boolean): Promise<number[]> {
  for (let seconds = 3; ; seconds += 3) {
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    const idle = await Promise.all(hosts.urls.map(memoryOf));
    if (seconds === 30 || (short && Math.max(...idle) <= idleMegabytes * 1e6)) return idle;
  }
}

/** From the start of the process of host 0. */
async function toFirstPut(hosts: HostProcesses, start: () => void): Promise<number> {
  const startMs = performance.now();
  start();
  for (;;) {
    if (performance.now() - startMs > 60_000) throw new Error("no put was acknowledged for a minute");
    // The ports of a first start are known only once it has begun.
    const put =
      hosts.size === 0
        ? undefined
        : await kv(hosts.url(0))
            .put("start/k", "x")
            .catch(() => undefined);
    if (put?.status === 200) return performance.now() - startMs;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function memoryOf(url: string): Promise<number> {
  return metric(url, "everwrite_process_resident_memory_bytes");
}
