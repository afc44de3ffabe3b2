/** What a page has beside the node itself: the browser's storage, and what is to be told of it. */
import type { Storage } from "../ports.ts";
import { PageFacts } from "./page-facts.ts";
import type { PageNodeOptions } from "./page-options.ts";
import { askToPersist, type PageStorage } from "./page-storage.ts";
import { canShareTabs } from "./tabs/open-tab-node.ts";

/** What nodes of either role are made of in a page. */
export interface PageParts {
  readonly storage: Storage;
  readonly facts: PageFacts;
  /** Run by `release`, the last first. */
  readonly stops: (() => Promise<void>)[];
}

/** @throws StorageError `full`, `version`, `io` */
export async function openParts(options: PageNodeOptions, openStorage: () => Promise<PageStorage>): Promise<PageParts> {
  const { seeds = [], role, storageBudget } = options;
  const injected = role === "host" ? undefined : options.storage;
  const { storage: whole, memoryBecause } = injected === undefined ? await openStorage() : { storage: injected };
  const storage = storageBudget?.around(whole) ?? whole;
  // A private window that has IndexedDB, in memory, cannot be told from others (test/browser/private-window.test.ts).
  const facts = new PageFacts(memoryBecause === undefined ? "evictable" : "memory");
  if (memoryBecause !== undefined) {
    const text = `this browser keeps nothing: no other tab sees it, and all is gone with this page: ${memoryBecause}`;
    facts.notice("storage", text);
  } else if (injected === undefined) {
    // Never awaited: some browsers ask the user, who may not answer. One that cannot say keeps no promise.
    askToPersist().then(
      (isGranted) => isGranted && facts.persistent(),
      () => undefined,
    );
  }
  if (!canShareTabs()) facts.notice("tabs", "tabs share no store here: the one that opens it last has it alone");
  if (seeds.length === 0 && role !== "host") facts.notice("seeds", "no seeds were given: it has no hosts to send to");
  return { storage, facts, stops: [() => storage.close()] };
}

/** Also what comes after a step that fails. @throws what the first of these failed with */
export async function release({ stops }: { readonly stops: (() => Promise<unknown>)[] }): Promise<void> {
  const failures: unknown[] = [];
  for (let last = stops.pop(); last !== undefined; last = stops.pop()) {
    await last().catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}
