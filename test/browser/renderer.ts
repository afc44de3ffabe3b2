/** The process of a page, to be stopped: then the page runs no code, and keeps every socket. */
import type { Page } from "playwright";
import type { Chromium } from "./chromium.ts";

/** The renderer that grows busy when the page is: Chromium does not tell which it is. */
export async function rendererOf({ context }: Pick<Chromium, "context">, page: Page): Promise<number> {
  const session = await context.browser()!.newBrowserCDPSession();
  const times = async (): Promise<Map<number, number>> => {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return new Map(processInfo.filter(({ type }) => type === "renderer").map(({ id, cpuTime }) => [id, cpuTime]));
  };
  const before = await times();
  await page.evaluate(() => {
    for (const endMs = performance.now() + 500; performance.now() < endMs;);
  });
  const grown = [...(await times())].map(([id, time]) => ({ id, time: time - (before.get(id) ?? 0) }));
  return grown.toSorted((a, b) => b.time - a.time)[0]!.id;
}
