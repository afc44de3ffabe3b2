/** A store in a real page: how it opens, what it says of itself, how it goes on offline and after a reload. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { HostProcesses, freePort } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { launchChromium, type Chromium } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { servePage, type PageServer } from "./page-server.ts";

const entry = new URL("./pages/store.js", import.meta.url);
let server: PageServer;
let browser: Chromium;
before(async () => {
  server = await servePage(entry);
  browser = await launchChromium();
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

describe("a store without seeds", () => {
  test("reads and writes at once, loads no network, and says that it has no hosts", async () => {
    const tab = await browser.open<Functions>(server.url);
    assert.equal(typeof (await tab.call("open", { name: "alone" })), "number");
    const { dot, localOnly, context } = await tab.call("put", "a", "1");
    assert.ok(localOnly);
    await tab.call("put", "a", "2", context);
    assert.deepEqual((await tab.call("get", "a")).values, ["2"]);
    const { loaded, connected, pending, id, browser: page } = await tab.call("status");
    assert.deepEqual([loaded, connected, pending], [true, false, 2]);
    assert.match(page!.notices.join(), /no seeds/);
    assert.match(id, /^12D3Koo/);
    assert.ok(dot.length > 0);
    await tab.call("close");
    await tab.page.reload();
    await tab.call("open", { name: "alone" });
    const after = await tab.call("status");
    assert.deepEqual([after.id, after.pending], [id, 2]);
    assert.deepEqual((await tab.call("get", "a")).values, ["2"]);
    const scripts = await tab.call("scripts");
    assert.ok(!scripts.some((url) => /network|identity/.test(url)), scripts.join());
    assert.deepEqual(tab.problems, []);
  });
});

test("a store with seeds writes what hosts have", async () => {
  const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  await using hosts = new HostProcesses(temporaryDirectory());
  await hosts.add({ flags: ["--p2p", address, "--cluster", "shop"] });
  const tab = await browser.open<Functions>(server.url);
  await tab.call("open", { name: "shop", seeds: [address] });
  const put = await tab.call("put", "a", "1");
  assert.equal(put.localOnly, false);
  const { json } = await kv(hosts.url(0)).get("notes/a");
  assert.deepEqual(
    json.siblings?.map(({ dot }) => dot),
    [put.dot],
  );
  const scripts = await tab.call("scripts");
  assert.ok(
    scripts.some((url) => /network/.test(url)) && !scripts.some((url) => /webrtc|gossip|host/.test(url)),
    scripts.join(),
  );
  await tab.call("close");
});
