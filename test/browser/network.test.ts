/** Real pages with real hosts and relays: over WebSockets, and from page to page over WebRTC. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import type { NodeId } from "../../core/identity.ts";
import { equal, pattern } from "../conformance/transport.ts";
import { eventually } from "../support/eventually.ts";
import { HostProcesses } from "../support/host-processes.ts";
import { Libp2pNodes } from "../support/libp2p-nodes.ts";
import { freePort } from "../support/ports.ts";
import { RelayProcess } from "../support/relay-process.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { bundleWebRtc } from "../tools/bundle-webrtc.ts";
import { launchChromium } from "./chromium.ts";
import { connect, msToNotice, NetworkPage, waysToGo } from "./network-page.ts";
import type { Functions } from "./pages/network.ts";
import { servePage, type PageServer } from "./page-server.ts";

/** After which libp2p by itself knows that a WebRTC peer is gone, as measured. */
const libp2pAloneMs = 14_000;

const pageEntry = new URL("./pages/network.js", import.meta.url);
let server: PageServer;
before(async () => {
  server = await servePage(pageEntry);
});
after(() => server[Symbol.asyncDispose]());

const sizes = [0, 1, 16_383, 16_384, 65_537, 1_048_576, 5 * 1_048_576];

test("a page that meets hosts only is answered by a host process over WebSocket, and loads no WebRTC", async () => {
  const address = `/ip4/127.0.0.1/tcp/${await freePort()}/ws`;
  await using hosts = new HostProcesses(temporaryDirectory());
  await hosts.add({ flags: ["--p2p", address] });
  await using page = await NetworkPage.open(server.url, [address], { meetPages: false });
  const { id } = await hosts.status(0);
  assert.equal(await page.tab.call("meet", address), id);
  assert.equal(await page.tab.call("failureToConnect", 10_000), undefined);
  assert.deepEqual(
    (await page.tab.call("seeds")).map(({ connected, id }) => [connected, id]),
    [[true, id]],
  );
  // It knows no such method, and says so.
  assert.equal((await page.tab.call("ask", id, [255]))[0], 1);
  assert.deepEqual(await page.tab.call("addresses"), []);
  assert.deepEqual(page.tab.problems, []);
  const scripts = await page.tab.call("scripts");
  assert.ok(scripts.length > 0 && !scripts.some((url) => /webrtc|gossip/.test(url)), scripts.join());
});

test("a page and a Node process exchange requests of any size over WebSocket, both ways", async () => {
  const nodes = new Libp2pNodes("/ip4/127.0.0.1/tcp/0/ws");
  const { transport, address } = await nodes.start("host");
  transport.serve(async (_from, body) => body);
  await using page = await NetworkPage.open(server.url, [address], { meetPages: false });
  await page.tab.call("meet", address);
  for (const bytes of sizes) {
    assert.ok(await page.tab.call("echo", transport.self, bytes));
    const body = pattern(bytes);
    assert.ok(equal(await transport.request(page.id as NodeId, body, 20_000), body));
  }
  await nodes.kill("host");
  await eventually(async () => (await page.tab.call("losses")).length > 0, "the page knows that the host is gone");
  await nodes.start("host");
  await page.tab.call("keep", { [transport.self]: [address] });
  await eventually(
    async () => (await page.tab.call("peer", transport.self))?.connected === true,
    "the page is connected to the host that is back",
  );
  await nodes.close();
});

describe("two pages", () => {
  let relay: RelayProcess;
  let a: NetworkPage;
  let b: NetworkPage;
  before(async () => {
    relay = await RelayProcess.start();
    const opening = { hostOf: "pages" };
    [a, b] = await Promise.all([
      NetworkPage.open(server.url, [relay.address], opening),
      NetworkPage.open(server.url, [relay.address], opening),
    ]);
    await connect(a, b);
  });
  after(async () => {
    await Promise.all([a, b, relay].map((each) => each[Symbol.asyncDispose]()));
  });

  test("that met through a relay exchange requests of any size directly, both ways", async () => {
    for (const bytes of sizes) {
      await a.asks(b, bytes);
      await b.asks(a, bytes);
    }
    assert.deepEqual(await a.tab.call("problems"), []);
  });

  test("go on when the relay is gone, and are found again, also by a newcomer, when it is back", async () => {
    const { id } = relay;
    await relay.kill();
    await eventually(async () => (await a.tab.call("addresses")).length === 0, "nobody finds them");
    await a.asks(b);
    await b.asks(a);
    await eventually(async () => {
      await a.tab.call("publish", "news");
      return (await b.tab.call("heard")).includes("news");
    }, "gossip goes on, too");
    await relay.start();
    assert.equal(relay.id, id);
    await using newcomer = await NetworkPage.open(server.url, [relay.address]);
    for (const each of [a, b]) {
      await connect(newcomer, each);
      await newcomer.asks(each);
      await each.asks(newcomer);
    }
    assert.ok((await a.isDirectTo(b)) && (await b.isDirectTo(a)));
    assert.deepEqual(await a.tab.call("losses"), []);
  });
});

