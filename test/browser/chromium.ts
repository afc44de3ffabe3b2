/**
 * Real Chromium with its profile on disk: launched, killed, launched again on the same profile.
 * A default context would keep IndexedDB in memory, so there is none here.
 */
import { chromium, type BrowserContext, type Page } from "playwright";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { needChromium } from "../support/chromium.ts";
import { eventually } from "../support/eventually.ts";
import { exposedAs, type PageFunctions } from "./expose.ts";

/** Nothing that asks the network, and no sandbox, which containers lack. */
export const quietArguments = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Against hanging only. */
export const timeoutMs = 60_000;

export interface ChromiumOptions {
  /** Folder of a former Chromium, to go on with its data; a fresh one otherwise. */
  readonly profile?: string;
  /** Further flags of the program. */
  readonly arguments?: readonly string[];
  /** Runs in every page before its own scripts. Gets no closure. */
  readonly before?: () => void;
}

/** One page, and its functions by name. */
export interface Tab<Functions extends PageFunctions> {
  readonly page: Page;
  /** Uncaught errors and lines of `console.error`, as they come. */
  readonly problems: readonly string[];
  /** Rejects with what the function threw. */
  call<Name extends keyof Functions & string>(
    name: Name,
    ...args: Parameters<Functions[Name]>
  ): Promise<Awaited<ReturnType<Functions[Name]>>>;
}

export interface Chromium extends AsyncDisposable {
  readonly context: BrowserContext;
  readonly profile: string;
  /** Of the browser process; without it the others end. */
  readonly pid: number;
  /** Opens a page of `servePage` and waits for its functions: `open<typeof functions>(url)`. */
  open<Functions extends PageFunctions>(url: string): Promise<Tab<Functions>>;
  /** SIGKILL, sent before this returns; resolves once the browser is gone. */
  kill(): Promise<void>;
}

export async function launchChromium(options: ChromiumOptions = {}): Promise<Chromium> {
  const { profile = temporaryDirectory(), arguments: more = [], before } = options;
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: needChromium(),
    headless: true,
    args: [...quietArguments, ...more],
    timeout: timeoutMs,
  });
  context.setDefaultTimeout(timeoutMs);
  if (before !== undefined) await context.addInitScript(before);
  const gone = new Promise<void>((resolve) => context.once("close", () => resolve()));
  const pid = await browserPid(context);
  return {
    context,
    profile,
    pid,
    open: (url) => openTab(context, url),
    async kill() {
      process.kill(pid, "SIGKILL");
      await gone;
      await eventually(() => !isAlive(pid), "the end of a killed Chromium");
    },
    [Symbol.asyncDispose]: () => context.close(),
  };
}

/** What `Chromium.open` does. */
export async function openTab<Functions extends PageFunctions>(
  context: BrowserContext,
  url: string,
): Promise<Tab<Functions>> {
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("console", (message) => message.type() === "error" && problems.push(message.text()));
  await page.goto(url);
  await page.waitForFunction((name) => name in globalThis, exposedAs);
  return {
    page,
    problems,
    call: (name, ...args) => page.evaluate(callExposed<Functions>, { exposedAs, name, args }),
  };
}

/** Runs in the page. */
function callExposed<Functions extends PageFunctions>({
  exposedAs,
  name,
  args,
}: {
  readonly exposedAs: string;
  readonly name: string;
  readonly args: readonly unknown[];
}): Awaited<ReturnType<Functions[string]>> {
  const functions = (globalThis as unknown as Record<string, Functions>)[exposedAs];
  return functions?.[name]?.(...(args as never[])) as Awaited<ReturnType<Functions[string]>>;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

async function browserPid(context: BrowserContext): Promise<number> {
  const session = await context.browser()?.newBrowserCDPSession();
  const answer = await session?.send("SystemInfo.getProcessInfo");
  const browser = answer?.processInfo.find(({ type }) => type === "browser");
  if (browser === undefined) throw new Error("Chromium does not tell its process id");
  return browser.id;
}
