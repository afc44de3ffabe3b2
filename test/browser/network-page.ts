/** A real browser with one page on the network, for tests, trials and benches. Its page is `pages/network.ts`. */
import assert from "node:assert/strict";
import { eventually } from "../support/eventually.ts";
import { type Chromium, launchChromium, type Tab } from "./chromium.ts";
import type { Functions, Opening } from "./pages/network.ts";
import { rendererOf } from "./renderer.ts";

export class NetworkPage implements AsyncDisposable {
  readonly browser: Chromium;
  readonly tab: Tab<Functions>;
  readonly id: string;
  #renderer: number | undefined;
  #isStopped = false;

  private constructor(browser: Chromium, tab: Tab<Functions>, id: string) {
    this.browser = browser;
    this.tab = tab;
    this.id = id;
  }

  static async open(url: string, seeds: readonly string[], options: Opening = {}): Promise<NetworkPage> {
    const browser = await launchChromium();
    const tab = await browser.open<Functions>(url);
    return new NetworkPage(browser, tab, await tab.call("open", seeds, options));
  }

  /** Its addresses, once it can be found through a relay. */
  async found(): Promise<readonly string[]> {
    let addresses: readonly string[] = [];
    await eventually(
      async () => (addresses = await this.tab.call("addresses")).length > 0,
      "the page can be found through a relay",
    );
    return addresses;
  }

  async isDirectTo(other: NetworkPage): Promise<boolean> {
    const peer = await this.tab.call("peer", other.id);
    return peer?.connected === true && peer.addresses.some((address) => address.includes("/webrtc"));
  }

  async asks(other: NetworkPage, bytes = 64): Promise<void> {
    assert.ok(await this.tab.call("echo", other.id, bytes));
  }

  /** To the process of the page: it runs no code, and keeps every socket. */
  async signal(signal: "SIGSTOP" | "SIGCONT"): Promise<void> {
    this.#renderer ??= await rendererOf(this.browser, this.tab.page);
    process.kill(this.#renderer, signal);
    this.#isStopped = signal === "SIGSTOP";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped process would outlive its browser.
    if (this.#isStopped) await this.signal("SIGCONT");
    await this.browser[Symbol.asyncDispose]();
  }
}

/** `a` dials `b`: directly, through what they know of each other by their relays. */
export async function connect(a: NetworkPage, b: NetworkPage): Promise<void> {
  // Also that of `a`: while its own way to the relay is still opening, a first dial may fail, and the second comes at once.
  await a.found();
  await a.tab.call("keep", { [b.id]: await b.found() });
  await eventually(
    async () => (await a.isDirectTo(b)) && (await b.isDirectTo(a)),
    "the pages have a direct connection",
  );
}

/** How a page can be gone. */
export const waysToGo: Readonly<Record<string, (page: NetworkPage) => Promise<void>>> = {
  "killed with its browser": ({ browser }) => browser.kill(),
  closed: ({ tab }) => tab.page.close(),
  "stopped for good": (page) => page.signal("SIGSTOP"),
};

/** Until `watcher` knows that `page`, with which it is connected, is gone. */
export async function msToNotice(
  watcher: NetworkPage,
  page: NetworkPage,
  go: (page: NetworkPage) => Promise<void>,
  limitMs?: number,
): Promise<number> {
  // Which process a page has is found out by keeping it busy.
  await page.signal("SIGCONT");
  const beginMs = performance.now();
  await go(page);
  await eventually(async () => (await watcher.tab.call("losses")).includes(page.id), "the loss is noticed", limitMs);
  return performance.now() - beginMs;
}