test("pages with the published WebRTC chunk that open one after the other have a direct connection at the first try", async () => {
  const text = await bundleWebRtc();
  const chunk = { name: "published", load: (id: string) => (id.endsWith("/core/browser/webrtc.js") ? text : null) };
  await using server = await servePage(pageEntry, { plugins: [chunk] });
  await using relay = await RelayProcess.start();
  await using page = await NetworkPage.open(server.url, [relay.address]);
  const addresses = await page.found();
  await using browser = await launchChromium();
  for (let n = 0; n < 12; n += 1) {
    const tab = await browser.open<Functions>(server.url);
    await tab.call("open", [relay.address]);
    assert.equal(await tab.call("failureToConnect", 10_000), undefined);
    await tab.call("keep", { [page.id]: addresses });
    await eventually(
      async () => (await tab.call("peer", page.id))?.addresses.some((address) => address.includes("/webrtc")) ?? false,
      "the pages have a direct connection",
    );
    assert.deepEqual(await tab.call("problems"), []);
    await tab.page.close();
  }
});

describe("a page that is gone", () => {
  for (const [way, go] of Object.entries(waysToGo)) {
    test(`is noticed by the other long before libp2p alone would notice it: ${way}`, async () => {
      await using relay = await RelayProcess.start();
      await using other = await NetworkPage.open(server.url, [relay.address]);
      await using page = await NetworkPage.open(server.url, [relay.address]);
      await connect(other, page);
      await msToNotice(other, page, go, libp2pAloneMs / 2);
      await assert.rejects(other.asks(page), /not connected|connection .* lost/);
    });
  }
});

test("a page that stops for 300 ms every 2 s is only slow: no connection breaks, and every request is answered", async () => {
  await using relay = await RelayProcess.start();
  await using a = await NetworkPage.open(server.url, [relay.address]);
  await using b = await NetworkPage.open(server.url, [relay.address]);
  await connect(a, b);
  for (let round = 0; round < 6; round += 1) {
    await b.signal("SIGSTOP");
    const answered = a.asks(b);
    await setTimeout(300);
    await b.signal("SIGCONT");
    await answered;
    await setTimeout(1_700);
  }
  assert.deepEqual([await a.tab.call("losses"), await b.tab.call("losses")], [[], []]);
  assert.deepEqual([await a.tab.call("problems"), await b.tab.call("problems")], [[], []]);
});

test("a page wakes when its network is back, and when the machine slept", async () => {
  await using page = await NetworkPage.open(server.url, [`/ip4/127.0.0.1/tcp/${await freePort()}/ws`], {
    meetPages: false,
  });
  await page.tab.call("watchWaking");
  await page.browser.context.setOffline(true);
  assert.equal(await page.tab.call("wakings"), 0);
  await page.browser.context.setOffline(false);
  await eventually(async () => (await page.tab.call("wakings")) === 1, "it hears that the network is back");
  // For the page it is the same whether the machine slept or its process was stopped.
  await page.signal("SIGSTOP");
  await setTimeout(6_000);
  await page.signal("SIGCONT");
  await eventually(async () => (await page.tab.call("wakings")) > 1, "it notices that time has jumped");
});

test("with every relay down a newcomer is told which are, and why", async () => {
  const seeds = [`/ip4/127.0.0.1/tcp/${await freePort()}/ws`, `/ip4/127.0.0.1/tcp/${await freePort()}/ws`];
  await using page = await NetworkPage.open(server.url, seeds);
  const failure = await page.tab.call("failureToConnect", 2_000);
  assert.equal(failure?.code, "not-ready");
  for (const seed of seeds) assert.match(failure.message, new RegExp(`${seed}: the connection could not be opened`));
  await assert.rejects(page.tab.call("meet", seeds[0]!), /TransportError: cannot reach/);
});
