/**
 * A private window of Chromium: IndexedDB, locks and Cache Storage are there as anywhere else, in memory, and nothing tells
 * a page so (`estimate()`, `persisted()` and OPFS answer as for a profile that granted nothing). So a store in it is one like
 * any other, until the window is closed.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { BrowserContext } from "playwright";
import type { OpenStoreOptions } from "../../core/browser/index.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { kv } from "../support/http-client.ts";
import { pageHosts, type PageHosts } from "../support/page-hosts.ts";
import { launchChromium, openTab, type Chromium, type Tab } from "./chromium.ts";
import { servePage, type PageServer } from "./page-server.ts";
import type { Functions } from "./pages/store.ts";

const name = "private";
let all: PageHosts;
let server: PageServer;
let browser: Chromium;
before(async () => {
  all = await pageHosts(3, name, temporaryDirectory());
  server = await servePage(new URL("./pages/store.js", import.meta.url));
  browser = await launchChromium();
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
  await all[Symbol.asyncDispose]();
});

/** Off the record: it shares nothing with the browser's profile, and what it keeps ends with it. */
function privateWindow(): Promise<BrowserContext> {
  return browser.context.browser()!.newContext();
}

async function opened(window: BrowserContext, options: Partial<OpenStoreOptions>): Promise<Tab<Functions>> {
  const tab = await openTab<Functions>(window, server.url);
  const ms = await tab.call("open", { name, ...options });
  assert.equal(typeof ms, "number", String(ms));
  return tab;
}

test("a store in a private window goes on after a reload, is one for its tabs, and delivers; with the window all of it is gone", async () => {
  const window = await privateWindow();
  const tab = await opened(window, {});
  assert.ok((await tab.call("put", "kept", "1")).localOnly);
  const { id, browser: page } = await tab.call("status");
  // What the browser tells, and it tells no more: this is where one that does would be seen.
  assert.equal(page!.storage, "evictable");
  await tab.call("close");
  await tab.page.reload();
  await tab.page.waitForFunction(() => "everwriteTest" in globalThis);
  assert.equal(typeof (await tab.call("open", { name, seeds: all.seeds })), "number");
  const other = await opened(window, { seeds: all.seeds });
  for (const each of [tab, other]) {
    assert.equal((await each.call("status")).id, id);
    assert.deepEqual((await each.call("get", "kept", { r: "local" })).values, ["1"]);
  }
  await other.call("flush", 60_000);
  assert.deepEqual((await kv(all.hosts.url(0)).get("notes/kept")).values, ['"1"']);
  await window.close();

  await using again = await privateWindow();
  const fresh = await opened(again, {});
  assert.notEqual((await fresh.call("status")).id, id);
  assert.deepEqual((await fresh.call("get", "kept", { r: "local" })).values, []);
});

test("a host in a private window holds a share and acknowledges; what it took is left on Node hosts when the window is closed", async () => {
  const window = await privateWindow();
  const tab = await opened(window, { seeds: all.seeds, role: "host" });
  const share = async (): Promise<number> =>
    (await all.hosts.status(0)).members.find(({ kind }) => kind === "browser-host")?.tokens ?? 0;
  await eventually(async () => (await share()) > 0, "the window to have a share of the ring");
  await all.hosts.settled();
  const keys = Array.from({ length: 100 }, (_, i) => `host-${i}`);
  for (const key of keys) assert.equal((await tab.call("put", key, key)).localOnly, false);
  await window.close();
  for (const key of keys) {
    assert.deepEqual((await kv(all.hosts.url(1)).get(`notes/${key}`)).values, [JSON.stringify(key)]);
  }
});
