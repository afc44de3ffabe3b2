/** What a page has beside the node itself: the browser's storage, and what is to be told of it. */
import type { Storage } from "../ports.ts";
import { PageFacts } from "./page-facts.ts";
import type { PageNodeOptions } from "./page-options.ts";
import { askToPersist, openPageStorage } from "./page-storage.ts";

/** What nodes of either role are made of in a page. */
export interface PageParts {
  readonly storage: Storage;
  readonly facts: PageFacts;
  /** Run by `release`, the last first. */
  readonly stops: (() => Promise<void>)[];
}

/** @throws StorageError `full`, `version`, `io` */
export async function openParts(options: PageNodeOptions): Promise<PageParts> {
  const { name, seeds = [], role } = options;
  const injected = role === "host" ? undefined : options.storage;
  const { storage, memoryBecause } = injected === undefined ? await openPageStorage(name) : { storage: injected };
  const facts = new PageFacts(memoryBecause === undefined ? "evictable" : "memory");
  if (memoryBecause !== undefined) {
    facts.notice("storage", `this browser keeps nothing, all is gone with this page: ${memoryBecause}`);
  } else if (injected === undefined) {
    // Never awaited: some browsers ask the user, who may not answer. One that cannot say keeps no promise.
    askToPersist().then(
      (isGranted) => isGranted && facts.persistent(),
      () => undefined,
    );
  }
  if (seeds.length === 0 && role !== "host") facts.notice("seeds", "no seeds were given: it has no hosts to send to");
  return { storage, facts, stops: [() => storage.close()] };
}

export async function release({ stops }: PageParts): Promise<void> {
  for (let last = stops.pop(); last !== undefined; last = stops.pop()) await last();
}
