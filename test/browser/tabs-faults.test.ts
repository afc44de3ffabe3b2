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
import { stopBetween } from "./stop-between.ts";

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

/** Keys of which each was written once that have several values, after the tab that ran the node was stopped. */
async function doubled(rounds: number, bug?: PlantedBug): Promise<string[]> {
  await using server = await serve(bug);
  for (let round = 0; round < rounds; round++) {
    const [first, second] = (await tabsOf(server, 2)) as [ShopTab, ShopTab];
    await using stopped = await browser.stoppable(first);
    await second.call("startWriting", `${round}-`);
    const moreOf = async (count: number, what: string): Promise<void> => {
      const now = await second.call("writtenSoFar");
      await eventually(async () => (await second.call("writtenSoFar")) > now + count, what);
    };
    await moreOf(10, "some writes");
    await stopBetween(stopped, second, "shop");
    await moreOf(10, "writes to go on");
    await second.call("stopWriting");
    const told = await second.call("written");
    stopped.goOn();
    assert.deepEqual(
      told.filter(({ error }) => error !== undefined),
      [],
    );
    const found: string[] = [];
    for (const { key } of told) if ((await second.call("values", key)).length !== 1) found.push(key);
    for (const tab of [second, first]) await tab.page.close();
    if (found.length > 0) return found;
  }
  return [];
}

describe("a write that is under way when the node's tab is stopped", { timeout: 180_000 }, () => {
  test("is there once", async () => assert.deepEqual(await doubled(3), []));

  test("is there twice if it is asked for again under another name: this test sees it", async () => {
    const found = await doubled(8, {
      name: "a repeat is a new request",
      file: "core/browser/tabs/caller.js",
      find: "const call = pending.isSent ? again(pending.call) : pending.call;",
      replace:
        'const call = pending.call.method !== "put" ? pending.call : { ...pending.call, options: { ...pending.call.options, request: crypto.randomUUID().replaceAll("-", "").slice(0, 16) } };',
    });
    assert.ok(found.length > 0);
  });

  test("waits where that one is stopped in the middle of a transaction, or is told that its outcome is unknown; when it goes on all is there, once", async () => {
    await using server = await serve(undefined);
    const [first, second] = (await tabsOf(server, 2)) as [ShopTab, ShopTab];
    await using stopped = await browser.stoppable(first);
    await first.call("hangInTransaction", 5_000);
    const early = second.call("put", "early");
    await eventually(async () => !(await second.call("hasDatabases", "shop")), "the first tab to be in a transaction");
    stopped.stop();
    assert.ok(!(await second.call("hasDatabases", "shop")));
    await early;
    const [told] = await second.call("written");
    assert.match(told!.error!, /^outcome-unknown: no tab has answered the put/);
    const late = second.call("put", "late");
    stopped.goOn();
    await late;
    assert.equal((await second.call("written"))[1]?.error, undefined);
    for (const key of ["early", "late"]) assert.deepEqual(await second.call("values", key), [`value of ${key}`]);
    assert.equal((await second.call("status")).pending, 2);
    for (const tab of [second, first]) await tab.page.close();
  });
});
