/** The process of a page, to be stopped: then the page runs no code, and keeps every socket. */
import type { Page } from "playwright";
import type { Chromium } from "./chromium.ts";

const burnMs = 400;
const aheadTimes = 4;

/**
 * The renderer that grows busy when the page is: Chromium does not tell which it is, and has others, one kept ready for a
 * next page among them. While those have work of their own, who burns most may be another: until one was far ahead twice.
 * To be asked for while no page has much to do.
 */
export async function rendererOf({ context }: Pick<Chromium, "context">, page: Page): Promise<number> {
  const session = await context.browser()!.newBrowserCDPSession();
  const times = async (): Promise<ReadonlyMap<number, number>> => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return new Map(processInfo.filter(({ type }) => type === "renderer").map(({ id, cpuTime }) => [id, cpuTime]));
  };
  let found: number | undefined;
  for (;;) {
    const before = await times();
    await page.evaluate((ms) => {
      for (const endMs = performance.now() + ms; performance.now() < endMs;);
    }, burnMs);
    const after = await times();
    const grown = [...after].map(([id, time]) => ({ id, time: time - (before.get(id) ?? 0) }));
    const [most, next] = grown.toSorted((a, b) => b.time - a.time);
    const ahead = most !== undefined && most.time > aheadTimes * (next?.time ?? 0) ? most.id : undefined;
    if (ahead !== undefined && ahead === found) return ahead;
    found = ahead;
  }
}
