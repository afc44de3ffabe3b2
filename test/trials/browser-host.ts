/**
 * Three browsers as hosts on the ring, which met through a relay, (3,2,2): one of them writes at a steady rate, each write
 * after a read as updates are. What that costs the page: the thread that everything in a page shares.
 */
import { HostBrowser } from "../browser/host-browser.ts";
import { servePage } from "../browser/page-server.ts";
import { RelayProcess } from "../support/relay-process.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const perSecond = 100;
const valueBytes = 250;

export const trial: Trial = {
  name: "browser-host",
  summary: "a host in a page blocks it for no 50 ms at 100 updates a second, and leaves it most of its time",
  needs: ["chromium"],
  async run({ short, log }) {
    const ms = short ? 5_000 : 20_000;
    await using server = await servePage(new URL("../browser/pages/host.js", import.meta.url));
    await using relay = await RelayProcess.start();
    await using first = await HostBrowser.start(server.url, [relay.address], { found: true });
    await first.holds(0);
    await using second = await HostBrowser.start(server.url, [relay.address]);
    await using third = await HostBrowser.start(server.url, [relay.address]);
    const all = [first, second, third];
    await Promise.all(all.map((page) => page.holds(2)));
    const startTasks = await Promise.all(all.map((page) => page.call("longTasks")));
    // Code that runs for the first time is slower.
    await first.call("write", perSecond, 2_000, valueBytes);
    await Promise.all(all.map((page) => page.call("longTasks")));

    const metrics = await Promise.all(all.map(metricsOf));
    const taskSeconds = (): Promise<number[]> => Promise.all(metrics.map((metric) => metric("TaskDuration")));
    const before = await taskSeconds();
    const latencies = (await first.call("write", perSecond, ms, valueBytes)).toSorted((a, b) => a - b);
    const busyMs = (await taskSeconds()).map((seconds, n) => ((seconds - before[n]!) * 1_000_000) / ms);
    const tasks = await Promise.all(all.map((page) => page.call("longTasks")));
    log(`tasks over 50 ms at the start ${JSON.stringify(startTasks)}, under load ${JSON.stringify(tasks)}`);
    const figures: Figure[] = [
      { name: "updates", value: latencies.length, unit: "" },
      {
        name: "longest task while starting, 50 where none is longer",
        value: longest(startTasks),
        unit: "ms",
        bar: { atMost: 100 },
      },
      {
        name: "longest task of three pages, 50 where none is longer",
        value: longest(tasks),
        unit: "ms",
        bar: { atMost: 50 },
      },
      {
        name: "main thread busy in a second, the page that writes",
        value: busyMs[0]!,
        unit: "ms",
        bar: { atMost: 350 },
      },
      {
        name: "main thread busy in a second, the other pages",
        value: Math.max(...busyMs.slice(1)),
        unit: "ms",
        bar: { atMost: 350 },
      },
      { name: "an update (read, then write), median", value: latencies[Math.floor(latencies.length / 2)]!, unit: "ms" },
      { name: "an update, 99th percentile", value: latencies[Math.floor(latencies.length * 0.99)]!, unit: "ms" },
      {
        name: "JavaScript heap of the page that writes",
        value: (await metrics[0]!("JSHeapUsedSize")) / 1e6,
        unit: "MB",
      },
    ];
    const failed = latencies.filter((each) => each === Infinity).length;
    return { figures, failures: failed === 0 ? [] : [`${failed} of ${latencies.length} updates failed`] };
  },
};

/** Chromium reports those above 50 ms. */
function longest(tasks: readonly (readonly number[])[]): number {
  return Math.max(50, ...tasks.flat());
}

/** What Chromium measures of a page from now on. */
async function metricsOf({ page }: HostBrowser): Promise<(name: "TaskDuration" | "JSHeapUsedSize") => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  return async (wanted) => {
    if (wanted === "JSHeapUsedSize") await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === wanted)!.value;
  };
}
