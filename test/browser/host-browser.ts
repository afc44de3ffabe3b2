/** A real browser with a host on the ring in it, for tests and trials. Its page is `pages/host.ts`. */
import assert from "node:assert/strict";
import type { Page } from "playwright";
import type { PageHostSettings } from "../../core/browser/page-options.ts";
import { eventually } from "../support/eventually.ts";
import { type Chromium, launchChromium, type Tab } from "./chromium.ts";
import type { Functions } from "./pages/host.ts";
import { rendererOf } from "./renderer.ts";

export const hostCluster = "ring";

/** A browser with one page, which is a host. */
export class HostBrowser implements AsyncDisposable {
  readonly #url: string;
  #browser: Chromium;
  #tab: Tab<Functions>;
  #id: string | undefined;
  #renderer: number | undefined;
  #isStopped = false;

  private constructor(url: string, browser: Chromium, tab: Tab<Functions>) {
    this.#url = url;
    this.#browser = browser;
    this.#tab = tab;
  }

  static async start(url: string, seeds: readonly string[], settings: PageHostSettings = {}): Promise<HostBrowser> {
    const page = await HostBrowser.load(url);
    page.#id = await page.call("start", hostCluster, seeds, settings);
    return page;
  }

  /** The page without a host. */
  static async load(url: string): Promise<HostBrowser> {
    const browser = await launchChromium();
    return new HostBrowser(url, browser, await browser.open<Functions>(url));
  }

  get id(): string {
    return this.#id!;
  }

  call: Tab<Functions>["call"] = (name, ...args) => this.#tab.call(name, ...args);

  get problems(): readonly string[] {
    return this.#tab.problems;
  }

  /** All of its browser, as users do. */
  async close(): Promise<void> {
    await this.#browser.context.close();
  }

  /** After `close`, on the same profile. */
  async startAgain(seeds: readonly string[], settings: PageHostSettings = {}): Promise<void> {
    this.#browser = await launchChromium({ profile: this.#browser.profile });
    this.#tab = await this.#browser.open<Functions>(this.#url);
    assert.equal(await this.call("start", hostCluster, seeds, settings), this.#id);
  }

  get page(): Page {
    return this.#tab.page;
  }

  async signal(signal: "SIGSTOP" | "SIGCONT"): Promise<void> {
    this.#renderer ??= await rendererOf(this.#browser, this.#tab.page);
    process.kill(this.#renderer, signal);
    this.#isStopped = signal === "SIGSTOP";
  }

  /** It holds what it owns, and is connected with `others` more. */
  async holds(others: number): Promise<void> {
    let status: Awaited<ReturnType<Functions["status"]>> | undefined;
    await eventually(
      async () => {
        status = await this.call("status");
        const { ready, partitions, members } = status;
        return ready && partitions.filling === 0 && members.filter(({ alive }) => alive).length > others;
      },
      () => `the page to hold its share; it says ${JSON.stringify(status)}`,
      60_000,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A stopped process would outlive its browser.
    if (this.#isStopped) await this.signal("SIGCONT");
    await this.close();
  }
}
