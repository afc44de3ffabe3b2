/**
 * What a store costs its page, the thread that everything in a page shares: as an edge of three Node hosts, and as one of
 * three browsers that are hosts on the ring, which met through a relay, (3,2,2). A page writes at a steady rate: updates, each
 * a read and a write; then writes alone, with the context that the last one gave.
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
  summary: "a page with a store, an edge or a host, is blocked for no 50 ms at 100 puts a second, and is mostly idle",
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

  const figures: Figure[] = [
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
  ];
  const told = [startTasks, firstTasks].map(rounded);
  let failed = 0;
  for (const kind of ["updates", "writes"] as const) {
    const before = await taskSeconds();
    const taken = await writer.call("write", perSecond, ms, valueBytes, kind === "updates");
    const busyMs = (await taskSeconds()).map((seconds, n) => ((seconds - before[n]!) * 1_000_000) / ms);
    const tasks = await longTasks();
    told.push(rounded(tasks));
    const latencies = taken.toSorted((a, b) => a - b);
    failed += latencies.filter((each) => each === Infinity).length;
    figures.push(...figuresOf(`${what}, ${kind}`, { latencies, busyMs, tasks }));
  }
  log(
    `${what}: tasks over 50 ms at the start ${told[0]}, in the first 2 s of load ${told[1]}, then ${told.slice(2).join(", ")}`,
  );
  const heapBytes = await metrics[0]!("JSHeapUsedSize");
  figures.push({ name: `${what}: JavaScript heap of the page that writes`, value: heapBytes / 1e6, unit: "MB" });
  return { figures, failures: failed === 0 ? [] : [`${what}: ${failed} puts failed`] };
}

function rounded(tasks: readonly (readonly number[])[]): string {
  return JSON.stringify(tasks.map((page) => page.map(Math.round)));
}

function figuresOf(
  what: string,
  {
    latencies,
    busyMs,
    tasks,
  }: { readonly latencies: readonly number[]; readonly busyMs: readonly number[]; readonly tasks: number[][] },
): Figure[] {
  const busy = (value: number, page: string): Figure => ({
    name: `${what}: main thread busy in a second, ${page}`,
    value,
    unit: "ms",
    bar: { atMost: busyMsMax },
  });
  const quantile = (share: number): number => latencies[Math.floor(latencies.length * share)]!;
  return [
    { name: `${what}: puts`, value: latencies.length, unit: "" },
    { name: `${what}: longest task`, value: longest(tasks), unit: "ms", bar: { atMost: taskMs } },
    ...busyMs.map((value, n) => busy(value, n === 0 ? "the page that writes" : `page ${n + 1}`)),
    { name: `${what}: one takes, median`, value: quantile(0.5), unit: "ms" },
    { name: `${what}: one takes, 99th percentile`, value: quantile(0.99), unit: "ms" },
  ];
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
