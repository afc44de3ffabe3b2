/**
 * What a store costs its page, the thread that everything in a page shares: as an edge of three Node hosts, and as one of
 * three browsers that are hosts on the ring, which met through a relay, (3,2,2). A page writes at a steady rate, each write
 * after a read as updates are.
 */
import { join } from "node:path";
import type { Page } from "playwright";
import { launchChromium, type Tab } from "../browser/chromium.ts";
import { HostBrowser } from "../browser/host-browser.ts";
import { servePage } from "../browser/page-server.ts";
import type { Functions } from "../browser/pages/store-speed.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { RelayProcess } from "../support/relay-process.ts";
import type { Context, Figure, Trial, TrialResult } from "../tools/trial.ts";

const perSecond = 100;
const valueBytes = 250;
/** Code that runs for the first time is slower: this belongs to the start. */
const warmUpMs = 2_000;

const startTaskMs = 100;
const taskMs = 50;
const busyMsMax = 350;

export const trial: Trial = {
  name: "browser-host",
  summary:
    "a page with a store, an edge or a host, is blocked for no 50 ms at 100 updates a second, and is mostly idle",
  needs: ["chromium"],
  async run(context) {
    const results = [await edge(context), await hosts(context)];
    return {
      figures: results.flatMap(({ figures }) => figures),
      failures: results.flatMap(({ failures }) => failures),
    };
  },
};

async function edge(context: Context): Promise<TrialResult> {
  await using server = await servePage(new URL("../browser/pages/store-speed.js", import.meta.url));
  await using hosts = await pageHosts(3, "edge", join(context.folder, "hosts"));
  await using browser = await launchChromium();
  const tab = await browser.open<Functions>(server.url);
  await tab.call("open", { name: "edge", seeds: hosts.seeds });
  await tab.call("connected");
  return await underLoad("an edge", [tab], context);
}

async function hosts(context: Context): Promise<TrialResult> {
  await using server = await servePage(new URL("../browser/pages/host.js", import.meta.url));
  await using relay = await RelayProcess.start();
  await using first = await HostBrowser.start(server.url, [relay.address], { found: true });
  await first.holds(0);
  await using second = await HostBrowser.start(server.url, [relay.address]);
  await using third = await HostBrowser.start(server.url, [relay.address]);
  const all = [first, second, third];
  await Promise.all(all.map((page) => page.holds(2)));
  return await underLoad("a host", all, context);
}

type LoadedPage = Pick<Tab<Pick<Functions, "write" | "longTasks">>, "page" | "call">;

/** The first of `pages` writes. They have started, and were asked for nothing yet. */
async function underLoad(what: string, pages: readonly LoadedPage[], { short, log }: Context): Promise<TrialResult> {
  const ms = short ? 5_000 : 20_000;
  const writer = pages[0]!;
  const longTasks = (): Promise<number[][]> => Promise.all(pages.map((page) => page.call("longTasks")));
  const startTasks = await longTasks();
  await writer.call("write", perSecond, warmUpMs, valueBytes);
  const firstTasks = await longTasks();

  const metrics = await Promise.all(pages.map(({ page }) => metricsOf(page)));
  const taskSeconds = (): Promise<number[]> => Promise.all(metrics.map((metric) => metric("TaskDuration")));
  const before = await taskSeconds();
  const latencies = (await writer.call("write", perSecond, ms, valueBytes)).toSorted((a, b) => a - b);
  const busyMs = (await taskSeconds()).map((seconds, n) => ((seconds - before[n]!) * 1_000_000) / ms);
  const tasks = await longTasks();
  const told = [startTasks, firstTasks, tasks].map((each) => JSON.stringify(each.map((page) => page.map(Math.round))));
  log(`${what}: tasks over 50 ms at the start ${told[0]}, in the first 2 s of load ${told[1]}, then ${told[2]}`);

  const figures: Figure[] = [
    { name: `${what}: updates`, value: latencies.length, unit: "" },
    {
      name: `${what}: longest task while starting, 50 where none is longer`,
      value: longest(startTasks),
      unit: "ms",
      bar: { atMost: startTaskMs },
    },
    {
      name: `${what}: longest task in the first ${warmUpMs / 1_000} s of load`,
      value: longest(firstTasks),
      unit: "ms",
      bar: { atMost: startTaskMs },
    },
    { name: `${what}: longest task afterwards`, value: longest(tasks), unit: "ms", bar: { atMost: taskMs } },
    {
      name: `${what}: main thread busy in a second, the page that writes`,
      value: busyMs[0]!,
      unit: "ms",
      bar: { atMost: busyMsMax },
    },
    ...busyMs.slice(1).map((value, n) => ({
      name: `${what}: main thread busy in a second, page ${n + 2}`,
      value,
      unit: "ms",
      bar: { atMost: busyMsMax },
    })),
    {
      name: `${what}: an update (read, then write), median`,
      value: latencies[Math.floor(latencies.length / 2)]!,
      unit: "ms",
    },
    {
      name: `${what}: an update, 99th percentile`,
      value: latencies[Math.floor(latencies.length * 0.99)]!,
      unit: "ms",
    },
    {
      name: `${what}: JavaScript heap of the page that writes`,
      value: (await metrics[0]!("JSHeapUsedSize")) / 1e6,
      unit: "MB",
    },
  ];
  const failed = latencies.filter((each) => each === Infinity).length;
  return { figures, failures: failed === 0 ? [] : [`${what}: ${failed} of ${latencies.length} updates failed`] };
}

/** Chromium reports those above 50 ms. */
function longest(tasks: readonly (readonly number[])[]): number {
  return Math.max(50, ...tasks.flat());
}

/** What Chromium measures of a page from now on. */
async function metricsOf(page: Page): Promise<(name: "TaskDuration" | "JSHeapUsedSize") => Promise<number>> {
  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  return async (wanted) => {
    if (wanted === "JSHeapUsedSize") await session.send("HeapProfiler.collectGarbage");
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === wanted)!.value;
  };
}
