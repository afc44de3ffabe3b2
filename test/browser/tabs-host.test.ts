/**
 * A host in two tabs of one profile, alone on its ring, both of which write and watch: what becomes of the writes when the
 * tab that runs the node is gone.
 */
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import { eventually } from "../support/eventually.ts";
import type { Tab } from "./chromium.ts";
import { launchLifelike, type Lifelike } from "./lifelike.ts";
import { servePage, type PageServer } from "./page-server.ts";
import type { Functions } from "./pages/tabs.ts";
import { stopBetween } from "./stop-between.ts";
import { recordTransactions } from "./transactions.ts";

type HostTab = Tab<Functions>;
interface Loss {
  /** What happens to the first tab. */
  readonly happens: (first: HostTab, second: HostTab) => Promise<void>;
  /** The first tab can be asked again afterwards, once this is done. */
  readonly comesBack?: (first: HostTab) => Promise<void>;
}

let server: PageServer;
let browser: Lifelike;
before(async () => {
  server = await servePage(new URL("./pages/tabs.js", import.meta.url));
  browser = await launchLifelike(recordTransactions);
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function opened(name: string): Promise<HostTab> {
  const tab = await browser.open<Functions>(server.url);
  await tab.call("open", { name, role: "host", found: true, partitions: 16 });
  return tab;
}

/** The first is the one that runs the node. */
async function twoTabs(name: string): Promise<[HostTab, HostTab]> {
  const tabs: [HostTab, HostTab] = [await opened(name), await opened(name)];
  assert.ok(await tabs[0].call("owns", name));
  return tabs;
}

/** Both write and watch, the loss happens, the other goes on as the same host. */
async function lose(t: TestContext, name: string, tabs: [HostTab, HostTab], loss: Loss): Promise<void> {
  const [first, second] = tabs;
  const id = await first.call("id");
  for (const [i, tab] of tabs.entries()) {
    await tab.call("startWatching", "");
    await tab.call("startWriting", `${i}-`);
  }
  const moreOf = async (tab: HostTab, count: number, what: string): Promise<void> => {
    const now = await tab.call("writtenSoFar");
    await eventually(async () => (await tab.call("writtenSoFar")) >= now + count, what);
  };
  for (const tab of tabs) await moreOf(tab, 20, "the tabs to write");
  const before = loss.comesBack === undefined ? await first.call("acknowledged") : [];
  await loss.happens(first, second);
  await moreOf(second, 40, "the second tab to go on writing");
  assert.ok(await second.call("owns", name));
  if (loss.comesBack !== undefined) {
    await loss.comesBack(first);
    await moreOf(first, 20, "the first tab to go on writing");
  }
  const left = loss.comesBack === undefined ? [second] : tabs;
  for (const tab of left) await tab.call("stopWriting");
  const told = [...before, ...(await Promise.all(left.map((tab) => tab.call("written")))).flat()];
  t.diagnostic(`${told.length} writes; the slowest of the second took ${Math.round(await second.call("slowest"))} ms`);
  for (const tab of left) {
    const isSeen = async (): Promise<boolean> => {
      const seen = new Set((await tab.call("seen")).map(({ key }) => key));
      return told.every(({ key }) => seen.has(key));
    };
    await eventually(isSeen, "a watch to tell of every write");
    assert.deepEqual((await tab.call("transactions")).bad, []);
  }
  const found = await second.call("found", "");
  for (const tab of left) await tab.page.close();

  // What is on the disk is what the tabs had.
  const later = await opened(name);
  assert.equal(await later.call("id"), id);
  assert.deepEqual(await later.call("found", ""), found);
  await later.page.close();
  const wrong = {
    failed: told.flatMap(({ key, error }) => (error === undefined ? [] : [`${key}: ${error}`])),
    lost: told.flatMap(({ key }) => (found[key] === undefined ? [key] : [])),
    notOnce: Object.entries(found).flatMap(([key, values]) => (values.join() === `value of ${key}` ? [] : [key])),
  };
  assert.deepEqual(wrong, { failed: [], lost: [], notOnce: [] });
}

describe("of two tabs with a host, the one that runs it", { timeout: 240_000 }, () => {
  test("is closed: the other takes over, and no acknowledged write is lost or doubled", async (t) => {
    await lose(t, "closed", await twoTabs("closed"), { happens: (first) => first.page.close() });
  });

  test("is frozen, and later thawed: the other has taken over, and it takes part again", async (t) => {
    await lose(t, "frozen", await twoTabs("frozen"), {
      happens: (first, second) => browser.freeze(first.page, second.page),
      comesBack: (first) => browser.thaw(first.page),
    });
  });

  test("is stopped by the system, and later goes on: the other has taken over, and it takes part again", async (t) => {
    const tabs = await twoTabs("stopped");
    await using stopped = await browser.stoppable(tabs[0]);
    await lose(t, "stopped", tabs, {
      happens: (_first, second) => stopBetween(stopped, second, "stopped"),
      comesBack: async () => stopped.goOn(),
    });
  });
});
