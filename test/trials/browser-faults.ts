/**
 * How soon others go on when something of a browser is gone: the tab that runs the node of three, a peer over WebRTC, one of
 * three hosts in pages, their relay; and how soon one browser sees what another made of siblings. That nothing is lost or
 * doubled meanwhile is asserted by the parts, which the tests use, too.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Chromium, launchChromium, type Tab } from "../browser/chromium.ts";
import { HostBrowser } from "../browser/host-browser.ts";
import { launchLifelike } from "../browser/lifelike.ts";
import { connect, msToNotice, NetworkPage, waysToGo } from "../browser/network-page.ts";
import { isolated, servePage } from "../browser/page-server.ts";
import type { Functions as StoreFunctions } from "../browser/pages/store.ts";
import { stopsWithin } from "../browser/stop-between.ts";
import { lose, type Shop, startAll, threeTabs, ways } from "../browser/three-tabs.ts";
import { recordTransactions } from "../browser/transactions.ts";
import { msToJoin } from "../browser/two-writers.ts";
import { eventually } from "../support/eventually.ts";
import { loadAverage, median } from "../support/figures.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { RelayProcess } from "../support/relay-process.ts";
import type { Context, Figure, Trial } from "../tools/trial.ts";

const tabsMs = 2_000;
const noticedMs = 2_000;
const goOnMs = 2_000;
const reservedMs = 10_000;
const mergedMs = 1_000;
/** As long as it takes that pages ask for it as seldom as ever (`redialMsMax`). */
const relayDownMs = 8_000;

type Section = (context: Context) => Promise<readonly Figure[]>;

export const trial: Trial = {
  name: "browser-faults",
  summary: "how soon the others go on when a tab, a peer over WebRTC, a host in a page or a relay is gone",
  needs: ["chromium"],
  async run(context) {
    const figures: Figure[] = [];
    for (const section of [tabs, siblings, peers, hostsInPages] satisfies Section[]) {
      if (!context.signal.aborted) figures.push(...(await section(context)));
    }
    return { figures: [...figures, loadAverage()], failures: [] };
  },
};

/** The slowest of all rounds, beside the bar, and the median of them. */
function slowest(name: string, rounds: readonly number[], atMost: number): Figure[] {
  return [
    { name: `${name}, the slowest of ${rounds.length}`, value: Math.max(...rounds), unit: "ms", bar: { atMost } },
    ...(rounds.length === 1 ? [] : [{ name: "the same, median", value: median(rounds), unit: "ms" }]),
  ];
}

/** Three tabs that write and watch lose the one that runs the node. */
async function tabs({ short, folder, log }: Context): Promise<Figure[]> {
  const name = "shop";
  // By itself in its process, whose clock is exact enough to time a transaction.
  await using server = await servePage(new URL("../browser/pages/tabs.js", import.meta.url), { headers: isolated });
  await using hosts = await pageHosts(1, name, join(folder, name));
  await using browser = await launchLifelike(recordTransactions);
  const shop: Shop = { browser, url: server.url, name, seeds: hosts.seeds, host: hosts.hosts.url(0) };
  const figures: Figure[] = [];
  for (const way of ways) {
    const writes: number[] = [];
    const silences: number[] = [];
    for (let round = 0; round < (short ? 1 : 3); round += 1) {
      const lost = await lose(shop, way, `${way}-${round}`);
      writes.push(lost.slowestMs);
      silences.push(lost.silentMs);
    }
    log(`the node's tab ${way}: the slowest writes took ${writes.map(Math.round).join(", ")} ms`);
    figures.push(...slowest(`a write in another tab, the node's tab ${way}`, writes, tabsMs));
    figures.push(...slowest(`another tab's watch tells nothing, the node's tab ${way}`, silences, tabsMs));
  }
  return [...figures, ...(await stops(shop, short ? 10 : 50))];
}

/** How often a stop holds up the other tabs, because it hits a transaction. */
async function stops(shop: Shop, count: number): Promise<Figure[]> {
  const tabs = await threeTabs(shop);
  const [owner, other] = tabs;
  await using stopped = await shop.browser.stoppable(owner);
  await startAll(tabs, "stops");
  const before = await owner.call("openMs");
  const beginMs = performance.now();
  await sleep(1_000);
  const open = (await owner.call("openMs")).slice(before.length);
  const elapsedMs = performance.now() - beginMs;
  const openMs = open.reduce((sum, each) => sum + each, 0);
  const hits = await stopsWithin({ stopped, owner, other }, shop.name, count);
  for (const tab of tabs) await tab.page.close();
  return [
    { name: `stops of the node's tab that hit a transaction, of ${count}`, value: hits, unit: "" },
    { name: "a write transaction is open, median", value: median(open), unit: "ms" },
    { name: "one is open, of the time that three tabs write", value: (100 * openMs) / elapsedMs, unit: "%" },
  ];
}

