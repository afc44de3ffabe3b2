/**
 * Stops the tab that runs the node, but not in the middle of a transaction: between its first request and its commit it
 * would hold up all tabs until it goes on. The other tab writes. How often a stop hits that `stopsWithin` counts.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import type { Tab } from "./chromium.ts";
import type { Stoppable } from "./lifelike.ts";
import type { Functions } from "./pages/tabs.ts";

type ShopTab = Tab<Functions>;

export async function stopBetween(stopped: Stoppable, other: ShopTab, store: string): Promise<void> {
  for (;;) {
    stopped.stop();
    if (await other.call("hasDatabases", store)) return;
    stopped.goOn();
    // So that no write waits for two stops.
    await writesMore(other);
  }
}

/** Stops the tab that runs the node, which writes, so many times, at any moment: how many stops held up the other tab. */
export async function stopsWithin(
  { stopped, owner, other }: { readonly stopped: Stoppable; readonly owner: ShopTab; readonly other: ShopTab },
  store: string,
  stops: number,
): Promise<number> {
  let hits = 0;
  for (let n = 0; n < stops; n += 1) {
    await writesMore(owner);
    await sleep(Math.random() * 20);
    stopped.stop();
    if (!(await other.call("hasDatabases", store))) hits += 1;
    stopped.goOn();
  }
  return hits;
}

async function writesMore(tab: ShopTab): Promise<void> {
  const written = await tab.call("writtenSoFar");
  await eventually(async () => (await tab.call("writtenSoFar")) >= written + 8, "a tab to write again");
}
