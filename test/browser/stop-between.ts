/**
 * Stops the tab that runs the node, but not in the middle of a transaction: in the tenth of a millisecond between its first
 * request and its commit, which among much writing is one moment of ten, it would hold up all tabs until it goes on.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Tab } from "./chromium.ts";
import type { Stoppable } from "./lifelike.ts";
import type { Functions } from "./pages/tabs.ts";

export async function stopBetween(stopped: Stoppable, other: Tab<Functions>, store: string): Promise<void> {
  for (;;) {
    stopped.stop();
    if (await other.call("hasDatabases", store)) return;
    stopped.goOn();
    await sleep(10);
  }
}
