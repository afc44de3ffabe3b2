/**
 * A store in a page: how fast it writes, reads and opens beside raw IndexedDB and other libraries in the same run, and how soon what one browser
 * writes is seen in another, through hosts on this machine.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { launchChromium, type Tab } from "../browser/chromium.ts";
import { servePage } from "../browser/page-server.ts";
import type { Functions as OtherFunctions, LibraryName } from "../browser/pages/other-libraries.ts";
import type { Functions, Moment } from "../browser/pages/store-speed.ts";
import type { Speed } from "../browser/speed.ts";
import { loadAverage, median } from "../support/figures.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { freePort } from "../support/ports.ts";
import type { Figure, Trial } from "../tools/trial.ts";

const inFlight = 64;
const manyKeys = 10_000;
const everyMs = 20;
const openings = 5;
const rawLibrary: LibraryName = "raw IndexedDB, relaxed";
/** Against hanging only. */
const hearLimitMs = 10_000;

export const trial: Trial = {
  name: "browser",
  summary:
    "a store in Chromium beside raw IndexedDB and other libraries: strict local puts, gets, opening, and from browser to browser",
  needs: ["chromium"],
  async run({ short, folder }) {
    const many = short ? 1_000 : manyKeys;
    await using server = await servePage(new URL("../browser/pages/store-speed.js", import.meta.url));
    await using others = await servePage(new URL("../browser/pages/other-libraries.js", import.meta.url));
    await using hosts = await pageHosts(3, "speed", join(folder, "hosts"));
    const { seeds } = hosts;
    await using browser = await launchChromium();
    const tab = await browser.open<Functions>(server.url);
    const libraries = await browser.open<OtherFunctions>(others.url);
    const ms = short ? 300 : 2_000;
    const figures = await besideOthers(tab, libraries, { rounds: short ? 1 : 5, ms, many });
    await libraries.page.close();

    const reopen = async (from: readonly string[]): Promise<number> => {
      await tab.call("close");
      await tab.page.reload();
      return tab.call("open", { name: "speed", seeds: from });
    };
    const opening = async (from: readonly string[], then?: () => Promise<void>): Promise<number> => {
      const each: number[] = [];
      for (let n = 0; n < openings; n += 1) {
        each.push(await reopen(from));
        await then?.();
      }
      return median(each);
    };
    // Hosts that answer would take what is unsent.
    const openUnsentMs = await opening([`/ip4/127.0.0.1/tcp/${await freePort()}/ws`]);
    await reopen(seeds);
    await tab.call("flush");
    await tab.call("rawFill", many);
    const p99Ms = { gets: [] as number[], rawGets: [] as number[] };
    /** Beside other connections that are being opened, and with code that has never run. So short that no key comes twice. */
    const getsFirst = async (what: keyof typeof p99Ms): Promise<unknown> => {
      await tab.call("connected");
      return p99Ms[what].push((await tab.call(what, 1, ms / 4, many)).p99Ms);
    };
    const openCopiesMs = await opening(seeds, async () => {
      await getsFirst("gets");
      await reopen(seeds);
      await getsFirst("rawGets");
    });

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

    figures.push(
      {
        name: `opening with ${many} unsent writes, median of ${openings}`,
        value: openUnsentMs,
        unit: "ms",
        bar: { atMost: 300 },
      },
      {
        name: `opening with ${many} copies, median of ${openings}`,
        value: openCopiesMs,
        unit: "ms",
        bar: { atMost: 300 },
      },
      {
        name: `p99 of local gets of copies that are on the disk alone, just after opening, median of ${openings}`,
        value: median(p99Ms.gets),
        unit: "ms",
        reference: { name: "raw IndexedDB", value: median(p99Ms.rawGets) },
        bar: { atMost: 2 },
      },
      { name: "values told by one browser", value: told.length, unit: "" },
      {
        name: "of them heard in the other by themselves, not by a newer one",
        value: new Set(heard.map(({ value }) => value)).size,
        unit: "",
      },
      { name: "from a put in one browser to its subscriber in another, p50", value: quantile(0.5), unit: "ms" },
      { name: "the same, p99", value: quantile(0.99), unit: "ms", bar: { atMost: 50 } },
    );
    const failures = unheard === 0 ? [] : [`${unheard} of ${told.length} values were never heard, nor a newer one`];
    return { figures: [...figures, loadAverage()], failures };
  },
};

