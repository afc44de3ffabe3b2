/** The switch in a page's line: what an application's developer cuts to see how it does offline. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { kv } from "../support/http-client.ts";
import { freePort } from "../support/ports.ts";
import { type Chromium, launchChromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/store.ts";
import { type PageServer, servePage } from "./page-server.ts";

let server: PageServer;
let browser: Chromium;
let hosts: HostProcesses;
let address: string;
before(async () => {
  server = await servePage(new URL("./pages/store.js", import.meta.url));
  browser = await launchChromium();
  hosts = new HostProcesses(temporaryDirectory());
  address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  await hosts.add({ flags: ["--p2p", address, "--cluster", "shop"] });
});
after(async () => {
  await browser[Symbol.asyncDispose]();
  await hosts[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function openTab(database: string): Promise<Tab<Functions>> {
  const tab = await browser.open<Functions>(server.url);
  assert.equal(typeof (await tab.call("open", { name: "shop", database, seeds: [address] })), "number");
  await tab.call("connected");
  return tab;
}

const atHost = async (key: string): Promise<(string | undefined)[]> =>
  ((await kv(hosts.url(0)).get(`notes/${key}`)).json.siblings ?? []).map(({ value }) => value);

test("a cut page is offline and stays so, though nothing else hinders it; healed, it sends what waited", async () => {
  const tab = await openTab("cut");
  await tab.call("put", "a", "before");
  await tab.call("cut");
  await eventually(async () => !(await tab.call("status")).connected, "the page to be offline");
  const { localOnly } = await tab.call("put", "b", "while cut");
  assert.ok(localOnly);
  // Longer than the first pauses between two dials: what dials again is refused.
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  assert.equal((await tab.call("status")).connected, false);
  assert.deepEqual(await atHost("b"), []);
  await tab.call("heal");
  await tab.call("flush", 20_000);
  assert.deepEqual(await atHost("b"), ['"while cut"']);
  await tab.call("close");
});

test("a slow page is slow by what it was told, and loses nothing", async () => {
  const tab = await openTab("slow");
  await tab.call("slow", 400);
  const beginMs = performance.now();
  const { localOnly } = await tab.call("put", "c", "slow");
  assert.equal(localOnly, false);
  assert.ok(performance.now() - beginMs >= 400);
  assert.deepEqual(await atHost("c"), ['"slow"']);
  await tab.call("close");
});

test("two databases of one page's origin are two nodes", async () => {
  const [one, two] = [await openTab("one"), await openTab("two")];
  assert.notEqual((await one.call("status")).id, (await two.call("status")).id);
  await one.call("put", "d", "1");
  assert.deepEqual((await two.call("get", "d")).values, ["1"]);
  await one.call("close");
  await two.call("close");
});
