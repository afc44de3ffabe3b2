/**
 * Chromium as a user has it: one tab is visible, hidden tabs are throttled, and can be frozen. Playwright's own tabs are
 * always visible, and tabs that are visible never freeze, whatever they are told. A page can also be stopped by the system:
 * then nothing of it runs, not even the answer to a message.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type BrowserContext, chromium, type Page } from "playwright";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { needChromium } from "../support/chromium.ts";
import { eventually } from "../support/eventually.ts";
import { openTab, quietArguments, type Tab, timeoutMs } from "./chromium.ts";
import type { PageFunctions } from "./expose.ts";
import { rendererOf } from "./renderer.ts";

export interface Lifelike extends AsyncDisposable {
  readonly context: BrowserContext;
  open<Functions extends PageFunctions>(url: string): Promise<Tab<Functions>>;
  /** Hides the page behind another, and freezes it. */
  freeze(page: Page, behind: Page): Promise<void>;
  /** The page is shown, and runs again. */
  thaw(page: Page): Promise<void>;
  /** A page, by its process, which it has for itself. To be asked for while no page has much to do. */
  stoppable(tab: { readonly page: Page }): Promise<Stoppable>;
  crash(page: Page): Promise<void>;
}

/** What is stopped must go on, or the browser cannot end. */
export interface Stoppable extends AsyncDisposable {
  stop(): void;
  goOn(): void;
}

export async function launchLifelike(before?: () => void): Promise<Lifelike> {
  const own = ["--headless", "--remote-debugging-port=0", `--user-data-dir=${temporaryDirectory()}`];
  const program = spawn(needChromium(), [...own, ...quietArguments, "about:blank"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const browser = await chromium
    .connectOverCDP(await addressOf(program), { noDefaults: true, timeout: timeoutMs })
    .catch((error: unknown) => {
      program.kill("SIGKILL");
      throw error;
    });
  const [context] = browser.contexts();
  if (context === undefined) throw new Error("Chromium has no window");
  context.setDefaultTimeout(timeoutMs);
  if (before !== undefined) await context.addInitScript(before);
  const session = await browser.newBrowserCDPSession();
  return {
    context,
    open: (url) => openTab(context, url),
    async freeze(page, behind) {
      await behind.bringToFront();
      await eventually(() => page.evaluate(() => document.hidden), "a page to be hidden");
      const cdp = await context.newCDPSession(page);
      await cdp.send("Page.enable");
      await cdp.send("Page.setWebLifecycleState", { state: "frozen" });
    },
    async thaw(page) {
      const cdp = await context.newCDPSession(page);
      await cdp.send("Page.setWebLifecycleState", { state: "active" });
      await page.bringToFront();
    },
    async stoppable({ page }) {
      const id = await rendererOf({ context }, page);
      let isStopped = false;
      const goOn = (): void => {
        if (isStopped) process.kill(id, "SIGCONT");
        isStopped = false;
      };
      return {
        stop: () => void (isStopped = process.kill(id, "SIGSTOP")),
        goOn,
        [Symbol.asyncDispose]: async () => goOn(),
      };
    },
    async crash(page) {
      const crashed = page.waitForEvent("crash");
      const cdp = await context.newCDPSession(page);
      // It has nobody left to answer it.
      cdp.send("Page.crash").catch(() => undefined);
      await crashed;
    },
    async [Symbol.asyncDispose]() {
      const ended = once(program, "exit");
      await session.send("Browser.close");
      await ended;
    },
  };
}

/** Where it listens, as it tells on its standard error, once it has opened its first page: a client that comes earlier may wait for ever. */
async function addressOf(program: ChildProcess): Promise<string> {
  const address = await new Promise<string>((resolve, reject) => {
    let text = "";
    // Read to its end: what nobody reads holds Chromium up.
    program.stderr!.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      const found = /^DevTools listening on (\S+)$/m.exec(text)?.[1];
      if (found !== undefined) resolve(found);
    });
    program.once("exit", () => reject(new Error(`Chromium ended before it listened: ${text}`)));
  });
  const list = new URL("/json/list", address.replace("ws:", "http:"));
  const hasPage = async (): Promise<boolean> => {
    const targets = (await (await fetch(list)).json()) as readonly { readonly type: string }[];
    return targets.some(({ type }) => type === "page");
  };
  await eventually(hasPage, "the first page of Chromium");
  return address;
}