/** Puts and gets by turns, so that what disturbs one disturbs the others. Leaves the store `speed` open, with `many` unsent writes. */
async function besideOthers(
  tab: Tab<Functions>,
  libraries: Tab<OtherFunctions>,
  { rounds, ms, many }: { readonly rounds: number; readonly ms: number; readonly many: number },
): Promise<Figure[]> {
  const names = await libraries.call("names");
  const speeds = new Map<string, Speed[]>();
  const add = (what: string, speed: Speed): unknown => speeds.set(what, [...(speeds.get(what) ?? []), speed]);
  for (let round = 0; round < rounds; round += 1) {
    await tab.call("open", { name: `puts ${round}` });
    add("puts", await tab.call("puts", inFlight, ms));
    await tab.call("close");
    add("raw", await tab.call("rawPuts", inFlight, ms, false));
    add("committed", await tab.call("rawPuts", inFlight, ms, true));
    for (const name of names) add(`puts ${name}`, await libraries.call("puts", name, inFlight, ms));
  }
  await tab.call("open", { name: "speed" });
  await tab.call("fill", many);
  for (let round = 0; round < rounds; round += 1) {
    add("gets, 1 in flight", await tab.call("gets", 1, ms / 2, many));
    add("gets", await tab.call("gets", inFlight, ms / 2, many));
    for (const name of names) add(`gets ${name}`, await libraries.call("gets", name, inFlight, ms / 2));
  }

  const perSecond = (what: string): number => median(speeds.get(what)!.map((speed) => speed.perSecond));
  const p99 = (what: string): number => median(speeds.get(what)!.map(({ p99Ms }) => p99Ms));
  const beside = (kind: "puts" | "gets", text: string): Figure[] =>
    names.map((name) => ({
      name: text,
      value: Math.round(perSecond(kind)),
      unit: "/s",
      reference: { name, value: Math.round(perSecond(`${kind} ${name}`)) },
    }));
  return [
    {
      name: `puts, local and strict, ${inFlight} in flight`,
      value: Math.round(perSecond("puts")),
      unit: "/s",
      reference: { name: "a raw strict transaction each", value: Math.round(perSecond("raw")) },
    },
    {
      name: "the same, in times of the raw transaction",
      value: perSecond("puts") / perSecond("raw"),
      unit: "x",
      bar: { atLeast: 3 },
    },
    { name: "and of one with commit()", value: perSecond("puts") / perSecond("committed"), unit: "x" },
    ...beside("puts", "these puts beside others', which are relaxed"),
    {
      name: "p99 of these puts",
      value: p99("puts"),
      unit: "ms",
      reference: { name: "a raw strict transaction each", value: p99("raw") },
    },
    {
      name: "local gets of what was just written, 1 in flight",
      value: Math.round(perSecond("gets, 1 in flight")),
      unit: "/s",
    },
    { name: "p99 of local gets, 1 in flight", value: p99("gets, 1 in flight"), unit: "ms", bar: { atMost: 2 } },
    ...beside("gets", `local gets, ${inFlight} in flight`),
    // Without a bar: 64 that share a thread which answers 20,000 a second take 3 ms each in the mean.
    {
      name: `p99 of local gets, ${inFlight} in flight`,
      value: p99("gets"),
      unit: "ms",
      reference: { name: rawLibrary, value: p99(`gets ${rawLibrary}`) },
    },
  ];
}

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
