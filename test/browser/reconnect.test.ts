/** A page that has lost its host dials it at once when there is reason to hope, whatever pause it was in; and its store goes on. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { Page } from "playwright";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { kv } from "../support/http-client.ts";
import { Libp2pNodes } from "../support/libp2p-nodes.ts";
import { pageHosts } from "../support/page-hosts.ts";
import { launchLifelike, type Lifelike } from "./lifelike.ts";
import type { Functions } from "./pages/network.ts";
import type { Functions as StoreFunctions } from "./pages/store.ts";
import { type PageServer, servePage } from "./page-server.ts";
import { rendererOf } from "./renderer.ts";

interface Reason {
  /** Before the page has a network. */
  readonly first?: (page: Page) => Promise<void>;
  /** While its host is away. */
  readonly before?: (page: Page, behind: Page) => Promise<void>;
  readonly tell: (page: Page) => Promise<void>;
}

/** What may not be stored is not kept for the way back either. */
const headers = { "cache-control": "no-cache" };

let server: PageServer;
let browser: Lifelike;
before(async () => {
  server = await servePage(new URL("./pages/network.js", import.meta.url), { headers });
  browser = await launchLifelike();
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function hide(page: Page, behind: Page): Promise<void> {
  await behind.bringToFront();
  await eventually(() => page.evaluate(() => document.hidden), "the page to be hidden");
}

async function sleeps(page: Page): Promise<void> {
  const renderer = await rendererOf(browser, page);
  process.kill(renderer, "SIGSTOP");
  await setTimeout(6_000);
  process.kill(renderer, "SIGCONT");
}

/** Chromium says it in three ways that a page is left, and that it comes back; some browsers only in these. */
async function hearsOnlyPagehideAndPageshow(page: Page): Promise<void> {
  await page.evaluate(() => {
    for (const type of ["freeze", "resume", "visibilitychange"])
      document.addEventListener(type, (event) => event.stopImmediatePropagation(), true);
  });
}

async function leave(page: Page): Promise<void> {
  await page.goto(new URL("elsewhere", page.url()).href);
}

async function goBack(page: Page): Promise<void> {
  await page.evaluate(() => history.back());
  await page.waitForURL(/\/$/, { waitUntil: "commit" });
}

const reasons: Readonly<Record<string, Reason>> = {
  "is visible again": { before: hide, tell: (page) => page.bringToFront() },
  "is thawed": {
    before: (page, behind) => browser.freeze(page, behind),
    tell: async (page) => {
      const session = await browser.context.newCDPSession(page);
      await session.send("Page.setWebLifecycleState", { state: "active" });
    },
  },
  "comes back from the cache of pages that were left": {
    first: hearsOnlyPagehideAndPageshow,
    before: leave,
    tell: goBack,
  },
  "has a network again": {
    before: () => browser.context.setOffline(true),
    tell: () => browser.context.setOffline(false),
  },
  // For the page it is the same whether the machine slept or its process was stopped.
  "has slept": { tell: sleeps },
};

describe("a page that has given its host up dials it when it", () => {
  for (const [what, { first, before: prepare, tell }] of Object.entries(reasons)) {
    test(what, async () => {
      await using nodes = new Libp2pNodes("/ip4/127.0.0.1/tcp/0/ws");
      const { transport, address } = await nodes.start("host");
      const behind = await browser.context.newPage();
      const tab = await browser.open<Functions>(server.url);
      await first?.(tab.page);
      await tab.call("open", [address], { meetPages: false, givesUp: true });
      await tab.call("keep", { [transport.self]: [address] });
      const isConnected = async (): Promise<boolean> =>
        (await tab.call("peer", transport.self))?.connected === true && (await tab.call("seeds"))[0]!.connected;
      await eventually(isConnected, "the page to be connected");

      await nodes.kill("host");
      // As a seed, and as a member that it knows.
      await eventually(async () => (await tab.call("givenUp")) === 2, "the page to give its host up");
      await prepare?.(tab.page, behind);
      const again = await nodes.start("host");
      again.transport.serve(async (_from, body) => body);
      await setTimeout(1_000);
      assert.deepEqual(again.libp2p.getConnections(), []);

      await tell(tab.page);
      await eventually(isConnected, "the page to be connected again");
      assert.ok(await tab.call("echo", transport.self, 64));
      await tab.page.close();
      await behind.close();
    });
  }
});

test("a store whose page comes back from that cache hears what was written meanwhile, and writes", async () => {
  await using store = await servePage(new URL("./pages/store.js", import.meta.url), { headers });
  await using all = await pageHosts(2, "back", temporaryDirectory());
  const tab = await browser.open<StoreFunctions>(store.url);
  await hearsOnlyPagehideAndPageshow(tab.page);
  await tab.call("open", { name: "back", seeds: all.seeds });
  await tab.call("connected");
  await tab.call("subscribe", "k");
  await leave(tab.page);
  await kv(all.hosts.url(0)).put("notes/k", '"meanwhile"');

  await goBack(tab.page);
  const hears = async (): Promise<boolean> =>
    (await tab.call("told")).some(({ values }) => values.includes("meanwhile"));
  await eventually(hears, "the write of meanwhile to be heard");
  assert.equal((await tab.call("put", "other", "after")).localOnly, false);
  await tab.page.close();
});
