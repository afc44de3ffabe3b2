/** A visitor of the shop in a real browser: finds things as people do, by what is written on them. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import axe from "axe-core";
import type { BrowserContext, ConsoleMessage, Page } from "playwright";
import { type Chromium, launchChromium } from "../browser/chromium.ts";
import { eventually } from "../support/eventually.ts";

/** For people to look at. */
const screenshots = join("dist", "screenshots");

/** What a fault causes by design: a browser writes a line for each connection that fails. */
const networkTrouble = /net::ERR_|WebSocket connection to/;

export class Shopper implements AsyncDisposable {
  readonly page: Page;
  /** Errors of the page and its console, without those of a network that fails. */
  readonly problems: string[] = [];
  readonly #url: string;
  readonly #browser: Chromium | undefined;

  private constructor(page: Page, url: string, browser?: Chromium) {
    this.page = page;
    this.#url = url;
    this.#browser = browser;
    page.on("pageerror", (error) => this.problems.push(String(error)));
    page.on("console", (message) => this.#heard(message));
  }

  /** Opens the shop at `#/place`, in a browser of their own. */
  static async visit(url: string, place = "", profile?: string): Promise<Shopper> {
    const shopper = await Shopper.open(url, place, profile);
    await shopper.page.getByRole("navigation", { name: "Places" }).waitFor();
    return shopper;
  }

  /** Whatever is there. */
  static async open(url: string, place = "", profile?: string): Promise<Shopper> {
    const browser = await launchChromium(profile === undefined ? {} : { profile });
    return new Shopper(await browser.context.newPage(), url, browser).#begin(place);
  }

  /** In a browser that others use too. */
  static async among(context: BrowserContext, url: string, place = ""): Promise<Shopper> {
    return new Shopper(await context.newPage(), url).#begin(place);
  }

  async #begin(place: string): Promise<Shopper> {
    await this.page.setViewportSize({ width: 1_280, height: 860 });
    await this.goTo(place);
    return this;
  }

  /** Of their own. */
  get browser(): Chromium {
    if (this.#browser === undefined) throw new Error("this shopper has no browser of their own");
    return this.#browser;
  }

  async goTo(place: string): Promise<void> {
    await this.page.goto(`${this.#url}#/${place}`);
  }

  async add(...names: readonly string[]): Promise<void> {
    for (const name of names) await this.button(`Add ${name} to the cart`).click();
  }

  button(name: string): ReturnType<Page["getByRole"]> {
    return this.page.getByRole("button", { name: new RegExp(`^${name}`) });
  }

  /** The place that the link of this cart names. */
  async shareCart(): Promise<string> {
    await this.button("Share").click();
    const link = await this.page.getByLabel("Whoever has this link shares the cart").inputValue();
    return new URL(link).hash.replace("#/", "");
  }

  /** "2 Tea" of the cart beside the shelves. */
  async cart(): Promise<string[]> {
    const lines = await this.page.locator(".cart .line").all();
    return Promise.all(
      lines.map(async (line) => {
        const name = await line.locator(".line-name").innerText();
        return `${await line.locator(".stepper [role=status]").innerText()} ${name}`;
      }),
    );
  }

  async seesCart(...wanted: readonly string[]): Promise<void> {
    let seen: string[] = [];
    await eventually(
      async () => (seen = await this.cart()).join() === wanted.join(),
      () => `the cart [${wanted.join()}], not [${seen.join()}]`,
    );
  }

  /** The newest change of this page: how many there were, what it was, where it is. Before the first one: undefined. */
  async newestChange(): Promise<{ number: number; what: string; mark: string } | undefined> {
    const change = this.page.locator(".changes li").first();
    if ((await change.count()) === 0) return undefined;
    return change.evaluate((line) => {
      const [what, mark] = [...line.children] as HTMLElement[];
      return { number: (line as HTMLLIElement).value, what: what!.innerText, mark: mark!.innerText };
    });
  }

  /** Marks of the latest changes, newest first. */
  marks(): Promise<string[]> {
    return this.page.locator(".changes .saved").allInnerTexts();
  }

  async sees(text: string | RegExp): Promise<void> {
    await this.page.getByText(text).first().waitFor();
  }

  async everythingIsEverywhere(): Promise<void> {
    await eventually(async () => {
      const marks = await this.marks();
      return marks.length > 0 && marks.every((mark) => mark === "everywhere");
    }, "each change to be everywhere");
  }

  /** No rule of axe-core is broken; what is, is named. */
  async isAccessible(): Promise<void> {
    await this.page.evaluate(axe.source);
    const { violations } = await this.page.evaluate<axe.AxeResults>("axe.run()");
    const named = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
    assert.deepEqual(named, []);
  }

  async photograph(name: string): Promise<void> {
    mkdirSync(screenshots, { recursive: true });
    await this.page.screenshot({ path: join(screenshots, `${name}.png`) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#browser?.[Symbol.asyncDispose]();
  }

  #heard(message: ConsoleMessage): void {
    if (message.type() === "error" && !networkTrouble.test(message.text())) this.problems.push(message.text());
  }
}