/** Two edges write one key while they are cut off, and are healed. */
async function siblings({ short, folder }: Context): Promise<Figure[]> {
  await using server = await servePage(new URL("../browser/pages/store.js", import.meta.url));
  await using hosts = await pageHosts(3, "siblings", join(folder, "siblings"));
  await using one = await launchChromium();
  await using two = await launchChromium();
  const open = async (browser: Chromium): Promise<Tab<StoreFunctions>> => {
    const tab = await browser.open<StoreFunctions>(server.url);
    await tab.call("open", { name: "siblings", seeds: hosts.seeds });
    await tab.call("connected");
    return tab;
  };
  const tabs = [await open(one), await open(two)] as const;
  const merged: number[] = [];
  for (let round = 0; round < (short ? 1 : 5); round += 1) {
    const values = ["of 0", "of 1"] as const;
    for (const [n, tab] of tabs.entries()) {
      await tab.call("cut");
      await tab.call("put", `both ${round}`, values[n]!);
    }
    for (const tab of tabs) await tab.call("heal");
    merged.push(await msToJoin(tabs, `both ${round}`, values));
  }
  return slowest("what one browser made of siblings is seen in the other", merged, mergedMs);
}

/** Of two pages with a direct connection one is gone. */
async function peers({ short }: Context): Promise<Figure[]> {
  await using server = await servePage(new URL("../browser/pages/network.js", import.meta.url));
  await using relay = await RelayProcess.start();
  await using watcher = await NetworkPage.open(server.url, [relay.address]);
  const figures: Figure[] = [];
  for (const [way, go] of Object.entries(waysToGo)) {
    const rounds: number[] = [];
    for (let round = 0; round < (short ? 1 : 3); round += 1) {
      await using page = await NetworkPage.open(server.url, [relay.address]);
      await connect(watcher, page);
      rounds.push(await msToNotice(watcher, page, go));
    }
    figures.push(...slowest(`a page over WebRTC is gone, ${way}: noticed after`, rounds, noticedMs));
  }
  return figures;
}

/** Three browsers as hosts, (3,2,2): their relay is killed and comes back; one of them is closed, and comes back. */
async function hostsInPages({ short, log }: Context): Promise<Figure[]> {
  const settings = { found: true, partitions: 64 };
  await using server = await servePage(new URL("../browser/pages/host.js", import.meta.url));
  await using relay = await RelayProcess.start();
  const seeds = [relay.address];
  const start = (): Promise<HostBrowser> => HostBrowser.start(server.url, seeds, settings);
  await using first = await start();
  await using second = await start();
  await using third = await start();
  const all = [first, second, third];
  await Promise.all(all.map((page) => page.holds(2)));
  const haveReservations = (wanted: boolean): Promise<unknown> =>
    Promise.all(
      all.map((page) =>
        eventually(
          async () => (await page.call("addresses")).length > 0 === wanted,
          `${wanted ? "a" : "no"} reservation at the relay`,
        ),
      ),
    );
  const reserved: number[] = [];
  const updates: number[] = [];
  for (let round = 0; round < (short ? 1 : 3); round += 1) {
    await haveReservations(true);
    await relay.kill();
    await haveReservations(false);
    await sleep(short ? 1_000 : relayDownMs);
    await relay.start();
    const beginMs = performance.now();
    await haveReservations(true);
    reserved.push(performance.now() - beginMs);

    const closed = all[round]!;
    const writing = all.filter((page) => page !== closed).map((page) => page.call("write", 20, 3_000, 200));
    await sleep(500);
    await closed.close();
    const latencies = (await Promise.all(writing)).flat();
    log(`${latencies.length} updates while one was closed, ${latencies.filter((ms) => ms === Infinity).length} failed`);
    updates.push(Math.max(...latencies));
    await closed.startAgain(seeds, settings);
    await Promise.all(all.map((page) => page.holds(2)));
  }
  return [
    ...slowest("all three hosts in pages have a reservation, their relay is back", reserved, reservedMs),
    ...slowest("an update (a read, then a write) in two of them, the third is closed", updates, goOnMs),
  ];
}
