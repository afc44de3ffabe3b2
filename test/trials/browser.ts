/**
 * A store in a page: how fast it writes, reads and opens beside raw IndexedDB in the same run, and how soon what one browser
 * writes is seen in another, through hosts on this machine.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launchChromium, type Tab } from "../browser/chromium.ts";
import { servePage } from "../browser/page-server.ts";
import type { Functions, Moment } from "../browser/pages/store-speed.ts";
import type { Speed } from "../browser/speed.ts";
import { loadAverage } from "../support/figures.ts";
import { pageHosts } from "../support/page-hosts.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const inFlight = 64;
const manyKeys = 10_000;
const everyMs = 20;
/** Against hanging only. */
const hearLimitMs = 10_000;

export const trial: Trial = {
  name: "browser",
  summary:
    "a store in Chromium: strict local puts beside a raw transaction each, gets, opening, and from browser to browser",
  needs: ["chromium"],
  async run({ short, folder }) {
    const ms = short ? 500 : 3_000;
    const rounds = short ? 1 : 5;
    const many = short ? 1_000 : manyKeys;
    await using server = await servePage(new URL("../browser/pages/store-speed.js", import.meta.url));
    await using hosts = await pageHosts(3, "speed", join(folder, "hosts"));
    const { seeds } = hosts;
    await using browser = await launchChromium();
    const tab = await browser.open<Functions>(server.url);

    const puts: Speed[] = [];
    const raw: Speed[] = [];
    const committed: Speed[] = [];
    // By turns, so that what disturbs one disturbs the others.
    for (let round = 0; round < rounds; round += 1) {
      await tab.call("open", { name: `puts ${round}` });
      puts.push(await tab.call("puts", inFlight, ms));
      await tab.call("close");
      raw.push(await tab.call("rawPuts", inFlight, ms, false));
      committed.push(await tab.call("rawPuts", inFlight, ms, true));
    }

    await tab.call("open", { name: "speed" });
    await tab.call("fill", many);
    const gets = await tab.call("gets", 1, ms, many);
    const getsInFlight = await tab.call("gets", inFlight, ms, many);
    const reopened = async (options: { name: string; seeds?: readonly string[] }): Promise<number> => {
      await tab.call("close");
      await tab.page.reload();
      return tab.call("open", options);
    };
    const openUnsentMs = await reopened({ name: "speed", seeds });
    await tab.call("flush");
    const openCopiesMs = await reopened({ name: "speed", seeds });
    await tab.call("connected");

    await using other = await launchChromium();
    const hearing = await other.open<Functions>(server.url);
    await hearing.call("open", { name: "speed", seeds });
    await hearing.call("connected");
    await hearing.call("hear", "told");
    const told = await tab.call("tell", "told", short ? 50 : 500, everyMs);
    const heard = await heardUntil(hearing, told.at(-1)!.value);
    const lateMs = delays(told, heard).toSorted((a, b) => a - b);
    const unheard = lateMs.filter((each) => each === Infinity).length;
    const quantile = (share: number): number => lateMs[Math.floor(lateMs.length * share)]!;

    const ours = median(puts).perSecond;
    const [rawPerSecond, committedPerSecond] = [median(raw).perSecond, median(committed).perSecond];
    const figures: Figure[] = [
      {
        name: `puts, local and strict, ${inFlight} in flight`,
        value: Math.round(ours),
        unit: "/s",
        reference: { name: "a raw strict transaction each", value: Math.round(rawPerSecond) },
      },
      { name: "the same, in times of the raw transaction", value: ours / rawPerSecond, unit: "x", bar: { atLeast: 3 } },
      { name: "and of one with commit()", value: ours / committedPerSecond, unit: "x" },
      { name: "p99 of these puts", value: median(puts).p99Ms, unit: "ms" },
      { name: "local gets, 1 in flight", value: Math.round(gets.perSecond), unit: "/s" },
      { name: "p99 of local gets, 1 in flight", value: gets.p99Ms, unit: "ms", bar: { atMost: 2 } },
      { name: `p99 of local gets, ${inFlight} in flight`, value: getsInFlight.p99Ms, unit: "ms" },
      { name: `opening with ${many} unsent writes`, value: openUnsentMs, unit: "ms", bar: { atMost: 300 } },
      { name: `opening with ${many} copies`, value: openCopiesMs, unit: "ms", bar: { atMost: 300 } },
      { name: "values told by one browser", value: told.length, unit: "" },
      {
        name: "of them heard in the other by themselves, not by a newer one",
        value: new Set(heard.map(({ value }) => value)).size,
        unit: "",
      },
      { name: "from a put in one browser to its subscriber in another, p50", value: quantile(0.5), unit: "ms" },
      { name: "the same, p99", value: quantile(0.99), unit: "ms", bar: { atMost: 50 } },
    ];
    const failures = unheard === 0 ? [] : [`${unheard} of ${told.length} values were never heard, nor a newer one`];
    return { figures: [...figures, loadAverage()], failures };
  },
};

/** All that was heard, once it is `last`, or will not be. */
async function heardUntil(tab: Tab<Functions>, last: string): Promise<readonly Moment[]> {
  for (const endMs = performance.now() + hearLimitMs; ;) {
    const heard = await tab.call("heard");
    if (heard.at(-1)?.value === last || performance.now() > endMs) return heard;
    await sleep(20);
  }
}

/**
 * How long after each value was told it, or a newer one, was heard; Infinity where none was. A subscription tells the
 * newest: what follows at once may take the place of what was before.
 */
function delays(told: readonly Moment[], heard: readonly Moment[]): number[] {
  const order = new Map(told.map(({ value }, n) => [value, n]));
  return told.map(({ atMs }, n) => {
    const first = heard.find(({ value }) => order.get(value)! >= n);
    return first === undefined ? Infinity : first.atMs - atMs;
  });
}

function median(speeds: readonly Speed[]): Speed {
  return speeds.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(speeds.length / 2)]!;
}
