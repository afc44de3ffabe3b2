/** What keeps a tab that was robbed, or is frozen, from harm; and that these tests would see it if it were not there. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { eventually } from "../support/eventually.ts";
import type { Tab } from "./chromium.ts";
import { launchLifelike, type Lifelike } from "./lifelike.ts";
import { servePage, type PageServer } from "./page-server.ts";
import type { Functions } from "./pages/tabs.ts";
import { plant, type PlantedBug } from "./plant.ts";

const entry = new URL("./pages/tabs.js", import.meta.url);
type ShopTab = Tab<Functions>;

let browser: Lifelike;
before(async () => {
  browser = await launchLifelike();
});
after(() => browser[Symbol.asyncDispose]());

function serve(bug: PlantedBug | undefined): Promise<PageServer> {
  return servePage(entry, { plugins: bug === undefined ? [] : [plant(bug)] });
}

/** Offline; the first runs the node. */
async function tabsOf(server: PageServer, count: number): Promise<ShopTab[]> {
  const tabs: ShopTab[] = [];
  for (let i = 0; i < count; i++) {
    const tab = await browser.open<Functions>(server.url);
    await tab.call("open", { name: "shop", seeds: [] });
    tabs.push(tab);
  }
  assert.ok(await tabs[0]!.call("owns", "shop"));
  return tabs;
}

interface Left {
  readonly early: readonly string[];
  readonly late: readonly string[];
  readonly pending: number;
}

/**
 * The first tab hangs, is robbed by the second, which writes, and wakes up with a write. What a later tab finds of both.
 */
async function wokenWrite(bug?: PlantedBug): Promise<Left> {
  await using server = await serve(bug);
  const [first, second] = (await tabsOf(server, 2)) as [ShopTab, ShopTab];
  await first.call("hangAndWrite", 4_000, "late");
  await second.call("put", "early");
  assert.ok(await second.call("owns", "shop"));
  const [told] = await first.call("written");
  assert.equal(told?.error, undefined);
  for (const tab of [first, second]) await tab.page.close();
  const [third] = (await tabsOf(server, 1)) as [ShopTab];
  const [early, late] = [await third.call("values", "early"), await third.call("values", "late")];
  const { pending } = await third.call("status");
  await third.page.close();
  return { early, late, pending };
}

describe("a tab that wakes up robbed, with a write on its lips", { timeout: 120_000 }, () => {
  test("leaves it to the tab that has the store now: nothing is lost or doubled", async () => {
    assert.deepEqual(await wokenWrite(), { early: ["value of early"], late: ["value of late"], pending: 2 });
  });

  test("overwrites what others have written if its transactions do not ask for the epoch: this test sees it", async () => {
    const left = await wokenWrite({
      name: "no epoch",
      file: "core/browser/indexeddb-transaction.js",
      find: "fence(transaction, epoch);\n        request(transaction);",
      replace: "request(transaction);",
    });
    assert.notDeepEqual(left, { early: ["value of early"], late: ["value of late"], pending: 2 });
  });
});

/** The tab that runs the node is frozen while nobody wants anything of it. */
async function frozenIdle(
  bug: PlantedBug | undefined,
  look: (first: ShopTab, second: ShopTab) => Promise<void>,
): Promise<void> {
  await using server = await serve(bug);
  const [first, second] = (await tabsOf(server, 2)) as [ShopTab, ShopTab];
  await browser.freeze(first.page, second.page);
  await look(first, second);
  await browser.thaw(first.page);
  await first.call("put", "thawed");
  assert.deepEqual(await second.call("values", "thawed"), ["value of thawed"]);
  for (const tab of [first, second]) await tab.page.close();
}

describe("a tab that is frozen while it runs the node", { timeout: 120_000 }, () => {
  test("has given it away, though nobody has asked for it", () =>
    frozenIdle(undefined, async (_first, second) => {
      await eventually(() => second.call("owns", "shop"), "the other tab to have the node");
    }));

  test("keeps it if it does not let go of its lock: this test sees it", () =>
    frozenIdle(
      {
        name: "the lock is kept in freeze",
        file: "core/browser/tabs/tab-node.js",
        find: "freeze() {\n        this.#watchdog.stop();\n        this.#candidate.stop();",
        replace: "freeze() {\n        this.#watchdog.stop();",
      },
      async (_first, second) => {
        await sleep(1_000);
        assert.ok(!(await second.call("owns", "shop")));
      },
    ));
});
