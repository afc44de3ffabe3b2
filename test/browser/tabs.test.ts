/**
 * Three tabs of one store, all of which write and watch, and one of which runs the node: what becomes of the writes, and of
 * the watches, when that one is gone.
 */
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { keysOf, kv } from "../support/http-client.ts";
import { freePort } from "../support/ports.ts";
import type { Tab } from "./chromium.ts";
import { launchLifelike, type Lifelike } from "./lifelike.ts";
import { servePage, type PageServer } from "./page-server.ts";
import type { Functions, Seen, Told } from "./pages/tabs.ts";
import { stopBetween } from "./stop-between.ts";
import { recordTransactions } from "./transactions.ts";

const entry = new URL("./pages/tabs.js", import.meta.url);
const name = "shop";
type ShopTab = Tab<Functions>;

let hosts: HostProcesses;
let seeds: readonly string[];
let server: PageServer;
let browser: Lifelike;

before(async () => {
  const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  seeds = [address];
  hosts = new HostProcesses(temporaryDirectory());
  await hosts.add({ flags: ["--p2p", address, "--cluster", name] });
  server = await servePage(entry);
  browser = await launchLifelike(recordTransactions);
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await hosts[Symbol.asyncDispose]();
});

/** The first is the one that runs the node. */
async function threeTabs(): Promise<[ShopTab, ShopTab, ShopTab]> {
  const tabs: ShopTab[] = [];
  for (let i = 0; i < 3; i++) {
    const tab = await browser.open<Functions>(server.url);
    await tab.call("open", { name, seeds });
    tabs.push(tab);
  }
  assert.ok(await tabs[0]!.call("owns", name));
  await tabs[1]!.call("connected");
  return tabs as [ShopTab, ShopTab, ShopTab];
}

interface Loss {
  /** What happens to the first tab. */
  readonly happens: (tabs: readonly [ShopTab, ShopTab, ShopTab]) => Promise<void>;
  /** The first tab can be asked again afterwards, once this is done. */
  readonly comesBack?: (first: ShopTab, others: readonly ShopTab[]) => Promise<void>;
}

/** All write and watch, the loss happens, the others go on. */
async function lose(
  t: TestContext,
  round: string,
  { happens, comesBack }: Loss,
  tabs: readonly [ShopTab, ShopTab, ShopTab],
): Promise<void> {
  const [first, ...others] = tabs;
  for (const [i, tab] of tabs.entries()) {
    await tab.call("startWatching", `${round}-`);
    await tab.call("startWriting", `${round}-${i}-`);
  }
  const moreOf = async (tab: ShopTab, count: number, what: string): Promise<void> => {
    const now = await tab.call("writtenSoFar");
    await eventually(async () => (await tab.call("writtenSoFar")) >= now + count, what);
  };
  for (const tab of tabs) await moreOf(tab, 20, "tabs to write");
  // What is asked of it later it does not answer, unless it comes back.
  const before = comesBack === undefined ? await first.call("acknowledged") : [];
  await happens(tabs);
  for (const tab of others) await moreOf(tab, 40, "the other tabs to go on writing");
  if (comesBack !== undefined) {
    await comesBack(first, others);
    await moreOf(first, 20, "the first tab to go on writing");
  }
  const left = comesBack === undefined ? others : tabs;
  for (const tab of left) await tab.call("stopWriting");
  const told = [...before, ...(await Promise.all(left.map((tab) => tab.call("written")))).flat()];
  const slowest = await Promise.all(others.map((tab) => tab.call("slowest")));
  t.diagnostic(`${told.length} writes; the slowest of the others took ${Math.round(Math.max(...slowest))} ms`);
  await left[0].call("flush");
  await expectOnce(told, `${round}-`, comesBack === undefined ? `${round}-0-` : undefined);
  await expectSeen(left, told);
  for (const tab of left) {
    const { bad } = await tab.call("transactions");
    assert.deepEqual(bad, []);
    // A frozen page's sockets are cut, which Chromium logs as errors.
    const problems = tab.problems.filter((text) => !text.startsWith("WebSocket "));
    assert.deepEqual(problems, []);
  }
  for (const tab of left) await tab.page.close();
}

/**
 * Every write has become one value, under the dot that was told; and so, under a dot that nobody knows, has what there is of
 * those which the lost tab was not told of. Nothing else is there.
 */
async function expectOnce(told: readonly Told[], prefix: string, prefixOfLost: string | undefined): Promise<void> {
  const client = kv(hosts.url(0));
  const problems = told.flatMap(({ key, error }) => (error === undefined ? [] : [`${key}: ${error}`]));
  const dotOf = new Map(told.map(({ key, dot }) => [key, dot]));
  const listed = await keysOf(hosts.url(0), "notes", prefix);
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

test("of updates of one key by three tabs at once each counts once, also those made while the tab that runs the node is closed", async () => {
  const [first, ...others] = await threeTabs();
  await Promise.all([first, ...others].map((tab) => tab.call("increment", "one", 50)));
  for (const tab of [first, ...others]) assert.equal(await tab.call("total", "one"), 150);
  const counted = others.map((tab) => tab.call("increment", "two", 50));
  await first.page.close();
  await Promise.all(counted);
  for (const tab of others) {
    await tab.call("flush");
    assert.deepEqual([await tab.call("total", "one"), await tab.call("total", "two")], [150, 100]);
  }
  for (const tab of others) await tab.page.close();
});

describe("of three tabs that write and watch, the one that runs the node", { timeout: 240_000 }, () => {
  test("is closed: the others go on, no write is lost or doubled, and no change is missed", async (t) =>
    lose(t, "closed", { happens: ([first]) => first.page.close() }, await threeTabs()));

  test("crashes: the others go on in the same way", async (t) =>
    lose(t, "crashed", { happens: ([first]) => browser.crash(first.page) }, await threeTabs()));

  test("is frozen, and later thawed: the others go on, and so does it", async (t) => {
    const loss: Loss = {
      happens: ([first, second]) => browser.freeze(first.page, second.page),
      comesBack: (first) => browser.thaw(first.page),
    };
    await lose(t, "frozen", loss, await threeTabs());
  });

  test("is stopped by the system, and later goes on: the others have taken over, and it takes part again", async (t) => {
    const tabs = await threeTabs();
    await using stopped = await browser.stoppable(tabs[0]);
    const loss: Loss = {
      happens: ([, second]) => stopBetween(stopped, second, name),
      comesBack: async () => stopped.goOn(),
    };
    await lose(t, "hung", loss, tabs);
  });
});
