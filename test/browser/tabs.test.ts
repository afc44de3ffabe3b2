/**
 * Three tabs of one store, all of which write and watch, and one of which runs the node: what becomes of the writes, and of
 * the watches, when that one is gone.
 */
import assert from "node:assert/strict";
import { after, before, describe, test, type TestContext } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { pageHosts, type PageHosts } from "../support/page-hosts.ts";
import { launchLifelike, type Lifelike } from "./lifelike.ts";
import { servePage, type PageServer } from "./page-server.ts";
import { lose, type Shop, threeTabs, type Way } from "./three-tabs.ts";
import { recordTransactions } from "./transactions.ts";

const entry = new URL("./pages/tabs.js", import.meta.url);
const name = "shop";

let hosts: PageHosts;
let server: PageServer;
let browser: Lifelike;
let shop: Shop;

before(async () => {
  hosts = await pageHosts(1, name, temporaryDirectory());
  server = await servePage(entry);
  browser = await launchLifelike(recordTransactions);
  shop = { browser, url: server.url, name, seeds: hosts.seeds, host: hosts.hosts.url(0) };
});
after(async () => {
  for (const each of [browser, server, hosts]) await each[Symbol.asyncDispose]();
});

async function loses(t: TestContext, way: Way): Promise<void> {
  const { writes, slowestMs, silentMs } = await lose(shop, way, way);
  const [slowest, silent] = [slowestMs, silentMs].map(Math.round);
  t.diagnostic(
    `${writes} writes; the slowest of the others took ${slowest} ms; their watches told nothing for ${silent} ms`,
  );
}

test("of updates of one key by three tabs at once each counts once, also those made while the tab that runs the node is closed", async () => {
  const [first, ...others] = await threeTabs(shop);
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
  test("is closed: the others go on, no write is lost or doubled, and no change is missed", (t) => loses(t, "closed"));

  test("crashes: the others go on in the same way", (t) => loses(t, "crashed"));

  test("is frozen, and later thawed: the others go on, and so does it", (t) => loses(t, "frozen"));

  test("is stopped by the system, and later goes on: the others have taken over, and it takes part again", (t) =>
    loses(t, "hung"));
});
