/**
 * Three tabs of one store, all of which write and watch, and one of which runs the node: what becomes of the writes, and of
 * the watches, when that one is gone.
 */
import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { keysOf, kv } from "../support/http-client.ts";
import type { Tab } from "./chromium.ts";
import type { Lifelike, Stoppable } from "./lifelike.ts";
import type { Functions, Seen, Told } from "./pages/tabs.ts";
import { stopBetween } from "./stop-between.ts";

type ShopTab = Tab<Functions>;
export type ThreeTabs = readonly [ShopTab, ShopTab, ShopTab];

export interface Shop {
  readonly browser: Lifelike;
  /** Of the page. */
  readonly url: string;
  /** Of the store. */
  readonly name: string;
  readonly seeds: readonly string[];
  /** Where a host of it answers. */
  readonly host: string;
}

/** The first is the one that runs the node. */
export async function threeTabs({ browser, url, name, seeds }: Shop): Promise<ThreeTabs> {
  const tabs: ShopTab[] = [];
  for (let i = 0; i < 3; i++) {
    const tab = await browser.open<Functions>(url);
    await tab.call("open", { name, seeds });
    tabs.push(tab);
  }
  assert.ok(await tabs[0]!.call("owns", name));
  await tabs[1]!.call("connected");
  return tabs as [ShopTab, ShopTab, ShopTab];
}

interface Scene {
  readonly shop: Shop;
  readonly tabs: ThreeTabs;
  /** The first tab, where it is to be stopped. */
  readonly stopped: Stoppable | undefined;
}

interface Loss {
  /** What happens to the first tab. */
  readonly happens: (scene: Scene) => Promise<unknown>;
  /** The first tab can be asked again afterwards, once this is done. */
  readonly comesBack?: (scene: Scene) => Promise<void>;
}

const losses = {
  closed: { happens: ({ tabs: [first] }) => first.page.close() },
  crashed: { happens: ({ shop, tabs: [first] }) => shop.browser.crash(first.page) },
  frozen: {
    happens: ({ shop, tabs: [first, second] }) => shop.browser.freeze(first.page, second.page),
    comesBack: ({ shop, tabs: [first] }) => shop.browser.thaw(first.page),
  },
  hung: {
    happens: ({ shop, tabs: [, second], stopped }) => stopBetween(stopped!, second, shop.name),
    comesBack: async ({ stopped }) => stopped!.goOn(),
  },
} satisfies Record<string, Loss>;

export type Way = keyof typeof losses;
export const ways = Object.keys(losses) as Way[];

/** What the loss was like for the other tabs. */
interface Lost {
  readonly writes: number;
  /** The longest that one of their writes took. */
  readonly slowestMs: number;
  /** The longest that one of their watches told nothing while they wrote. */
  readonly silentMs: number;
}

/**
 * All write and watch, the first is lost, the others go on: no write is lost or doubled, no change missed.
 * `prefix`: of the keys, which are new.
 */
export async function lose(shop: Shop, way: Way, prefix: string): Promise<Lost> {
  const tabs = await threeTabs(shop);
  const [first, ...others] = tabs;
  await using stopped = way === "hung" ? await shop.browser.stoppable(first) : undefined;
  const scene: Scene = { shop, tabs, stopped };
  const { happens, comesBack }: Loss = losses[way];
  await startAll(tabs, prefix);
  // What is asked of it later it does not answer, unless it comes back.
  const before = comesBack === undefined ? await first.call("acknowledged") : [];
  await happens(scene);
  for (const tab of others) await moreOf(tab, 40, "the other tabs to go on writing");
  if (comesBack !== undefined) {
    await comesBack(scene);
    await moreOf(first, 20, "the first tab to go on writing");
  }
  const left = comesBack === undefined ? others : tabs;
  for (const tab of left) await tab.call("stopWriting");
  const told = [...before, ...(await Promise.all(left.map((tab) => tab.call("written")))).flat()];
  const slowestMs = Math.max(...(await Promise.all(others.map((tab) => tab.call("slowest")))));
  await others[0].call("flush");
  await expectOnce(shop.host, told, `${prefix}-`, comesBack === undefined ? `${prefix}-0-` : undefined);
  await expectSeen(left, told);
  const silentMs = Math.max(...(await Promise.all(others.map((tab) => tab.call("longestSilence")))));
  for (const tab of left) {
    const { bad } = await tab.call("transactions");
    assert.deepEqual(bad, []);
    // A frozen page's sockets are cut, which Chromium logs as errors.
    const problems = tab.problems.filter((text) => !text.startsWith("WebSocket "));
    assert.deepEqual(problems, []);
  }
  for (const tab of left) await tab.page.close();
  return { writes: told.length, slowestMs, silentMs };
}

/** All watch, and have written. */
export async function startAll(tabs: ThreeTabs, prefix: string): Promise<void> {
  for (const [i, tab] of tabs.entries()) {
    await tab.call("startWatching", `${prefix}-`);
    await tab.call("startWriting", `${prefix}-${i}-`);
  }
  for (const tab of tabs) await moreOf(tab, 20, "tabs to write");
}

async function moreOf(tab: ShopTab, count: number, what: string): Promise<void> {
  const now = await tab.call("writtenSoFar");
  await eventually(async () => (await tab.call("writtenSoFar")) >= now + count, what);
}

/**
 * Every write has become one value, under the dot that was told; and so, under a dot that nobody knows, has what there is of
 * those which the lost tab was not told of. Nothing else is there.
 */
async function expectOnce(
  host: string,
  told: readonly Told[],
  prefix: string,
  prefixOfLost: string | undefined,
): Promise<void> {
  const client = kv(host);
  const problems = told.flatMap(({ key, error }) => (error === undefined ? [] : [`${key}: ${error}`]));
  const dotOf = new Map(told.map(({ key, dot }) => [key, dot]));
  const listed = await keysOf(host, "notes", prefix);
  for (const key of new Set([...dotOf.keys(), ...listed])) {
    const { values, json } = await client.get(`notes/${key}`);
    const dots = (json.siblings ?? []).map((each) => each.dot);
    const isKnown = dotOf.has(key)
      ? dots[0] === dotOf.get(key)
      : prefixOfLost !== undefined && key.startsWith(prefixOfLost);
    const isOnce = dots.length === 1 && values[0] === JSON.stringify(`value of ${key}`);
    if (!isKnown || !isOnce) problems.push(`${key}: ${dots.join()} of ${values.join()} instead of ${dotOf.get(key)}`);
  }
  const unlisted = [...dotOf.keys()].filter((key) => !listed.includes(key));
  assert.deepEqual({ problems, unlisted }, { problems: [], unlisted: [] });
}

/** Every watch has told of every write, and of no state twice in a row. */
async function expectSeen(tabs: readonly ShopTab[], told: readonly Told[]): Promise<void> {
  for (const tab of tabs) {
    let seen: readonly Seen[] = [];
    const missing = (): string[] => {
      const keys = new Set(seen.map(({ key }) => key));
      return told.map(({ key }) => key).filter((key) => !keys.has(key));
    };
    await eventually(async () => {
      seen = await tab.call("seen");
      return missing().length === 0;
    }, "a watch to tell of every write");
    const last = new Map<string, string>();
    for (const { key, values, pending } of seen) {
      const state = JSON.stringify([values, pending]);
      assert.notEqual(last.get(key), state, `${key} was told twice`);
      last.set(key, state);
    }
  }
}
