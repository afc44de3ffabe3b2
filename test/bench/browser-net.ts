/**
 * Requests per second of a page: to a Node process over WebSocket, and to a page of another browser over WebRTC; and how
 * soon a page knows that another is gone.
 */
import type { NodeId } from "../../core/identity.ts";
import { launchChromium, type Chromium, type Tab } from "../browser/chromium.ts";
import type { Functions } from "../browser/pages/network.ts";
import { servePage } from "../browser/page-server.ts";
import { eventually } from "../support/eventually.ts";
import { Libp2pNodes } from "../support/libp2p-nodes.ts";
import { RelayProcess } from "../support/relay-process.ts";
import type { Bench, Table } from "../tools/trial.ts";

const inFlightSteps = [1, 16, 64];
const bodyBytes = 256;

interface Page {
  readonly browser: Chromium;
  readonly tab: Tab<Functions>;
  readonly id: NodeId;
}

async function openPage(url: string, seeds: readonly string[]): Promise<Page> {
  const browser = await launchChromium();
  const tab = await browser.open<Functions>(url);
  return { browser, tab, id: (await tab.call("open", seeds)) as NodeId };
}

/** Connects `from` to `to` directly. */
async function connect(from: Page, to: Page): Promise<void> {
  let addresses: readonly string[] = [];
  await eventually(async () => (addresses = await to.tab.call("addresses")).length > 0, "a reservation");
  await from.tab.call("keep", { [to.id]: addresses });
  await eventually(
    async () => (await from.tab.call("peer", to.id))?.addresses.some((each) => each.includes("/webrtc")) ?? false,
    "a direct connection",
  );
}

/** Until `go` is noticed, ms. */
async function msToNotice(url: string, seeds: readonly string[], go: (page: Page) => unknown): Promise<number> {
  const [watcher, gone] = [await openPage(url, seeds), await openPage(url, seeds)];
  await connect(watcher, gone);
  const beginMs = Date.now();
  await go(gone);
  await eventually(async () => (await watcher.tab.call("losses")).includes(gone.id), "the loss is noticed");
  const ms = Date.now() - beginMs;
  await Promise.all([watcher, gone].map(({ browser }) => browser[Symbol.asyncDispose]()));
  return ms;
}

export const bench: Bench = {
  name: "browser-net",
  summary:
    "requests per second of a page in Chromium to a Node process and to another page; how soon a dead page is noticed",
  async run({ short }) {
    await using server = await servePage(new URL("../browser/pages/network.js", import.meta.url));
    await using relay = await RelayProcess.start();
    const nodes = new Libp2pNodes("/ip4/127.0.0.1/tcp/0/ws");
    const host = await nodes.start("host");
    host.transport.serve(async (_from, body) => body);
    const seeds = [host.address, relay.address];
    const [page, other] = [await openPage(server.url, seeds), await openPage(server.url, seeds)];
    await page.tab.call("meet", host.address);
    await connect(page, other);

    const rows: Table["rows"][number][] = [];
    for (const [to, id] of [
      ["Node process, WebSocket", host.transport.self],
      ["page of another browser, WebRTC", other.id],
    ] as const) {
      for (const inFlight of inFlightSteps) {
        const perSecond = await page.tab.call("requestsPerSecond", id, bodyBytes, inFlight, short ? 500 : 3_000);
        rows.push({ to, "in flight": inFlight, "per second": Math.round(perSecond) });
      }
    }
    await Promise.all([page, other].map(({ browser }) => browser[Symbol.asyncDispose]()));
    await nodes.close();

    const ways = [
      ["killed", ({ browser }: Page) => browser.kill()],
      ["closed", ({ tab }: Page) => tab.page.close()],
    ] as const;
    const noticed: Table["rows"][number][] = [];
    for (const [way, go] of ways) {
      for (let round = 0; round < (short ? 1 : 5); round += 1) {
        noticed.push({ "the page was": way, "ms until noticed": await msToNotice(server.url, [relay.address], go) });
      }
    }
    return [
      { title: `${bodyBytes} bytes each way`, rows },
      { title: "a page that is gone (libp2p alone: 14,000 ms)", rows: noticed },
    ];
  },
};
